"""Measure a run on labelled patches: matrix, classes, domains, the worst patches as pictures."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from baselines import predict
from baselines.data import batches, layout, rasters
from baselines.data.layout import Patch
from baselines.data.samples import Files
from baselines.train import exported
from baselines.train.events import Event
from scoring.engine.metrics import metrics
from scoring.engine.task.specification import TaskSpec

REPORT = "evaluation.json"


def run(
    run_dir: Path,
    *,
    data_root: Path,
    out_dir: Path,
    part: str = "validation",
    worst: int = 8,
    batch_size: int | None = None,
    device: str = "auto",
    allow_unfinished: bool = False,
    on_event: Callable[[Event], None] = lambda event: None,
) -> dict[str, Any]:
    """Predict the labelled patches of a part and write `evaluation.json` with pictures beside it.

    `part` is "validation" or "train" (the recipe's own split) or "test". The document has `miou`,
    `overall_accuracy`, `mean_f1`, `classes` (IoU, precision, recall, F1), `matrix` (rows: truth),
    `domains`, and `worst`: the patches with the lowest accuracy, each drawn as image, truth and
    prediction side by side; `weights_sha256` says which weights were measured.

    Gives the document without matrix, classes and domains, and `report`, its path.
    Raises FileNotFoundError or ValueError as `predict` does, ValueError without labels.
    """
    predictor = predict.Predictor(run_dir, device=device, allow_unfinished=allow_unfinished)
    recipe = predictor.recipe
    patches = _labelled(data_root, part=part, recipe=recipe)
    spec = recipe.spec
    counted = matrices(
        predictor, patches, batch_size=batch_size or recipe.training.batch_size, on_event=on_event
    )
    out_dir.mkdir(parents=True, exist_ok=True)
    measured = document(counted, patches=patches, spec=spec)
    measured["worst"] = _draw_worst(
        predictor, patches, counted, count=worst, out_dir=out_dir, spec=spec
    )
    about = {
        "run": str(run_dir), "recipe": recipe.name, "part": part, "patches": len(patches),
        "weights_sha256": exported.digest_of(dict(predictor.network.state_dict())),
    }  # fmt: skip
    (out_dir / REPORT).write_text(json.dumps(about | measured, indent=1))
    short = {key: measured[key] for key in ("miou", "overall_accuracy", "mean_f1", "worst")}
    return {**about, **short, "report": str(out_dir / REPORT)}


def matrices(
    predictor: predict.Predictor,
    patches: Sequence[Patch],
    *,
    batch_size: int,
    on_event: Callable[[Event], None] = lambda event: None,
) -> NDArray[np.int64]:
    """Count int64[patches, classes, classes] pixels of truth × prediction, one matrix a patch."""
    source = Files(patches, options=predictor.recipe.options(masks=True))
    n_classes = predictor.recipe.spec.n_classes
    counts = np.zeros((len(patches), n_classes, n_classes), dtype=np.int64)
    done = 0
    for batch in batches.Epoch(source, batch_size):
        classes = predict.classes_of(predictor.probabilities(batch))
        for row, position in enumerate(batch["index"].tolist()):
            joint = batch["mask"][row].numpy().astype(np.int64) * n_classes + classes[row]
            counted = np.bincount(joint.ravel(), minlength=n_classes**2)
            counts[position] = counted.reshape(n_classes, n_classes)
        done += len(batch["index"])
        on_event({"event": "predicted", "done": done, "total": len(patches)})
    return counts


def _labelled(data_root: Path, *, part: str, recipe: Any) -> tuple[Patch, ...]:
    """Give the part's patches with masks. Raises ValueError where there is none."""
    if part == "test":
        patches = layout.index(data_root, part="test", spec=recipe.spec).patches
    else:
        train, validation = recipe.split(layout.index(data_root, part="train", spec=recipe.spec))
        patches = train if part == "train" else validation
    labelled = tuple(patch for patch in patches if patch.mask is not None)
    if not labelled:
        raise ValueError(f"{data_root} holds no labelled {part} patch; nothing can be measured")
    return labelled


def document(
    matrices: NDArray[np.int64], *, patches: Sequence[Patch], spec: TaskSpec
) -> dict[str, Any]:
    """Give the figures of int64[patches, classes, classes] in all, of each class and domain."""
    whole = matrices.sum(axis=0)
    measured = metrics.measure(whole, spec=spec)
    names = ("iou", "precision", "recall", "f1")
    domains = sorted({patch.domain for patch in patches})
    of_domain = {
        domain: matrices[[patch.domain == domain for patch in patches]].sum(axis=0)
        for domain in domains
    }
    return {
        "miou": _number(measured.miou),
        "overall_accuracy": _number(measured.overall_accuracy),
        "mean_f1": _number(measured.mean_f1),
        "classes": {
            entry.key: {name: _number(getattr(measured, name)[entry.id]) for name in names}
            for entry in spec.classes
        },
        "domains": {
            domain: {
                "miou": _number(metrics.measure(matrix, spec=spec).miou),
                "overall_accuracy": _number(metrics.measure(matrix, spec=spec).overall_accuracy),
            }
            for domain, matrix in of_domain.items()
        },
        "matrix": whole.tolist(),
    }


def _draw_worst(
    predictor: predict.Predictor,
    patches: Sequence[Patch],
    matrices: NDArray[np.int64],
    *,
    count: int,
    out_dir: Path,
    spec: TaskSpec,
) -> list[dict[str, Any]]:
    """Draw the patches with the lowest accuracy as `worst-<id>.png`; give what they are."""
    accuracy = np.trace(matrices, axis1=1, axis2=2) / matrices.sum(axis=(1, 2))
    colours = np.array(
        [[int(entry.color[at : at + 2], 16) for at in (1, 3, 5)] for entry in spec.classes],
        dtype=np.uint8,
    )
    told = []
    for position in np.argsort(accuracy, kind="stable")[:count].tolist():
        patch = patches[position]
        source = Files((patch,), options=predictor.recipe.options(masks=True))
        (batch,) = batches.Epoch(source, 1)
        predicted = predict.classes_of(predictor.probabilities(batch))[0]
        image = rasters.read(patch.image, bands=(1, 2, 3))
        coloured = [colours[one].transpose(2, 0, 1) for one in (batch["mask"][0], predicted)]
        path = out_dir / f"worst-{patch.id}.png"
        rasters.write_picture(path, np.concatenate([image, *coloured], axis=2))
        told.append(
            {"patch": patch.id, "domain": patch.domain, "zone": patch.zone,
             "accuracy": float(accuracy[position]), "picture": path.name}
        )  # fmt: skip
    return told


def _number(value: Any) -> float | None:
    return None if value != value else float(value)
