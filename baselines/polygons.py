"""A map of classes as polygons: tile by tile, so that memory doesn't grow with the area."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio import features
from rasterio.windows import Window

from scoring.engine.task.specification import TaskSpec

TILE_PX = 2048
LAYER = "land_cover"


def write(
    raster: Path,
    *,
    out: Path,
    spec: TaskSpec,
    sieve_px: int = 0,
    simplify_m: float = 0.0,
    tile_px: int = TILE_PX,
    on_progress: Callable[[int], None] = lambda count: None,
) -> int:
    """Turn a map into polygons of one class each (GeoPackage); give their number.

    Polygons end at the borders of tiles of `tile_px`, at multiples of it. `sieve_px` merges smaller
    regions into their neighbours; `simplify_m` smooths the borders between polygons by about so
    much, both sides of each alike, so that polygons stay valid and neither overlap nor gape; the
    borders of tiles and of the data stay as they are. `on_progress` is told how many are written;
    how many there will be, nobody knows. Fields: class_id, key, name (English), color, area_m2.
    The file takes its place when it is whole.
    """
    count = 0
    part = out.with_name(f".{out.stem}.part.gpkg")  # the driver asks for the ending
    part.unlink(missing_ok=True)
    with rasterio.open(raster) as source:
        pixel_m = abs(source.transform.a)
        crs = source.crs.to_wkt() if source.crs else None
        for window in _tiles(source.width, source.height, tile_px=tile_px):
            classes, ids = _of_tile(
                source, window, sieve_px=sieve_px, tolerance_px=simplify_m / pixel_m
            )
            if not len(ids):
                continue
            _append(part, classes, ids, spec=spec, crs=crs, is_first=count == 0)
            count += len(ids)
            on_progress(count)
    out.unlink(missing_ok=True)
    if count:
        part.replace(out)
    return count


def _tiles(width: int, height: int, *, tile_px: int) -> Iterator[Window]:
    for top in range(0, height, tile_px):
        for left in range(0, width, tile_px):
            yield Window(left, top, min(tile_px, width - left), min(tile_px, height - top))


def _of_tile(
    source: rasterio.DatasetReader, window: Window, *, sieve_px: int, tolerance_px: float
) -> tuple[NDArray[np.object_], NDArray[np.int32]]:
    """Give a tile's polygons in the map's coordinates, and the class of each."""
    import shapely

    values, mask = _sieved(source, window, sieve_px=sieve_px)
    found = list(features.shapes(values, mask=mask, connectivity=4))
    shapes: Any = shapely.from_geojson([json.dumps(geometry) for geometry, _ in found])
    ids = np.array([int(value) for _, value in found], dtype=np.int32)
    shapes = np.asarray(shapes, dtype=object)
    if tolerance_px > 0 and len(shapes):
        # A corner at each pixel, on whole numbers: else two sides of a border have other corners.
        fine = shapely.transform(shapely.segmentize(shapes, 1.0), np.rint)
        shapes = shapely.coverage_simplify(fine, tolerance_px, simplify_boundary=False)
    place = source.transform

    def moved(points: NDArray[np.float64]) -> NDArray[np.float64]:
        columns, rows = points[:, 0] + window.col_off, points[:, 1] + window.row_off
        return np.stack(
            [
                place.a * columns + place.b * rows + place.c,
                place.d * columns + place.e * rows + place.f,
            ],
            axis=1,
        )

    return shapely.transform(shapes, moved), ids


def _sieved(
    source: rasterio.DatasetReader, window: Window, *, sieve_px: int
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Give a tile's classes and where it has data, small regions merged, never across its edge.

    A margin is read as well, so that a region that a tile cuts keeps its size.
    """
    if sieve_px <= 1:
        return source.read(1, window=window), source.dataset_mask(window=window) > 0
    margin = min(sieve_px, TILE_PX // 2)
    wide = Window(
        max(window.col_off - margin, 0), max(window.row_off - margin, 0),
        window.width + 2 * margin, window.height + 2 * margin,
    ).intersection(Window(0, 0, source.width, source.height))  # fmt: skip
    mask = source.dataset_mask(window=wide) > 0
    values = features.sieve(source.read(1, window=wide), sieve_px, mask=mask)
    top, left = int(window.row_off - wide.row_off), int(window.col_off - wide.col_off)
    rows, columns = slice(top, top + int(window.height)), slice(left, left + int(window.width))
    return values[rows, columns], mask[rows, columns]


def _append(
    out: Path,
    shapes: NDArray[np.object_],
    ids: NDArray[np.int32],
    *,
    spec: TaskSpec,
    crs: str | None,
    is_first: bool,
) -> None:
    import shapely
    from pyogrio import raw

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
            layer=LAYER,
            driver="GPKG",
            geometry_type="Polygon",
            crs=crs,
            append=not is_first,
        )
