"""Map a whole area: one large GeoTIFF in, one georeferenced map out, polygons on request."""

from __future__ import annotations

import itertools
import json
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from rasterio import features
from rasterio.windows import Window

from baselines.data.world import PATCH_M
from baselines.predict import Predictor, classes_of
from baselines.train.events import Event
from scoring.engine.task import specification as specs

NO_CLASS = 255  # where the image has no data
POLYGONS_PER_WRITE = 20_000


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
    device: str = "auto",
    allow_unfinished: bool = False,
    on_event: Callable[[Event], None] = lambda event: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Write the map `out` (uint8 class ids, 255 where the image has no data) of a run's best epoch.

    Windows of the training size overlap by a quarter unless told otherwise. Memory doesn't grow
    with the area. `polygons` names a GeoPackage to write as well; `sieve_px` merges smaller
    regions into their neighbours first. Events: "note", "mapped" with `done` and `total`, and
    "vectorised" with `done`.

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
        with rasterio.open(part, "w", **profile) as target:
            for tiles in _batched(itertools.product(rows, columns), batch_size):
                if should_stop():
                    break
                _map(predictor, source, target, tiles, window=window, flips=flips)
                done += len(tiles)
                on_event({"event": "mapped", "done": done, "total": total})
        result = {
            "state": "finished" if done == total else "stopped",
            "width_px": source.width, "height_px": source.height, "windows": done, "polygons": None,
        }  # fmt: skip
    if done < total:
        part.unlink()
        return result
    part.replace(out)
    if polygons is not None:
        spec = predictor.recipe.spec
        result["polygons"] = vectorise(
            out, out=polygons, spec=spec, sieve_px=sieve_px,
            on_progress=lambda count: on_event({"event": "vectorised", "done": count}),
        )  # fmt: skip
    return result


def _map(
    predictor: Predictor,
    source: rasterio.DatasetReader,
    target: rasterio.io.DatasetWriter,
    tiles: list[tuple[Strip, Strip]],
    *,
    window: int,
    flips: bool,
) -> None:
    """Predict a few windows and write their cores."""
    bands = list(predictor.recipe.data.bands)
    images, valid = [], []
    for row, column in tiles:
        here = Window(column.start, row.start, window, window)
        inside = here.intersection(Window(0, 0, source.width, source.height))
        pixels = source.read(bands, window=inside)
        valid.append(source.dataset_mask(window=inside) > 0)
        missing = [(0, 0), (0, window - pixels.shape[1]), (0, window - pixels.shape[2])]
        images.append(np.pad(pixels, missing, mode="symmetric"))
    batch = {
        "aerial": torch.from_numpy(np.stack(images)),
        "index": torch.arange(len(images)),
    }
    classes = classes_of(predictor.probabilities(batch, symmetries=8 if flips else 1))
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


def vectorise(
    raster: Path,
    *,
    out: Path,
    spec: specs.TaskSpec,
    sieve_px: int = 0,
    on_progress: Callable[[int], None] = lambda count: None,
) -> int:
    """Turn a map into polygons of one class each (GeoPackage); give their number.

    `on_progress` is told how many are written; how many there will be, nobody knows.
    Fields: class_id, key, name (English), color, area_m2.
    """
    import shapely
    from pyogrio import raw

    count = 0
    out.unlink(missing_ok=True)
    with rasterio.open(raster) as source:
        band: Any = rasterio.band(source, 1)
        mask = source.dataset_mask() > 0
        if sieve_px > 1:  # never across the edge of the data
            band = features.sieve(source.read(1), sieve_px, mask=mask)
        crs = source.crs.to_wkt() if source.crs else None
        shapes = features.shapes(band, mask=mask, connectivity=4, transform=source.transform)
        for some in _batched(shapes, POLYGONS_PER_WRITE):
            shapes = shapely.from_geojson([json.dumps(geometry) for geometry, _ in some])
            ids = np.array([int(value) for _, value in some], dtype=np.int32)
            classes = [spec.classes[value] for value in ids]
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message=".*'crs' was not provided.*")
                raw.write(
                    str(out),
                    geometry=np.array(shapely.to_wkb(shapes), dtype=object),
                    field_data=[
                        ids,
                        np.array([entry.key for entry in classes], dtype=object),
                        np.array([entry.name["en"] for entry in classes], dtype=object),
                        np.array([entry.color for entry in classes], dtype=object),
                        np.asarray(shapely.area(shapes)),
                    ],
                    fields=["class_id", "key", "name", "color", "area_m2"],
                    layer="land_cover",
                    driver="GPKG",
                    geometry_type="Polygon",
                    crs=crs,
                    append=count > 0,
                )
            count += len(some)
            on_progress(count)
    return count


def _batched(items: Iterator[Any], size: int) -> Iterator[list[Any]]:
    while some := list(itertools.islice(items, size)):
        yield some
