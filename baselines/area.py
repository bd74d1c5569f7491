"""Map a whole area: one large GeoTIFF in, one georeferenced map out, polygons on request."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from numpy.typing import NDArray
from rasterio import shutil as raster_files
from rasterio.errors import RasterioError
from rasterio.windows import Window

from baselines import polygons as vectors
from baselines.data.world import PATCH_M
from baselines.predict import Predictor, classes_of
from baselines.train.events import Event
from scoring.engine.task.specification import TaskSpec

NO_CLASS = 255  # where the image has no data


@dataclass(frozen=True)
class Strip:
    """One window along an axis and the core of it that goes into the map."""

    start: int
    core_start: int
    core_stop: int


def strips(size: int, *, window: int, overlap: int) -> list[Strip]:
    """Cover an axis of `size` pixels; cores touch in the middle of each overlap.

    >>> [(s.start, s.core_start, s.core_stop) for s in strips(20, window=8, overlap=2)]
    [(0, 0, 7), (6, 7, 13), (12, 13, 20)]
    """
    if not 0 <= overlap < window:
        raise ValueError(f"overlap {overlap}; allowed are 0 to {window - 1}")
    last = max(size - window, 0)
    starts = [*range(0, last, window - overlap), last]
    bounds = [0, *((a + b + window) // 2 for a, b in itertools.pairwise(starts)), size]
    return [
        Strip(start, low, high)
        for start, (low, high) in zip(starts, itertools.pairwise(bounds), strict=True)
    ]


def run(
    run_dir: Path,
    *,
    image: Path,
    out: Path,
    overlap_px: int | None = None,
    batch_size: int = 4,
    flips: bool = False,
    polygons: Path | None = None,
    sieve_px: int = 0,
    simplify_m: float = 0.0,
    device: str = "auto",
    allow_unfinished: bool = False,
    on_event: Callable[[Event], None] = lambda event: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Write the map `out` (uint8 class ids, 255 where the image has no data) of a run's best epoch.

    The map is a cloud-optimised GeoTIFF with the classes' colours, overviews, the band's name and
    the classes' keys as tags (`CLASS_0` …). Windows of the training size overlap by a quarter
    unless told otherwise; the next ones are read while the present ones are computed. Memory
    doesn't grow with the area. `polygons` names a GeoPackage to write as well (`sieve_px`,
    `simplify_m`: see `baselines.polygons.write`). Events: "note", "mapped" with `done` and `total`,
    and "vectorised" with `done`.

    Gives `state`, `width_px`, `height_px`, `windows` and `polygons`.
    Raises ValueError when the network needs more than an image, or the image lacks bands, OSError
    when it cannot be read or the map not be written.
    """
    predictor = Predictor(run_dir, device=device, allow_unfinished=allow_unfinished)
    extra = sorted(set(predictor.recipe.inputs) - {"aerial"})
    if extra:
        raise ValueError(
            f"recipe {predictor.recipe.name!r} needs {', '.join(extra)}; a whole area is mapped by "
            "a network that sees the aerial image alone"
        )
    window = predictor.patch_px
    overlap = window // 4 if overlap_px is None else overlap_px
    spec = predictor.recipe.spec
    part = out.with_name(f".{out.name}.part")
    with rasterio.open(image) as source:
        if source.count < max(predictor.recipe.data.bands) or set(source.dtypes) != {"uint8"}:
            raise ValueError(
                f"{image.name}: {source.count} bands of {source.dtypes[0]}; the recipe needs bands "
                f"{list(predictor.recipe.data.bands)} of uint8"
            )
        trained_m = PATCH_M / window
        if abs(abs(source.transform.a) / trained_m - 1) > 0.1:
            message = f"pixels of {abs(source.transform.a)} m; the network learned {trained_m:g} m"
            on_event({"event": "note", "message": message})
        rows = strips(source.height, window=window, overlap=overlap)
        columns = strips(source.width, window=window, overlap=overlap)
        profile = {
            "driver": "GTiff", "width": source.width, "height": source.height, "count": 1,
            "dtype": "uint8", "crs": source.crs, "transform": source.transform,
            "nodata": NO_CLASS, "compress": "lzw", "tiled": True, "bigtiff": "IF_SAFER",
        }  # fmt: skip
        done, total = 0, len(rows) * len(columns)
        read = partial(_read, source, bands=list(predictor.recipe.data.bands), window=window)
        with rasterio.open(part, "w", **profile) as target:
            _describe(target, spec)
            for tiles, images, valid in _ahead(read, itertools.product(rows, columns), batch_size):
                if should_stop():
                    break
                batch = {"aerial": torch.from_numpy(images), "index": torch.arange(len(images))}
                shares = predictor.probabilities(batch, symmetries=8 if flips else 1)
                _write_cores(target, tiles, classes_of(shares), valid)
                done += len(tiles)
                on_event({"event": "mapped", "done": done, "total": total})
        result = {
            "state": "finished" if done == total else "stopped",
            "width_px": source.width, "height_px": source.height, "windows": done, "polygons": None,
        }  # fmt: skip
    if done < total:
        part.unlink()
        return result
    _optimise(part, out=out)
    if polygons is not None:
        result["polygons"] = vectors.write(
            out, out=polygons, spec=spec, sieve_px=sieve_px, simplify_m=simplify_m,
            on_progress=lambda count: on_event({"event": "vectorised", "done": count}),
        )  # fmt: skip
    return result


def _describe(target: rasterio.io.DatasetWriter, spec: TaskSpec) -> None:
    """Write the colour and the key of each class, and the band's name."""
    colours = {
        entry.id: (*(int(entry.color[at : at + 2], 16) for at in (1, 3, 5)), 255)
        for entry in spec.classes
    }
    target.write_colormap(1, {**colours, NO_CLASS: (0, 0, 0, 0)})
    target.set_band_description(1, "land cover")
    target.update_tags(**{f"CLASS_{entry.id}": entry.key for entry in spec.classes})


def _optimise(part: Path, *, out: Path) -> None:
    """Write a map anew as a cloud-optimised GeoTIFF, and remove the first one.

    Raises OSError where that fails, as on a full disk: the first one, hours of work, stays.
    """
    ready = out.with_name(f".{out.name}.cog")
    try:
        raster_files.copy(
            part, ready, driver="COG", compress="LZW", overview_resampling="nearest",
            bigtiff="IF_SAFER",
        )  # fmt: skip
        ready.replace(out)
    except (OSError, RasterioError) as error:
        raise OSError(
            f"{out} cannot be written: {error}. The map is whole and lies in {part}, without "
            f"overviews; make room, then: gdal_translate -of COG {part} {out}"
        ) from error
    finally:
        ready.unlink(missing_ok=True)
    part.unlink(missing_ok=True)


Tiles = list[tuple[Strip, Strip]]
Read = tuple[Tiles, NDArray[np.uint8], list[NDArray[np.bool_]]]


def _ahead(
    read: Callable[[Tiles], Read], places: Iterator[tuple[Strip, Strip]], size: int
) -> Iterator[Read]:
    """Read batches of windows in a thread, one ahead of what is computed."""
    with ThreadPoolExecutor(1) as reader:
        waiting = None
        for tiles in _batched(places, size):
            following = reader.submit(read, tiles)
            if waiting is not None:
                yield waiting.result()
            waiting = following
        if waiting is not None:
            yield waiting.result()


def _read(source: rasterio.DatasetReader, tiles: Tiles, *, bands: list[int], window: int) -> Read:
    """Give the pixels of some windows, and where each has data."""
    images, valid = [], []
    for row, column in tiles:
        here = Window(column.start, row.start, window, window)
        inside = here.intersection(Window(0, 0, source.width, source.height))
        pixels = source.read(bands, window=inside)
        valid.append(source.dataset_mask(window=inside) > 0)
        missing = [(0, 0), (0, window - pixels.shape[1]), (0, window - pixels.shape[2])]
        images.append(np.pad(pixels, missing, mode="symmetric"))
    return tiles, np.stack(images), valid


def _write_cores(
    target: rasterio.io.DatasetWriter,
    tiles: Tiles,
    classes: NDArray[np.uint8],
    valid: list[NDArray[np.bool_]],
) -> None:
    """Write what of some windows goes into the map."""
    for (row, column), predicted, has_data in zip(tiles, classes, valid, strict=True):
        cut = np.where(
            has_data, predicted[: has_data.shape[0], : has_data.shape[1]], NO_CLASS
        ).astype(np.uint8)
        core = cut[
            row.core_start - row.start : row.core_stop - row.start,
            column.core_start - column.start : column.core_stop - column.start,
        ]
        window = Window(column.core_start, row.core_start, core.shape[1], core.shape[0])
        target.write(core, 1, window=window)


def _batched(items: Iterator[Any], size: int) -> Iterator[list[Any]]:
    while some := list(itertools.islice(items, size)):
        yield some
