"""Zips of predictions for the pages' tests, sound and unsound."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterable, Sequence
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


def make_huge_zip(path: Path, ids: Sequence[str]) -> Path:
    """Write a sound zip64 of more than four gigabytes, a hundredth of it on the disk.

    The rasters are of class 0, not compressed: their pixels are holes in the file.
    """
    raster = make_tiff(np.zeros((512, 512), np.uint8), compression="raw")
    pixels_at = raster.index(bytes(100_000))
    head, tail = raster[:pixels_at], raster[pixels_at:].lstrip(b"\0")
    crc, size = zlib.crc32(raster), len(raster)
    # each is 300 kB long, as if somebody had left a profile behind the pixels
    more = bytes(300_000 - size)
    crc, size = zlib.crc32(more, crc), 300_000
    with path.open("wb") as target:
        central = bytearray()
        for patch_id in ids:
            name = f"PRED_{patch_id}.tif".encode()
            offset = target.tell()
            target.write(
                struct.pack("<4s5H3I2H", b"PK\3\4", 45, 0, 0, 0, 33, crc, size, size, len(name), 0)
            )
            target.write(name + head)
            target.seek(offset + 30 + len(name) + len(raster) - len(tail))
            target.write(tail)
            target.seek(offset + 30 + len(name) + size)
            extra = struct.pack("<HHQ", 1, 8, offset)
            central += struct.pack(
                "<4s6H3I5H2I", b"PK\1\2", 45, 45, 0, 0, 0, 33, crc, size, size, len(name),
                len(extra), 0, 0, 0, 0, 0xFFFFFFFF,
            ) + name + extra  # fmt: skip
        at = target.tell()
        target.write(central)
        end64_at = target.tell()
        target.write(
            struct.pack(
                "<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, len(ids), len(ids), len(central), at
            )
        )
        target.write(struct.pack("<4sIQI", b"PK\6\7", 0, end64_at, 1))
        target.write(
            struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
        )
    return path


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


def moved(data: bytes, *, by: int) -> bytes:
    """Put ``by`` bytes before a zip and correct its offsets, as self-extractors have them."""
    end = data.rindex(b"PK\x05\x06")
    count, size, offset = struct.unpack_from("<HLL", data, end + 10)
    parts = bytearray(data)
    at = offset
    for _ in range(count):
        (here,) = struct.unpack_from("<L", parts, at + 42)
        struct.pack_into("<L", parts, at + 42, here + by)
        at += 46 + sum(struct.unpack_from("<3H", parts, at + 28))
    struct.pack_into("<L", parts, end + 16, offset + by)
    assert at == offset + size
    return bytes(by) + bytes(parts)
