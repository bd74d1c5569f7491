"""The paired bootstrap over zones: in which share of draws is one submission the better one?

Patches of one zone are neighbours on the ground, so zones, not pixels or patches, are what a
new test set would draw anew (Cameron, Gelbach & Miller 2008, "Bootstrap-based improvements for
inference with clustered errors"). Zones are drawn with replacement and their matrices added; one
resample costs a row of one matrix product. Intervals and p-values come from `jackknife`: where
zones are few the resamples lack whole classes and spread too little (decision 335).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scoring.engine.metrics import jackknife, metrics
from scoring.engine.metrics.jackknife import DifferenceTest, Interval
from scoring.engine.task.specification import TaskSpec

RESAMPLES = 10_000
SEED = 2022
_RESAMPLES_PER_BATCH = 1_000


@dataclass(frozen=True, slots=True)
class Difference:
    """A minus B of one metric, its test, and the share of resamples in which A is better.

    ``interval`` and ``p_value`` (two-sided, of no difference) are None where zones are too few.
    """

    a: float | None
    b: float | None
    difference: float | None
    interval: Interval | None
    p_value: float | None
    probability_a_better: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """A against B on the same resamples of the same zones."""

    miou: Difference
    classes: tuple[Difference, ...]
    n_zones: int
    resamples: int


def compare(
    zones_a: NDArray[np.int64],
    zones_b: NDArray[np.int64],
    *,
    spec: TaskSpec,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Comparison:
    """The paired comparison of two submissions, matrices of the same zones in the same order.

    Raises ValueError if the two do not have the same truth in every zone.
    """
    tests = jackknife.difference_tests(zones_a, zones_b, spec=spec)
    a = _ious_and_miou(zones_a.sum(axis=0), spec=spec)
    b = _ious_and_miou(zones_b.sum(axis=0), spec=spec)
    drawn_a, drawn_b = _resampled([zones_a, zones_b], spec=spec, resamples=resamples, seed=seed)
    per_metric = [
        _difference(a[k], b[k], drawn_a[:, k], drawn_b[:, k], test=test)
        for k, test in enumerate((*tests.classes, tests.miou))
    ]
    return Comparison(per_metric[-1], tuple(per_metric[:-1]), len(zones_a), resamples)


def _resampled(
    sets: Sequence[NDArray[np.int64]], *, spec: TaskSpec, resamples: int, seed: int
) -> list[NDArray[np.float64]]:
    """float64[resamples, n + 1] of each set, all on the same draws: IoU per class, then mIoU."""
    rng = np.random.default_rng(seed)
    n_zones = len(sets[0])
    margins = [_margins(zones, spec=spec) for zones in sets]
    rows: list[list[NDArray[np.float64]]] = [[] for _ in sets]
    for start in range(0, resamples, _RESAMPLES_PER_BATCH):
        size = min(_RESAMPLES_PER_BATCH, resamples - start)
        drawn = rng.multinomial(n_zones, np.full(n_zones, 1 / n_zones), size=size)
        weights = drawn.astype(np.float64)
        for into, margin in zip(rows, margins, strict=True):
            into.append(_ious_of_margins(weights @ margin, spec=spec))
    return [np.concatenate(into) for into in rows]


def _margins(zones: NDArray[np.int64], *, spec: TaskSpec) -> NDArray[np.float64]:
    """float64[zones, 3 n]: diagonal, row sums, column sums; below 2^53, so still exact."""
    counted = metrics.with_unscored_policy(zones, spec=spec)
    parts = (np.diagonal(counted, axis1=1, axis2=2), counted.sum(axis=2), counted.sum(axis=1))
    return np.concatenate(parts, axis=1).astype(np.float64)


def _ious_of_margins(margins: NDArray[np.float64], *, spec: TaskSpec) -> NDArray[np.float64]:
    n = spec.n_classes
    measured = metrics.from_margins(
        margins[..., :n], margins[..., n : 2 * n], margins[..., 2 * n :], spec=spec
    )
    return np.concatenate((measured.iou, measured.miou[..., None]), axis=-1)


def _ious_and_miou(matrix: NDArray[np.int64], *, spec: TaskSpec) -> NDArray[np.float64]:
    """float64[n + 1]: the IoU of each class, then the mIoU."""
    measured = metrics.measure(matrix, spec=spec)
    return np.append(measured.iou, measured.miou)


def _difference(
    a: float,
    b: float,
    drawn_a: NDArray[np.float64],
    drawn_b: NDArray[np.float64],
    *,
    test: DifferenceTest | None,
) -> Difference:
    gap = drawn_a - drawn_b
    known = gap[~np.isnan(gap)]
    better = float(((known > 0) + 0.5 * (known == 0)).mean()) if len(known) else None
    return Difference(
        a=None if np.isnan(a) else float(a),
        b=None if np.isnan(b) else float(b),
        difference=None if np.isnan(a - b) else float(a - b),
        interval=None if test is None else test.interval,
        p_value=None if test is None else test.p_value,
        probability_a_better=better,
    )
