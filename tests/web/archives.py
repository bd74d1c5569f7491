"""Zips of predictions for the pages' tests, sound and unsound."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def make_raster(*, seed: int, shift: int = 0, size_px: int = 512) -> NDArray[np.uint8]:
    """Stripes and waves of classes 0..12 (plus ``shift``), uint8[size, size]."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:size_px, :size_px]
    waves = sum(
        np.sin(x * random.uniform(-0.03, 0.03) + y * random.uniform(-0.03, 0.03) + phase)
        for phase in random.uniform(0, 6, 4)
    )
    classes = ((waves + 4) / 8 * 13).astype(np.int64).clip(0, 12)
    classes[0, :13] = np.arange(13)
    return (classes + shift).astype(np.uint8)


def make_tiff(pixels: NDArray[np.uint8], *, compression: str = "tiff_lzw") -> bytes:
    """A raster as a TIFF."""
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, "TIFF", compression=compression)
    return target.getvalue()


def make_zip(
    path: Path,
    ids: Iterable[str],
    *,
    shift: int = 0,
    compression: str = "tiff_lzw",
    size_px: int = 512,
    name: str = "PRED_{id}.tif",
    more: dict[str, bytes] | None = None,
) -> Path:
    """Write a zip of predictions for ``ids`` and return its path."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for position, patch_id in enumerate(ids):
            raster = make_raster(seed=position, shift=shift, size_px=size_px)
            data = make_tiff(raster, compression=compression)
            target.writestr(name.replace("{id}", patch_id), data)
        for other, content in (more or {}).items():
            target.writestr(other, content)
    return path
