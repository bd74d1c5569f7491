"""The floor: one pixel at a time, without any neighbour; scikit-learn, no torch.

Features of a pixel are its bands and three indices of them; the classifier is a small random
forest fitted on a sample of the train pixels.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from baselines.data import layout, rasters
from baselines.data.nomenclature import FLAIR_LABELS, Labels, labels_of, reduce_labels
from scoring.engine.task import specification as specs
from scoring.engine.task.specification import TaskSpec

Model: TypeAlias = RandomForestClassifier


def features(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Turn uint8[5, H, W] (or any subset from RGB on) into float32[H·W, features]."""
    bands = image.reshape(image.shape[0], -1).astype(np.float32)
    columns = list(bands)
    if len(bands) >= 4:
        red, green, blue, near = bands[:4]
        columns += [
            (near - red) / (near + red + 1),
            (green - near) / (green + near + 1),
            blue / (red + green + 1),
        ]
    return np.stack(columns, axis=1)


def fit(
    images: Iterable[NDArray[np.uint8]],
    masks: Iterable[NDArray[np.uint8]],
    *,
    labels: Labels = FLAIR_LABELS,
    pixels_per_image: int = 5000,
    trees: int = 8,
    seed: int = 0,
) -> Model:
    """Fit on images uint8[bands, H, W] and masks uint8[H, W] of labels.

    Raises ValueError when there is no image or a mask holds a value that is no label.
    """
    rng = np.random.default_rng(seed)
    samples, targets = [], []
    for image, mask in zip(images, masks, strict=True):
        chosen = rng.integers(0, mask.size, pixels_per_image)
        samples.append(features(image)[chosen])
        targets.append(reduce_labels(mask, labels=labels).ravel()[chosen])
    if not samples:
        raise ValueError("no training image")
    # Eight shallow trees: 0.1 s a patch of 512 px; boosting took 2 s for little more.
    model = RandomForestClassifier(trees, max_depth=12, random_state=seed)
    model.fit(np.concatenate(samples), np.concatenate(targets))
    return model


def predict(model: Model, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Give class ids uint8[H, W] of an image uint8[bands, H, W]."""
    classes = np.asarray(model.predict(features(image)), dtype=np.uint8)
    return classes.reshape(image.shape[1:])


def run(
    root: Path,
    out: Path,
    *,
    task: TaskSpec | str | Path = "flair-2",
    seed: int = 0,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Fit on a tree's train part, predict its test part into the zip `out`, tell what was done.

    Raises ValueError where a part is missing or a mask does not fit the task.
    """
    spec = task if isinstance(task, TaskSpec) else specs.load(task)
    train = layout.index(root, part="train", spec=spec)
    test = layout.index(root, part="test", spec=spec)
    fitted = [patch for patch in train.patches if patch.mask is not None]
    if not fitted or not test.patches:
        raise ValueError(f"{root}: needs labelled train patches and test patches")
    model = fit(
        (rasters.read(patch.image) for patch in fitted),
        (rasters.read(patch.mask)[0] for patch in fitted if patch.mask is not None),
        labels=labels_of(spec),
        seed=seed,
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f".{out.name}.part")
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
        for done, patch in enumerate(test.patches):
            classes = predict(model, rasters.read(patch.image))
            name = spec.prediction_name.replace("{id}", patch.id)
            archive.writestr(name, rasters.encode(classes))
            on_progress(done + 1, len(test.patches))
    part.replace(out)
    return {
        "trained_on": len(fitted),
        "predicted": len(test.patches),
        "archive": str(out),
    }
