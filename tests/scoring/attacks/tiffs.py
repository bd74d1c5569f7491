"""TIFF files byte by byte, so that every tag can lie; and files of honest writers."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import imagecodecs
import numpy as np
import rasterio
import tifffile
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
Tag = tuple[int, tuple[int, ...]]  # type, values
_CODES = {1: "B", 2: "B", 3: "H", 4: "L", 5: "Q", 6: "b", 7: "B", 8: "h", 9: "l", 11: "f",
          12: "d", 13: "L", 16: "Q"}  # fmt: skip
_LZW, _DEFLATE, _PACKBITS, ZSTD = 5, 8, 32773, 50000


def handmade(
    pixels: Pixels,
    *,
    order: str = "<",
    big: bool = False,
    rows_per_strip: int = 128,
    compression: int = 1,
    predictor: int = 1,
    change: Mapping[int, Tag | None] | None = None,
    repeat: int | None = None,
    following: int | None = None,
    more_pages: int = 0,
    tail: bytes = b"",
    encode: Callable[[bytes], bytes] | None = None,
) -> bytes:
    """A striped TIFF of uint8[H, W]; `change` sets tags, or drops them with None.

    `encode` packs a strip otherwise than `compression` says, `repeat` writes one tag twice,
    `following` is the offset put as that of the next directory, `more_pages` copies the
    directory, `tail` follows the file.
    """
    height, width = pixels.shape
    values = np.diff(pixels, axis=1, prepend=np.uint8(0)) if predictor == 2 else pixels
    strips = [
        (encode or encoder(compression))(values[top : top + rows_per_strip].tobytes())
        for top in range(0, height, rows_per_strip)
    ]
    head_bytes = 16 if big else 8
    offsets, at = [], head_bytes
    for strip in strips:
        offsets.append(at)
        at += len(strip)
    tags: dict[int, Tag] = {
        256: (4, (width,)), 257: (4, (height,)), 258: (3, (8,)), 259: (3, (compression,)),
        262: (3, (1,)), 273: (16 if big else 4, tuple(offsets)), 277: (3, (1,)),
        278: (4, (rows_per_strip,)), 279: (4, tuple(map(len, strips))), 317: (3, (predictor,)),
    }  # fmt: skip
    for tag, value in (change or {}).items():
        if value is None:
            tags.pop(tag, None)
        else:
            tags[tag] = value
    rows = sorted(tags.items())
    if repeat is not None:
        rows = sorted([*rows, (repeat, tags[repeat])])
    body = b"".join(strips)
    out = _header(order, big, head_bytes + len(body)) + body
    pages = 1 + more_pages
    for page in range(pages):
        at = len(out)
        directory, extra = _directory(rows, at, order=order, big=big)
        after = at + len(directory) + (8 if big else 4) + len(extra)
        linked = after if page + 1 < pages else following or 0
        out += directory + struct.pack(order + ("Q" if big else "L"), linked) + extra
    return out + tail


def tiled(pixels: Pixels, *, rows: int, columns: int, compression: int = 1) -> bytes:
    """A tiled TIFF with tiles of any size, which no honest writer would write."""
    height, width = pixels.shape
    down, across = -(-height // rows), -(-width // columns)
    padded = np.zeros((down * rows, across * columns), dtype=np.uint8)
    padded[:height, :width] = pixels
    encode = encoder(compression)
    tiles = [
        encode(padded[y * rows : (y + 1) * rows, x * columns : (x + 1) * columns].tobytes())
        for y in range(down)
        for x in range(across)
    ]
    body = b"".join(tiles)
    offsets = np.cumsum([8, *map(len, tiles[:-1])]).tolist()
    tags: list[tuple[int, Tag]] = [
        (256, (4, (width,))), (257, (4, (height,))), (258, (3, (8,))), (259, (3, (compression,))),
        (262, (3, (1,))), (277, (3, (1,))), (322, (4, (columns,))), (323, (4, (rows,))),
        (324, (4, tuple(offsets))), (325, (3, tuple(map(len, tiles)))),
    ]  # fmt: skip
    directory, extra = _directory(tags, 8 + len(body), order="<", big=False)
    return _header("<", False, 8 + len(body)) + body + directory + bytes(4) + extra


def directory_at(data: bytes) -> int:
    """Offset of the first directory of a little-endian classic TIFF."""
    return int(struct.unpack_from("<L", data, 4)[0])


def _header(order: str, big: bool, first: int) -> bytes:
    mark = b"II" if order == "<" else b"MM"
    if big:
        return mark + struct.pack(order + "3HQ", 43, 8, 0, first)
    return mark + struct.pack(order + "HL", 42, first)


def encoder(compression: int) -> Callable[[bytes], bytes]:
    """What packs a strip or tile in the codec of this number."""
    encoders: dict[int, Callable[..., bytes | bytearray]] = {
        _LZW: imagecodecs.lzw_encode, _DEFLATE: zlib.compress, 32946: zlib.compress,
        _PACKBITS: imagecodecs.packbits_encode, ZSTD: imagecodecs.zstd_encode,
    }  # fmt: skip
    encode: Callable[..., bytes | bytearray] = encoders.get(compression, bytes)
    return lambda data: bytes(encode(data))


def _directory(
    rows: list[tuple[int, Tag]], at: int, *, order: str, big: bool
) -> tuple[bytes, bytes]:
    inline_bytes, entry_bytes = (8, 20) if big else (4, 12)
    extra_at = at + (8 if big else 2) + len(rows) * entry_bytes + (8 if big else 4)
    out, extra = struct.pack(order + ("Q" if big else "H"), len(rows)), b""
    for tag, (kind, values) in rows:
        data = struct.pack(f"{order}{len(values)}{_CODES[kind]}", *values)
        out += struct.pack(order + ("2HQ" if big else "2HL"), tag, kind, len(values))
        if len(data) <= inline_bytes:
            out += data.ljust(inline_bytes, b"\0")
        else:
            out += struct.pack(order + ("Q" if big else "L"), extra_at + len(extra))
            extra += data
    return out, extra


def by_gdal(pixels: NDArray[Any], **options: Any) -> bytes:
    """Written by rasterio; uint8[H, W] or [bands, H, W]."""
    bands = pixels if pixels.ndim == 3 else pixels[None]
    extras = {k: options.pop(k) for k in ("overviews", "mask", "tags", "colormap") if k in options}
    profile = {
        "driver": "GTiff", "count": bands.shape[0], "height": bands.shape[1],
        "width": bands.shape[2], "dtype": bands.dtype,
    } | options  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.MemoryFile() as memory:
            with memory.open(**profile) as raster:
                raster.write(bands)
                if "tags" in extras:
                    raster.update_tags(**extras["tags"])
                if "colormap" in extras:
                    raster.write_colormap(1, extras["colormap"])
                if "mask" in extras:
                    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
                        raster.write_mask(extras["mask"])
                if "overviews" in extras:
                    raster.build_overviews(extras["overviews"])
            return bytes(memory.read())


def by_cog(pixels: Pixels, **options: Any) -> bytes:
    """Written by GDAL as a cloud-optimised GeoTIFF."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.MemoryFile() as memory:
            with memory.open(driver="COG", count=1, height=pixels.shape[0], width=pixels.shape[1],
                             dtype="uint8", **options) as raster:  # fmt: skip
                raster.write(pixels[None])
            return bytes(memory.read())


def by_tifffile(pixels: NDArray[Any], **options: Any) -> bytes:
    """Written by tifffile."""
    out = io.BytesIO()
    tifffile.imwrite(out, pixels, **options)
    return out.getvalue()


def by_pillow(pixels: NDArray[Any], kind: str = "TIFF", **options: Any) -> bytes:
    """Written by Pillow, as TIFF or as another format."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, format=kind, **options)
    return out.getvalue()
