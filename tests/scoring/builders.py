"""Small tasks, masks and files that tests of the engine share."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scoring.engine.metrics import counting, evidence
from scoring.engine.metrics.evidence import Evidence
from scoring.engine.task.specification import Patch, TaskSpec, parse
from scoring.engine.truth import store

Masks = Mapping[str, NDArray[np.uint8]]


def task(
    *,
    n_classes: int = 4,
    height_px: int = 16,
    width_px: int = 24,
    n_unscored: int = 1,
    **changes: Any,
) -> TaskSpec:
    """Classes 0.. of labels 1.., the last of them unscored and standing for two labels."""
    classes = [
        {"id": i, "key": f"class_{i}", "labels": [i + 1], "scored": i < n_classes - 1}
        for i in range(n_classes)
    ]
    classes[-1]["labels"] = [n_classes, n_classes + 1]
    document = {
        "id": "made",
        "patch_height_px": height_px,
        "patch_width_px": width_px,
        "label_offset": 1,
        "unscored_policy": "full-matrix",
        "absent_policy": "skip",
        "prediction_pattern": "PRED_(?P<id>[0-9]{3})",
        "truth_pattern": "MSK_(?P<id>[0-9]{3})",
        "prediction_name": "PRED_{id}.tif",
        "classes": classes,
    }
    return parse({"task": {**document, **changes}}, folder=Path())


def masks(spec: TaskSpec, *, count: int, seed: int = 0) -> dict[str, NDArray[np.uint8]]:
    """Blocky masks of the specification's own values, by id 001…"""
    rng = np.random.default_rng(seed)
    shape = (spec.patch_height_px, spec.patch_width_px)
    made = {}
    for number in range(1, count + 1):
        coarse = rng.choice(spec.label_values, size=(-(-shape[0] // 4), -(-shape[1] // 4)))
        mask = np.kron(coarse, np.ones((4, 4))).astype(np.uint8)[: shape[0], : shape[1]]
        made[f"{number:03d}"] = np.ascontiguousarray(mask)
    return made


def predictions(spec: TaskSpec, truth: Masks, *, wrong: float = 0.3, seed: int = 1) -> Masks:
    """The truth's classes with a share of the pixels drawn anew."""
    rng = np.random.default_rng(seed)
    made = {}
    for patch_id, mask in truth.items():
        classes = spec.label_table[mask].copy()
        drawn = rng.random(mask.shape) < wrong
        classes[drawn] = rng.integers(0, spec.n_classes, size=int(drawn.sum()), dtype=np.uint8)
        made[patch_id] = classes
    return made


def patch(patch_id: str) -> Patch:
    """Three patches a zone, two zones a domain."""
    zone = (int(patch_id) - 1) // 3
    return Patch(patch_id, f"D{zone // 2 + 1:03d}_2020", f"Z{zone % 2 + 1}_UN")


def pack_truth(path: Path, spec: TaskSpec, truth: Masks) -> store.StoreInfo:
    """The masks in one file."""
    return store.from_arrays(((patch(i), mask) for i, mask in truth.items()), path, spec=spec)


def build_evidence(folder: Path, spec: TaskSpec, truth: Masks, predicted: Masks) -> Evidence:
    """Evidence as the pipeline makes it."""
    pack_truth(folder / "truth.pack", spec, truth)
    with store.PackedTruth.open(folder / "truth.pack") as opened:
        counter = counting.PatchCounter(opened, n_classes=spec.n_classes)
        builder = evidence.EvidenceBuilder(spec, opened)
        for patch_id, classes in predicted.items():
            builder.add(patch_id, counter.count(patch_id, classes).counts)
        return builder.build(content_digest="c0ffee")


def confusion_matrix(spec: TaskSpec, truth: Masks, predicted: Masks) -> NDArray[np.int64]:
    """The confusion matrix by a plain loop over pixels: a reference implementation."""
    total = np.zeros((spec.n_classes, spec.n_classes), dtype=np.int64)
    for patch_id, mask in truth.items():
        for label, found in zip(mask.flat, predicted[patch_id].flat, strict=True):
            total[spec.label_table[label], found] += 1
    return total


def write_tiff(path: Path, pixels: NDArray[Any], **options: Any) -> Path:
    """Write a GeoTIFF of uint8[H, W] or of [bands, H, W]."""
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning

    bands = pixels if pixels.ndim == 3 else pixels[None]
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {
        "driver": "GTiff",
        "count": bands.shape[0],
        "height": bands.shape[1],
        "width": bands.shape[2],
        "dtype": str(bands.dtype),
        "compress": "lzw",
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "w", **{**profile, **options}) as raster:
            raster.write(bands)
    return path


def write_mask_folders(folder: Path, truth: Masks, **options: Any) -> Path:
    """Masks as the data set lays them out: ``D001_2020/Z1_UN/msk/MSK_001.tif``."""
    for patch_id, mask in truth.items():
        where = patch(patch_id)
        write_tiff(
            folder / where.domain / where.zone / "msk" / f"MSK_{patch_id}.tif", mask, **options
        )
    return folder


def write_archive(path: Path, predicted: Masks, **options: Any) -> Path:
    """A zip of prediction rasters, flat."""
    rasters = path.parent / f"{path.stem}-rasters"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
        for patch_id, classes in predicted.items():
            name = f"PRED_{patch_id}.tif"
            zipped.write(write_tiff(rasters / name, classes, **options), name)
    return path
