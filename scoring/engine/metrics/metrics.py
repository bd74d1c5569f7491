"""Ratios from confusion matrices: IoU, precision, recall, F1, accuracy, under named policies.

All functions take integer matrices [..., n, n], rows = truth, columns = prediction, and work on
any number of leading axes. What is undefined (0/0) is NaN.

The metric of both FLAIR challenges (arXiv 2211.12979, 2305.14467) is ``full-matrix`` with
``skip``: the IoU on the whole matrix, then the unscored class is left out of the mean, so that
its pixels still count as false positives and negatives of the others. ``delete-first`` with
``zero`` is the rule of FLAIR-HUB: rows and columns of unscored classes go before the IoU, an
absent class counts 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scoring.engine.task.specification import TaskSpec

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Metrics:
    """Each float64[..., n] (per class) or float64[...]; NaN where undefined."""

    iou: FloatArray
    precision: FloatArray
    recall: FloatArray
    f1: FloatArray
    miou: FloatArray
    mean_f1: FloatArray
    overall_accuracy: FloatArray


def measure(matrix: IntArray, *, spec: TaskSpec) -> Metrics:
    """All metrics of int64[..., n, n]. Raises ValueError for another shape or type.

    >>> from scoring.engine.task.examples import abc_spec
    >>> matrix = np.array([[3, 1, 0], [0, 3, 1], [1, 2, 1]])
    >>> [round(float(v), 4) for v in measure(matrix, spec=abc_spec()).iou]
    [0.6, 0.4286, 0.2]
    >>> round(float(measure(matrix, spec=abc_spec()).miou), 4)
    0.5143
    >>> deleted = abc_spec(unscored_policy="delete-first", absent_policy="zero")
    >>> round(float(measure(matrix, spec=deleted).miou), 4)
    0.75
    """
    n = spec.n_classes
    if matrix.shape[-2:] != (n, n):
        raise ValueError(f"matrix is {matrix.shape}; the last two axes must be {n}")
    if matrix.dtype != np.int64:
        raise ValueError(f"matrix is {matrix.dtype}; counts are int64")
    counted = with_unscored_policy(matrix, spec=spec)
    hit = np.diagonal(counted, axis1=-2, axis2=-1)
    truth = counted.sum(axis=-1)
    predicted = counted.sum(axis=-2)
    return from_margins(hit, truth, predicted, spec=spec)


def with_unscored_policy(matrix: IntArray, *, spec: TaskSpec) -> IntArray:
    """int64[..., n, n] that the ratios are taken of; with ``delete-first``, unscored are zero."""
    if spec.unscored_policy == "full-matrix":
        return matrix
    scored = scored_mask(spec)
    counted: IntArray = np.where(scored[:, None] & scored[None, :], matrix, 0)
    return counted


def from_margins(
    hit: NDArray[np.number],
    truth: NDArray[np.number],
    predicted: NDArray[np.number],
    *,
    spec: TaskSpec,
) -> Metrics:
    """Metrics of diagonals, row sums and column sums, each [..., n].

    They are those of matrices after `with_unscored_policy`.
    """
    scored = scored_mask(spec)
    union = truth + predicted - hit
    iou = _ratio(hit, union)
    f1 = _ratio(2 * hit, truth + predicted)
    if spec.absent_policy == "zero":
        absent = scored & (union == 0)
        iou = np.where(absent, 0.0, iou)
        f1 = np.where(absent, 0.0, f1)
    return Metrics(
        iou=iou,
        precision=_ratio(hit, predicted),
        recall=_ratio(hit, truth),
        f1=f1,
        miou=_mean(iou[..., scored]),
        mean_f1=_mean(f1[..., scored]),
        overall_accuracy=_ratio(hit.sum(axis=-1), truth.sum(axis=-1)),
    )


def scored_mask(spec: TaskSpec) -> NDArray[np.bool_]:
    """bool[n]: which classes the means are taken over."""
    return np.array([c.scored for c in spec.classes])


def reduce_labels(counts: IntArray, *, label_values: tuple[int, ...], spec: TaskSpec) -> IntArray:
    """int64[..., labels, n] → int64[..., n, n] by the specification's reduction.

    Raises ValueError if a label that occurs has no class.
    """
    target = spec.label_table[list(label_values)]
    matrix = np.zeros((*counts.shape[:-2], spec.n_classes, counts.shape[-1]), dtype=np.int64)
    for index, class_id in enumerate(target):
        if class_id < spec.n_classes:
            matrix[..., class_id, :] += counts[..., index, :]
        elif counts[..., index, :].any():
            raise ValueError(f"label {label_values[index]} has no class in {spec.id!r}")
    return matrix


def _ratio(part: NDArray[np.number], whole: NDArray[np.number]) -> FloatArray:
    out = np.full(np.shape(whole), np.nan)
    np.divide(part, whole, out=out, where=whole > 0)
    return out


def _mean(values: FloatArray) -> FloatArray:
    known = ~np.isnan(values)
    total = np.where(known, values, 0.0).sum(axis=-1)
    return _ratio(total, known.sum(axis=-1))
