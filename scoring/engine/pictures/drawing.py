"""Writes pictures: class ids as PNG with the task's colours, images as WebP."""

from __future__ import annotations

import struct
import warnings
import zlib

import numpy as np
from numpy.typing import NDArray

from scoring.engine.task.specification import TaskSpec

WEBP_QUALITY = 78
# Right, wrong, wrong where the true class is not in the mean.
ERROR_COLORS = ("#e6e6e6", "#c8102e", "#f2a900")


def class_png(ids: NDArray[np.uint8], *, spec: TaskSpec) -> bytes:
    """Return uint8[H, W] of class ids in the colours of the task's classes."""
    return indexed_png(ids, colors=[one.color for one in spec.classes])


def error_png(truth: NDArray[np.uint8], predicted: NDArray[np.uint8], *, spec: TaskSpec) -> bytes:
    """Return where a prediction is wrong; both are uint8[H, W] of class ids."""
    scored = np.zeros(256, dtype=np.bool_)
    scored[list(spec.scored_ids)] = True
    wrong = truth != predicted
    index = np.where(wrong, np.where(scored[truth], 1, 2), 0).astype(np.uint8)
    return indexed_png(index, colors=ERROR_COLORS)


def indexed_png(index: NDArray[np.uint8], *, colors: list[str] | tuple[str, ...]) -> bytes:
    """Return a PNG of uint8[H, W], positions in ``colors`` (#rrggbb); raises ValueError beyond."""
    if index.size and int(index.max()) >= len(colors):
        raise ValueError(f"index {int(index.max())} of {len(colors)} colours")
    height, width = index.shape
    rows = np.zeros((height, width + 1), dtype=np.uint8)  # each begins with its filter, none
    rows[:, 1:] = index
    palette = b"".join(bytes.fromhex(color.lstrip("#")) for color in colors)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        _chunk(kind, data)
        for kind, data in (
            (b"IHDR", struct.pack(">2I5B", width, height, 8, 3, 0, 0, 0)),
            (b"PLTE", palette),
            (b"IDAT", zlib.compress(rows.tobytes(), 9)),
            (b"IEND", b""),
        )
    )


def image_webp(bands: NDArray[np.uint8]) -> bytes:
    """Return uint8[1 or 3, H, W] as WebP; one band is shown in grey."""
    from rasterio.io import MemoryFile  # takes half a second

    pixels = bands if len(bands) == 3 else np.repeat(bands[:1], 3, axis=0)
    with warnings.catch_warnings(action="ignore"), MemoryFile() as memory:
        with memory.open(
            driver="WEBP",
            height=pixels.shape[1],
            width=pixels.shape[2],
            count=3,
            dtype="uint8",
            QUALITY=WEBP_QUALITY,
        ) as picture:
            picture.write(pixels)
        return bytes(memory.read())


def _chunk(kind: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)
