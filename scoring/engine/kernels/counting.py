"""Counting the pixels of one patch against the run lengths of its truth; `counting.c` says how."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scoring.engine.kernels import choice, compiled

BLOCK_PX = 64
CLASS_COUNTS = (8, 16, 32)  # for which the kernel is compiled

# (record, n_runs, pixels) → int64[n_labels, n_classes]. The record is uint16 lengths[n_runs],
# uint8 labels[n_runs]; pixels is uint8[N], contiguous. A label beyond the last one counts as the
# last, a length of 0 as 1; pixels of other values than classes, and those behind the last run,
# are not counted.
CountRuns = Callable[[bytes, int, NDArray[np.uint8]], NDArray[np.int64]]


def counter(*, n_classes: int, n_labels: int) -> CountRuns:
    """The compiled or the plain way, as `choice` says. Not for several threads at once.

    Raises ValueError above 32 classes.
    """
    width = compiled_classes(n_classes)
    if choice.use_compiled():
        return _Compiled(n_classes=n_classes, n_labels=n_labels, width=width)
    return _Plain(n_classes=n_classes, n_labels=n_labels)


def compiled_classes(n_classes: int) -> int:
    """The number of classes of the smallest kernel for `n_classes`. Raises ValueError above 32."""
    for count in CLASS_COUNTS:
        if n_classes <= count:
            return count
    raise ValueError(f"{n_classes} classes; at most {CLASS_COUNTS[-1]} can be counted")


@lru_cache(maxsize=len(CLASS_COUNTS))
def load(width: int) -> Any:
    """The compiled function for 8, 16 or 32 classes; parameters as in `counting.c`."""
    return compiled.function(
        f"counting_{width}", "count_runs", None,
        compiled.BYTES, compiled.SIZE,  # record, runs
        compiled.ADDRESS, compiled.SIZE,  # pixels, n_pixels
        compiled.ADDRESS, compiled.SIZE,  # counts, n_labels
    )  # fmt: skip


class _Compiled:
    def __init__(self, *, n_classes: int, n_labels: int, width: int) -> None:
        self._n_classes, self._n_labels = n_classes, n_labels
        self._count_runs = load(width)
        self._counts = np.zeros((2, n_labels, width), dtype=np.int64)
        self._counts_address = self._counts.ctypes.data

    def __call__(self, record: bytes, n_runs: int, pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
        if rest := -pixels.size % BLOCK_PX:
            pixels = np.concatenate((pixels, np.full(rest, 255, dtype=np.uint8)))
        counts = self._counts
        counts.fill(0)
        self._count_runs(
            record, n_runs, pixels.ctypes.data, pixels.size, self._counts_address, self._n_labels
        )
        total: NDArray[np.int64] = counts[0] + counts[1]
        return total[:, : self._n_classes].copy()


class _Plain:
    def __init__(self, *, n_classes: int, n_labels: int) -> None:
        self._n_classes, self._n_labels = n_classes, n_labels

    def __call__(self, record: bytes, n_runs: int, pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
        lengths = np.frombuffer(record, dtype="<u2", count=n_runs)
        labels = np.frombuffer(record, dtype=np.uint8, count=n_runs, offset=2 * n_runs)
        ends = np.minimum(np.cumsum(np.maximum(lengths, 1), dtype=np.int64), pixels.size)
        rows = np.repeat(np.minimum(labels, self._n_labels - 1), np.diff(ends, prepend=0))
        joint = rows.astype(np.intp) * 256 + pixels[: rows.size]
        counts = np.bincount(joint, minlength=self._n_labels * 256)
        return counts.reshape(self._n_labels, 256)[:, : self._n_classes].copy()
