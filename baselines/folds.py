"""Cross-validation: the runs of one recipe, each measured on the domains it was trained without."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from baselines import evaluate, predict
from baselines.data import layout
from baselines.data.layout import Patch
from baselines.train.events import Event
from baselines.train.recipe import Recipe

REPORT = "folds.json"
_MEASURES = ("miou", "overall_accuracy", "mean_f1")


def run(
    run_dirs: Sequence[Path],
    *,
    data_root: Path,
    out_dir: Path,
    batch_size: int | None = None,
    device: str = "auto",
    allow_unfinished: bool = False,
    on_event: Callable[[Event], None] = lambda event: None,
) -> dict[str, Any]:
    """Measure every run on its held-out domains and write `folds.json`.

    The document has `folds` (run, held-out number, domains, patches, mIoU, overall accuracy, mean
    F1 of each), `mean` and `std` of those over the folds (sample deviation, None for one fold),
    and `together`: the figures of `evaluate` over the patches of all folds, each predicted by the
    run that was trained without its domain. `complete` tells whether every fold is there.

    Gives the document without `together`'s matrix, classes and domains, and `report`, its path.
    Raises ValueError for a run whose recipe is not split by folds, for recipes that differ in more
    than `data.held_out`, a fold that is there twice, and patches without labels; what
    `predict.Predictor` raises.
    """
    predictors = [
        predict.Predictor(run_dir, device=device, allow_unfinished=allow_unfinished)
        for run_dir in run_dirs
    ]
    recipes = [one.recipe for one in predictors]
    _require_folds(run_dirs, recipes)
    spec = recipes[0].spec
    index = layout.index(data_root, part="train", spec=spec)
    parts: list[tuple[Patch, ...]] = []
    counts = []
    folds: list[dict[str, Any]] = []
    for run_dir, predictor in zip(run_dirs, predictors, strict=True):
        recipe = predictor.recipe
        held_out = recipe.split(index)[1]
        if any(patch.mask is None for patch in held_out):
            raise ValueError(f"{data_root} has patches of {run_dir}'s fold without a mask")
        counted = evaluate.matrices(
            predictor, held_out, batch_size=batch_size or recipe.training.batch_size,
            on_event=on_event,
        )  # fmt: skip
        measured = evaluate.document(counted, patches=held_out, spec=spec)
        parts.append(held_out)
        counts.append(counted)
        folds.append(
            {
                "run": str(run_dir), "held_out": recipe.data.held_out,
                "domains": sorted(measured["domains"]), "patches": len(held_out),
                **{key: measured[key] for key in _MEASURES},
            }
        )  # fmt: skip
    together = evaluate.document(
        np.concatenate(counts), patches=[patch for part in parts for patch in part], spec=spec
    )
    about = {
        "recipe": recipes[0].name,
        "complete": len(folds) == recipes[0].data.folds,
        "folds": sorted(folds, key=lambda fold: fold["held_out"]),
        "mean": {key: _over(folds, key, statistics.fmean) for key in _MEASURES},
        "std": {
            key: _over(folds, key, statistics.stdev) if len(folds) > 1 else None
            for key in _MEASURES
        },
    }
    out_dir.mkdir(parents=True, exist_ok=True)
    (out_dir / REPORT).write_text(json.dumps({**about, "together": together}, indent=1))
    short = {key: together[key] for key in _MEASURES}
    return {**about, "together": short, "report": str(out_dir / REPORT)}


def _over(
    folds: Sequence[dict[str, Any]], key: str, how: Callable[[list[float]], float]
) -> float | None:
    values = [fold[key] for fold in folds]
    return None if None in values else how(values)


def _require_folds(run_dirs: Sequence[Path], recipes: Sequence[Recipe]) -> None:
    """Raise ValueError unless the runs are different folds of one recipe."""
    for run_dir, recipe in zip(run_dirs, recipes, strict=True):
        if recipe.data.split != "fold":
            raise ValueError(
                f"{run_dir}: data.split is {recipe.data.split!r}; runs of folds "
                "(--set data.split=fold) are needed"
            )
    alike = {_without_fold(recipe) for recipe in recipes}
    if len(alike) > 1:
        raise ValueError(
            f"{', '.join(map(str, run_dirs))}: their recipes differ in more than data.held_out; "
            "give the folds of one recipe"
        )
    held_out = [recipe.data.held_out for recipe in recipes]
    if len(set(held_out)) < len(held_out):
        raise ValueError(
            f"{', '.join(map(str, run_dirs))}: held-out folds are {held_out}; one run of each fold "
            "is needed"
        )


def _without_fold(recipe: Recipe) -> str:
    document = recipe.to_json()
    del document["data"]["held_out"]
    del document["training"]["devices"]
    return json.dumps(document, sort_keys=True)
