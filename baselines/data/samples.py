"""One patch as arrays, read straight from the tree's files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from baselines.data import metadata, rasters, sentinel
from baselines.data.layout import Patch
from baselines.data.nomenclature import FLAIR_LABELS, Labels, reduce_labels

READERS = 16
BANDS = (1, 2, 3, 4, 5)


@dataclass(frozen=True)
class Options:
    """What of a patch is wanted; what is None or False is neither read nor stored.

    `labels` says which class id each value of a mask is.
    """

    bands: tuple[int, ...] | None = BANDS
    masks: bool = True
    series: sentinel.SeriesOptions | None = None
    metadata: metadata.Encoding | None = None
    labels: Labels = FLAIR_LABELS


@dataclass(frozen=True)
class Sample:
    """Arrays of one patch; None for what was not asked for.

    `aerial` uint8[bands, H, W], `mask` uint8[H, W] of class ids, `series` int16[T, 10, h, w],
    `days` float32[T], `metadata` float32[45].
    """

    aerial: NDArray[np.uint8] | None = None
    mask: NDArray[np.uint8] | None = None
    series: NDArray[np.int16] | None = None
    days: NDArray[np.float32] | None = None
    metadata: NDArray[np.float32] | None = None


def read(patch: Patch, *, options: Options) -> Sample:
    """Read a patch. Raises ValueError with the patch's id when it lacks something wanted."""
    try:
        series, days = _series(patch, options.series) if options.series else (None, None)
        return Sample(
            aerial=None
            if options.bands is None
            else rasters.read(patch.image, bands=options.bands),
            mask=_mask(patch, options.labels) if options.masks else None,
            metadata=_metadata(patch, options.metadata) if options.metadata else None,
            series=series,
            days=days,
        )
    except ValueError as wrong:
        raise ValueError(f"patch {patch.id}: {wrong}") from wrong


def _mask(patch: Patch, labels: Labels) -> NDArray[np.uint8]:
    if patch.mask is None:
        raise ValueError("has no mask")
    try:
        return reduce_labels(rasters.read(patch.mask, bands=(1,))[0], labels=labels)
    except ValueError as wrong:
        raise ValueError(_with_file(patch.mask, str(wrong))) from wrong


def _with_file(path: Path, message: str) -> str:
    return message if path.name in message else f"{path}: {message}"


def _metadata(patch: Patch, encoding: metadata.Encoding) -> NDArray[np.float32]:
    if patch.metadata is None:
        raise ValueError("has no entry in the metadata file")
    return metadata.encode(patch.metadata, encoding=encoding)


def _series(
    patch: Patch, options: sentinel.SeriesOptions
) -> tuple[NDArray[np.int16], NDArray[np.float32]]:
    if patch.series is None or patch.centroid is None:
        raise ValueError("has no Sentinel-2 series or no centroid in it")
    data, masks = _mapped(patch.series.data), _mapped(patch.series.masks)
    products = patch.series.products.read_text()
    zone = f"zone {patch.domain} {patch.zone}"
    if not products.split():
        raise ValueError(
            f"{zone} has no satellite date: {patch.series.products} lists no product; at least one "
            "is needed. Get the zone's files again, or leave its patches out"
        )
    try:
        return sentinel.make_series(
            data, masks, products=products, centre=patch.centroid, options=options
        )
    except ValueError as wrong:
        raise ValueError(f"{zone}, {patch.series.products}: {wrong}") from wrong


@lru_cache(maxsize=32)
def _mapped(path: Path) -> NDArray[np.integer]:
    """Map an array; only the cells of a crop are read from the disk."""
    try:
        array: NDArray[np.integer] = np.load(path, mmap_mode="r")
    except (ValueError, EOFError) as wrong:
        raise ValueError(f"{path}: damaged or cut short") from wrong
    return array


@dataclass
class Batch:
    """Arrays of several patches, padded along the dates; None for what was not asked for.

    As `Sample` with a leading axis; `padding` bool[B, T] is True where a date is padding.
    """

    index: NDArray[np.int64]
    aerial: NDArray[np.uint8] | None = None
    mask: NDArray[np.uint8] | None = None
    series: NDArray[np.int16] | None = None
    days: NDArray[np.float32] | None = None
    padding: NDArray[np.bool_] | None = None
    metadata: NDArray[np.float32] | None = None
    arrays: dict[str, NDArray[np.generic]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        names = ("aerial", "mask", "series", "days", "padding", "metadata")
        self.arrays = {
            name: getattr(self, name) for name in names if getattr(self, name) is not None
        }


def stack(samples: Sequence[Sample], *, index: Sequence[int]) -> Batch:
    """Stack samples, zeros appended to the shorter series."""
    batch: dict[str, NDArray[np.generic]] = {}
    for name in ("aerial", "mask", "metadata"):
        values = [getattr(sample, name) for sample in samples]
        if values[0] is not None:
            batch[name] = np.stack(values)
    if samples[0].series is not None:
        batch |= pad_series([(sample.series, sample.days) for sample in samples])  # type: ignore[misc]
    return Batch(index=np.asarray(index, dtype=np.int64), **batch)  # type: ignore[arg-type]


def pad_series(
    parts: Sequence[tuple[NDArray[np.int16], NDArray[np.float32]]],
) -> dict[str, NDArray[np.generic]]:
    """Give `series`, `days` and `padding` of a batch, as long as its longest series."""
    longest = max(len(days) for _, days in parts)
    count = len(parts)
    series = np.zeros((count, longest, *parts[0][0].shape[1:]), dtype=np.int16)
    days = np.zeros((count, longest), dtype=np.float32)
    padding = np.ones((count, longest), dtype=bool)
    for row, (frames, offsets) in enumerate(parts):
        series[row, : len(offsets)] = frames
        days[row, : len(offsets)] = offsets
        padding[row, : len(offsets)] = False
    return {"series": series, "days": days, "padding": padding}


class Files:
    """Patches read from the tree each time: for prediction, where each is needed once.

    Several threads read a batch (decoding lets go of the interpreter): one would not keep a GPU
    busy.
    """

    def __init__(self, patches: Sequence[Patch], *, options: Options) -> None:
        """Hold the patches; nothing is read yet."""
        self.patches = tuple(patches)
        self.options = options
        self._readers = ThreadPoolExecutor(min(READERS, os.cpu_count() or 1))

    def __len__(self) -> int:
        return len(self.patches)

    def gather(self, index: Sequence[int]) -> Batch:
        """Read the patches of some positions."""
        read_one = partial(read, options=self.options)
        samples = self._readers.map(read_one, [self.patches[position] for position in index])
        return stack(list(samples), index=index)
