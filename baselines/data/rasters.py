"""Read and write the GeoTIFF files of the data set; the only user of rasterio here."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning, RasterioIOError
from rasterio.io import MemoryFile

LAMBERT_93 = "EPSG:2154"
# The published train masks carry this un-coded form, so the CRS of image and mask differ.
LAMBERT_93_UNCODED = 'LOCAL_CS["RGF93 v1 / Lambert-93",UNIT["metre",1]]'


@dataclass(frozen=True)
class Georeference:
    """Where a raster lies: CRS as text (empty for none) and affine transform."""

    crs: str
    transform: Affine


# `catch_warnings` changes the filters of the whole process: one thread at a time, and only while
# the file is opened, which is when rasterio warns that it has no place on the ground.
_opening = threading.Lock()


def open_quietly(path: Path) -> rasterio.DatasetReader:
    """Open a GeoTIFF whether or not it has a place on the ground; close it as usual.

    Raises ValueError when it is none.
    """
    try:
        with _opening, warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            return rasterio.open(path, driver="GTiff")
    except RasterioIOError as wrong:
        raise ValueError(f"{path}: no GeoTIFF that can be read") from wrong


def read(path: Path, *, bands: Sequence[int] | None = None) -> NDArray[np.uint8]:
    """Read a uint8 raster as uint8[bands, H, W]; `bands` are 1-based, all by default.

    Raises ValueError when the raster isn't uint8, lacks a band or is cut short.
    """
    with open_quietly(path) as source:
        wanted = list(bands) if bands is not None else list(source.indexes)
        missing = sorted(set(wanted) - set(source.indexes))
        if missing:
            raise ValueError(f"{path.name}: bands {missing} wanted, file has {source.count}")
        if set(source.dtypes) != {"uint8"}:
            raise ValueError(f"{path.name}: type {source.dtypes[0]}; uint8 is needed")
        try:
            pixels: NDArray[np.uint8] = source.read(wanted)
        except RasterioIOError as wrong:
            raise ValueError(f"{path}: damaged or cut short") from wrong
        return pixels


def side_px(path: Path) -> int:
    """Read the side of a square raster. Raises ValueError when it is not square."""
    with open_quietly(path) as source:
        if source.width != source.height:
            raise ValueError(f"{path.name}: {source.height} × {source.width}; must be square")
        return int(source.width)


def georeference(path: Path) -> Georeference:
    """Read only the CRS and the transform of a raster."""
    with open_quietly(path) as source:
        return Georeference(source.crs.to_wkt() if source.crs else "", source.transform)


def write(
    path: Path, pixels: NDArray[np.generic], *, georeference: Georeference | None = None
) -> None:
    """Write [H, W] or [bands, H, W] as an LZW GeoTIFF of the array's own type.

    The file appears under its name only when it is complete.
    """
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(encode(pixels, georeference=georeference))
    part.replace(path)


def write_picture(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write [3, H, W] as a PNG."""
    with MemoryFile() as memory:
        with _opening, warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            target = memory.open(
                driver="PNG", count=3, height=pixels.shape[1], width=pixels.shape[2], dtype="uint8"
            )
        with target:
            target.write(pixels)
        path.write_bytes(bytes(memory.getbuffer()))


def encode(pixels: NDArray[np.generic], *, georeference: Georeference | None = None) -> bytes:
    """Give the bytes of [H, W] or [bands, H, W] as an LZW GeoTIFF of the array's own type."""
    stack = pixels[None] if pixels.ndim == 2 else pixels
    options = (
        {}
        if georeference is None
        else {"crs": georeference.crs or None, "transform": georeference.transform}
    )
    with MemoryFile() as memory:
        with _opening, warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            target = memory.open(
                driver="GTiff",
                count=stack.shape[0],
                height=stack.shape[1],
                width=stack.shape[2],
                dtype=stack.dtype,
                compress="lzw",
                **options,
            )
        with target:
            target.write(stack)
        return bytes(memory.getbuffer())
