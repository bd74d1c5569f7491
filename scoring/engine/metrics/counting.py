"""Counting pixels: truth labels × predicted classes of one patch, exactly.

Rows are truth, columns the prediction. Values outside the classes are never dropped: they are
returned, by value, so that the caller can refuse them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scoring.engine.kernels import counting
from scoring.engine.truth.store import PackedTruth


@dataclass(frozen=True, slots=True)
class PatchCounts:
    """int64[n_labels, n_classes] of one patch, and the pixels of each value that is no class."""

    counts: NDArray[np.int64]
    outside: dict[int, int]


def count(
    truth: NDArray[np.uint8],
    prediction: NDArray[np.uint8],
    *,
    n_classes: int,
    out: NDArray[np.int64],
) -> None:
    """Add one patch to ``out`` (int64[n_classes, n_classes]); both uint8, of one shape.

    Raises ValueError on another shape or type, and on any value of n_classes or more.

    >>> out = np.zeros((3, 3), dtype=np.int64)
    >>> truth = np.array([0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2], dtype=np.uint8)
    >>> prediction = np.array([0, 0, 0, 1, 1, 1, 1, 2, 0, 2, 1, 1], dtype=np.uint8)
    >>> count(truth, prediction, n_classes=3, out=out)
    >>> out.tolist()
    [[3, 1, 0], [0, 3, 1], [1, 2, 1]]
    """
    if truth.shape != prediction.shape:
        raise ValueError(f"truth is {truth.shape}, prediction is {prediction.shape}")
    if truth.dtype != np.uint8 or prediction.dtype != np.uint8:
        raise ValueError(f"uint8 wanted, got {truth.dtype} and {prediction.dtype}")
    if out.shape != (n_classes, n_classes) or out.dtype != np.int64:
        raise ValueError(f"out must be int64[{n_classes}, {n_classes}]")
    for name, array in (("truth", truth), ("prediction", prediction)):
        if array.size and int(array.max()) >= n_classes:
            raise ValueError(f"{name} holds {int(array.max())}; allowed are 0 to {n_classes - 1}")
    joint = truth.ravel().astype(np.intp) * n_classes + prediction.ravel()
    out += np.bincount(joint, minlength=n_classes * n_classes).reshape(n_classes, n_classes)


class PatchCounter:
    """Counts predictions of a specification's classes against a packed truth. Not for threads."""

    def __init__(self, truth: PackedTruth, *, n_classes: int) -> None:
        self._truth = truth
        self._n_classes = n_classes
        self._count_runs = counting.counter(n_classes=n_classes, n_labels=len(truth.label_values))

    def count(self, patch_id: str, prediction: NDArray[np.uint8]) -> PatchCounts:
        """``prediction`` is uint8[H, W], C-contiguous; another process may still write to it.

        Whatever is read there, nothing but the numbers of this patch can change.
        Raises KeyError for an unknown id, ValueError for another shape or type.
        """
        shape = self._truth.shape
        if prediction.shape != shape or prediction.dtype != np.uint8:
            raise ValueError(
                f"prediction is {prediction.dtype}{prediction.shape}, not uint8{shape}"
            )
        record, n_runs = self._truth.read_record(patch_id)
        counts = self._counts(record, n_runs, prediction)
        if int(counts.sum()) == prediction.size:
            return PatchCounts(counts, {})
        # A second look at shared memory could find other values than the first, and pixels that
        # were never counted would vanish: from here on nobody else writes.
        still = prediction.copy()
        counts = self._counts(record, n_runs, still)
        return PatchCounts(counts, _outside(still, n_classes=self._n_classes))

    def _counts(
        self, record: bytes, n_runs: int, prediction: NDArray[np.uint8]
    ) -> NDArray[np.int64]:
        """int64[n_labels, n_classes]."""
        if n_runs:
            return self._count_runs(record, n_runs, np.ascontiguousarray(prediction).reshape(-1))
        table = _tabulate(record, prediction, n_labels=len(self._truth.label_values))
        return table[:, : self._n_classes].copy()


def _tabulate(record: bytes, prediction: NDArray[np.uint8], *, n_labels: int) -> NDArray[np.int64]:
    """int64[n_labels, 256], for masks that are stored pixel by pixel."""
    indices = np.frombuffer(record, dtype=np.uint8)
    joint = indices.astype(np.intp) * 256 + prediction.reshape(-1)
    return np.bincount(joint, minlength=n_labels * 256).reshape(n_labels, 256)


def _outside(prediction: NDArray[np.uint8], *, n_classes: int) -> dict[int, int]:
    pixels = np.bincount(prediction.reshape(-1), minlength=256)
    return {value: int(pixels[value]) for value in range(n_classes, 256) if pixels[value]}
