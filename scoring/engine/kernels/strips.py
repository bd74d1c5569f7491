"""Decoding one strip or tile: LZW and the horizontal predictor; `strips.c` says how."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from scoring.engine.kernels import choice, compiled

# The LZW kernel moves whole vectors: this much behind source[end] is read, and this much behind
# out[stop] is overwritten.
PADDING_BYTES = 64
TABLE_ENTRIES = 4097

# (source, begin, end, out, first, stop, table): addresses of uint8 arrays and of scratch
# uint64[TABLE_ENTRIES]; decodes source[begin:end] to out[first:stop]. 1, or 0 where the stream is
# not plainly valid: then GDAL decides.
DecodeLzw = Callable[[int, int, int, int, int, int, int], int]
# (pixels, size, row): adds up the differences in pixels[:size] along rows of `row` bytes, modulo
# 256; `size` is a multiple of `row`.
UndoPredictor = Callable[[NDArray[np.uint8], int, int], None]


@dataclass(frozen=True, slots=True)
class Kernels:
    """The loops over one strip or tile. Where ``decode_lzw`` is None, GDAL decodes LZW."""

    decode_lzw: DecodeLzw | None
    undo_predictor: UndoPredictor


def load() -> Kernels:
    """The compiled or the plain kernels, as `choice` says."""
    if choice.use_compiled():
        return _compiled()
    return Kernels(decode_lzw=None, undo_predictor=_undo_predictor)


@lru_cache(maxsize=1)
def _compiled() -> Kernels:
    address, size = compiled.ADDRESS, compiled.SIZE
    decode_lzw: DecodeLzw = compiled.function(
        "strips", "decode_lzw", compiled.INT32, address, size, size, address, size, size, address
    )
    undo = compiled.function("strips", "undo_predictor", None, address, size, size, size)

    def undo_predictor(pixels: NDArray[np.uint8], size: int, row: int) -> None:
        undo(pixels.ctypes.data, 0, size, row)

    return Kernels(decode_lzw, undo_predictor)


def _undo_predictor(pixels: NDArray[np.uint8], size: int, row: int) -> None:
    rows = pixels[:size].reshape(-1, row)
    np.cumsum(rows, axis=1, dtype=np.uint8, out=rows)
