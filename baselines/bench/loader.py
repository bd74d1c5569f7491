"""How many samples a second: read the reference's way, and ours, on one thread each.

The reference's way, written plainly: for every sample both rasters, the whole super-area's series
and masks, the filter and the monthly means, float64 images divided by 255, flips of them. Ours:
`Cache.gather` of batches, bytes until the device; scaling and flips on the whole batch.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from numpy.typing import NDArray

from baselines.data import batches, cache, layout, sentinel, synth
from baselines.data.layout import Patch
from baselines.data.samples import Options
from baselines.data.sentinel import SeriesOptions

BATCH = 8
OPTIONS = Options(series=SeriesOptions(filter=True, monthly=True), metadata="scaled")


def run(*, quick: bool = False, on_line: Callable[[str], None]) -> dict[str, Any]:
    """Make a small tree of full-size patches, measure both ways, give the results."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as folder:
            return _measure(Path(folder), quick=quick, on_line=on_line)
    finally:
        torch.set_num_threads(threads)


def _measure(root: Path, *, quick: bool, on_line: Callable[[str], None]) -> dict[str, Any]:
    on_line("making a tree of 512 px patches with 60 dates in zones of about 180 × 180 cells")
    count = 25 if quick else 50
    synth.make(root / "tree", train=count, val=0, test=0, per_zone=25, dates=(60, 60))
    patches = layout.index(root / "tree", part="train").patches
    rng = np.random.default_rng(0)

    def plain() -> int:
        chosen = rng.permutation(len(patches))[: 8 if quick else 24]
        for position in chosen:
            _read_plainly(patches[position], rng)
        return len(chosen)

    begun = time.perf_counter()
    packed = cache.build(root / "cache", patches, options=OPTIONS, workers=1)
    packing_s = (time.perf_counter() - begun) / len(patches)
    device = torch.device("cpu")

    def ours() -> int:
        done = 0
        for batch in batches.Epoch(packed, BATCH, seed=1, epoch=done, shuffle=True):
            done += len(batch["index"])
        return done

    def turned() -> int:
        done = 0
        for batch in batches.Epoch(packed, BATCH, seed=1, epoch=done, shuffle=True):
            for name in ("aerial", "mask", "series"):
                batches.turn_squares(batch[name], batch["turn"])
            done += len(batch["index"])
        return done

    def scaled() -> int:
        done = 0
        for batch in batches.Epoch(packed, BATCH, seed=1, epoch=done, shuffle=True):
            batches.to_inputs(
                batch, device=device, moved="together", memory_format=torch.channels_last
            )
            done += len(batch["index"])
        return done

    results: dict[str, Any] = {"packing_ms": packing_s * 1000, "threads": 1}
    ways: list[tuple[str, Callable[[], int]]] = [
        ("reference", plain), ("ours", ours), ("ours_with_flips_on_cpu", turned),
        ("ours_with_flips_and_scaling_on_cpu", scaled),
    ]  # fmt: skip
    for name, way in ways:
        way()  # once to warm the page cache, for both alike
        repeats = [_timed(way) for _ in range(3 if quick else 5)]
        results[f"{name}_ms"] = min(cpu for _, cpu in repeats) * 1000
        results[f"{name}_wall_ms"] = min(wall for wall, _ in repeats) * 1000
    results["ratio"] = results["reference_ms"] / results["ours_ms"]
    results["bytes_to_device"] = sum(array.nbytes for array in packed.gather([0]).arrays.values())
    for name, value in results.items():
        on_line(f"{name:<42} {value:10.2f}")
    return results


def _timed(way: Callable[[], int]) -> tuple[float, float]:
    """Give wall and CPU seconds a sample."""
    wall, cpu = time.perf_counter(), time.process_time()
    done = way()
    return (time.perf_counter() - wall) / done, (time.process_time() - cpu) / done


def _read_plainly(patch: Patch, rng: np.random.Generator) -> tuple[NDArray[np.float64], ...]:
    """Read one sample as the published loader does."""
    assert patch.mask is not None
    assert patch.series is not None
    assert patch.centroid is not None
    with rasterio.open(patch.image) as source:
        image = source.read().swapaxes(0, 2).swapaxes(0, 1)
    with rasterio.open(patch.mask) as source:
        mask = source.read(1)
    mask = np.where(mask > 13, 13, mask).astype(np.int64) - 1
    area, cover = np.load(patch.series.data), np.load(patch.series.masks)
    row, column = patch.centroid
    window = (slice(None), slice(None), slice(row - 20, row + 20), slice(column - 20, column + 20))
    series, cover = area[window], cover[window]
    dates = sentinel.parse_dates(patch.series.products.read_text())
    kept = [
        index
        for index in range(len(dates))
        if ((cover[index] >= 60).any(axis=0)).mean() < 0.5
    ]  # fmt: skip
    months = np.array([dates[index].month for index in kept])
    means = np.stack([
        series[kept][months == month].mean(axis=0) for month in np.unique(months)
    ])  # fmt: skip
    if rng.random() < 0.5:
        image, mask = image[:, ::-1], mask[:, ::-1]
    if rng.random() < 0.5:
        image, mask = image[::-1], mask[::-1]
    turns = int(rng.integers(0, 4))
    image, mask = np.rot90(image, turns), np.rot90(mask, turns)
    image = image.swapaxes(0, 2).swapaxes(1, 2) / 255.0
    json.dumps(patch.metadata)
    return np.ascontiguousarray(image), np.ascontiguousarray(mask), means / 10_000.0
