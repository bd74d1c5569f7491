"""Compiled loops over one strip or tile: LZW, horizontal predictor, histogram.

LZW here is four to five times quicker than GDAL's on class maps, because a code's string is never
built: it is a place in what was already written. It accepts only plainly valid streams; whatever
it refuses is left to GDAL, so it decides speed and never acceptance.

Source: TIFF 6.0, section 13 (codes of 9 to 12 bits, most significant first, early change).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numba
import numpy as np
from llvmlite import ir
from numba import extending
from numba.core import types
from numpy.typing import NDArray

# numba's own types describe what Python sees, not what compiled code calls.
intrinsic: Any = extending.intrinsic

# Kernels read and write whole words, so buffers are longer than their content by this much.
PADDING_BYTES = 64


@intrinsic  # type: ignore[untyped-decorator]  # numba has no types
def _copy16(typing_context: Any, array: Any, to: Any, start: Any) -> Any:
    """array[to:to+16] = array[start:start+16], in two moves of 8: right from a distance of 8 on."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        base = _base(context, builder, signature, args[0])
        word = ir.IntType(64)
        for step in (0, 8):
            delta = ir.Constant(word, step)
            source = builder.gep(base, [builder.add(args[2], delta)])
            target = builder.gep(base, [builder.add(args[1], delta)])
            value = builder.load(builder.bitcast(source, word.as_pointer()), align=1)
            builder.store(value, builder.bitcast(target, word.as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(array, types.int64, types.int64), generate


@intrinsic  # type: ignore[untyped-decorator]  # numba has no types
def _load_big_endian(typing_context: Any, array: Any, start: Any) -> Any:
    """The 8 bytes at array[start:] as one big-endian number."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        base = _base(context, builder, signature, args[0])
        word = ir.IntType(64)
        pointer = builder.bitcast(builder.gep(base, [args[1]]), word.as_pointer())
        return builder.bswap(builder.load(pointer, align=1))

    return types.uint64(array, types.int64), generate


def _base(context: Any, builder: Any, signature: Any, value: Any) -> Any:
    array = context.make_array(signature.args[0])(context, builder, value)
    return builder.bitcast(array.data, ir.IntType(8).as_pointer())


def _lzw(
    source: NDArray[np.uint8],
    begin: int,
    end: int,
    out: NDArray[np.uint8],
    first: int,
    stop: int,
    starts: NDArray[np.int32],
    lengths: NDArray[np.int32],
) -> bool:
    """Decode source[begin:end] into out[first:stop]; False when it is not plainly valid.

    Both arrays have PADDING_BYTES behind what is named; out[stop:stop+16] may be overwritten.
    `starts` and `lengths` are scratch, int32[4096].
    """
    at_bit, end_bit = begin * 8, end * 8
    width, free, change = 9, 258, 511
    position = first
    before_at, before_bytes = -1, 0
    if end - begin < 3 or _load_big_endian(source, begin) >> np.uint64(55) != 256:
        return False
    while position < stop:
        if at_bit + width > end_bit:
            return False
        word = _load_big_endian(source, at_bit >> 3)
        code = np.int64(
            (word >> np.uint64(64 - width - (at_bit & 7))) & np.uint64((1 << width) - 1)
        )
        at_bit += width
        if code < 256:
            out[position] = code
            length = 1
        elif code == 256:
            width, free, change, before_at = 9, 258, 511, -1
            continue
        else:
            if code == 257 or code > free or before_at < 0:
                return False
            if code == free:
                start, length = before_at, before_bytes + 1
            else:
                start, length = starts[code], lengths[code]
            if position + length > stop:
                return False
            if position - start >= 8:
                for step in range(0, length, 16):
                    _copy16(out, position + step, start + step)
            else:
                for step in range(length):
                    out[position + step] = out[start + step]
        if before_at >= 0:
            if free >= 4096:
                return False
            starts[free], lengths[free] = before_at, before_bytes + 1
            free += 1
            if free >= change and width < 12:
                width += 1
                change = (1 << width) - 1
        before_at, before_bytes = position, length
        position += length
    return True


def _undo_predictor(out: NDArray[np.uint8], first: int, stop: int, row: int) -> None:
    """Sum up differences along each row of `row` bytes in out[first:stop], modulo 256."""
    for begin in range(first, stop, row):
        value = np.uint8(0)
        for at in range(begin, begin + row):
            value = np.uint8(value + out[at])
            out[at] = value


def _histogram(values: NDArray[np.uint8], out: NDArray[np.int64]) -> None:
    """Count values into int64[4, 256], to be summed; four tables so that runs do not stall."""
    n = values.size // 4 * 4
    for at in range(0, n, 4):
        out[0, values[at]] += 1
        out[1, values[at + 1]] += 1
        out[2, values[at + 2]] += 1
        out[3, values[at + 3]] += 1
    for at in range(n, values.size):
        out[0, values[at]] += 1


def _compiled(signature: str, function: Callable[..., Any]) -> Callable[..., Any]:
    return cast("Callable[..., Any]", numba.njit(signature, cache=True, nogil=True)(function))


lzw = _compiled("b1(u1[::1],i8,i8,u1[::1],i8,i8,i4[::1],i4[::1])", _lzw)
undo_predictor = _compiled("void(u1[::1],i8,i8,i8)", _undo_predictor)
_count_values = _compiled("void(u1[::1],i8[:,::1])", _histogram)


def histogram(values: NDArray[np.uint8]) -> NDArray[np.int64]:
    """int64[256]: how often each value occurs in a contiguous uint8 array of any shape."""
    tables = np.zeros((4, 256), dtype=np.int64)
    _count_values(values.reshape(-1), tables)
    total: NDArray[np.int64] = tables.sum(axis=0)
    return total
