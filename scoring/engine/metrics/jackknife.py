"""Uncertainty of a score: intervals and tests by the jackknife over zones.

Patches of one zone are neighbours on the ground, so zones, not pixels or patches, are what a new
test set would draw anew. Each zone is left out in turn; how far the metric moves gives its variance
and its bias (Efron & Tibshirani 1993, "An Introduction to the Bootstrap", chapters 10 and 11).
Where zones are few that variance is too large on average and varies itself. As for regressions on
few clusters (Imbens & Kolesár 2016, "Robust Standard Errors in Small Samples") it is divided by its
expectation under a working model, and Student's t takes the degrees of freedom it has under that
model instead of the zones minus one. In the working model the IoU of a zone deviates from the IoU
of all zones by the same standard deviation everywhere, independently by class, and counts by the
zone's share of the class's pixels: a class whose pixels lie in three zones has at most two degrees
of freedom, whatever the number of zones.

The interval of a single metric is taken on the scale of its log-odds, which keeps it between 0
and 1; that of a difference on the metric's own. There is none from fewer than `LEAST_ZONES` zones,
nor where a class has true pixels in fewer than `LEAST_ZONES_OF_A_CLASS`: nothing tells there how
much its IoU varies. Decision 335 has the simulated coverage of this and of the usual methods.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scoring.engine.metrics import metrics, student
from scoring.engine.task.specification import TaskSpec

METHOD = "jackknife-t/1"
CONFIDENCE = 0.95
LEAST_ZONES = 4
LEAST_ZONES_OF_A_CLASS = 3

Interval = tuple[float, float]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Intervals:
    """95 % intervals of the mIoU and of each class's IoU; None where there can be none."""

    miou: Interval | None
    classes: tuple[Interval | None, ...]


@dataclass(frozen=True, slots=True)
class DifferenceTest:
    """The 95 % interval of a difference, and the two-sided p-value of its being 0."""

    interval: Interval
    p_value: float


@dataclass(frozen=True, slots=True)
class DifferenceTests:
    """Tests of the mIoU and of each class's IoU; None where there can be none."""

    miou: DifferenceTest | None
    classes: tuple[DifferenceTest | None, ...]


@dataclass(frozen=True, slots=True)
class _Sample:
    """Per class of one score: float64[n] IoU, NaN without any pixel, and its parts by zone.

    ``without`` float64[zones, n] is the IoU without each zone, ``shares`` float64[zones, n] the
    zone's part of the class's union, ``zones_with`` int64[n] the zones with true pixels of it.
    """

    iou: Floats
    without: Floats
    shares: Floats
    zones_with: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Estimate:
    """A metric corrected for its bias, its standard error, and the degrees of freedom of that."""

    value: float
    corrected: float
    error: float
    degrees: float


def intervals(zones: NDArray[np.int64], *, spec: TaskSpec) -> Intervals:
    """Intervals from reduced matrices int64[zones, n, n], rows truth."""
    sample = _sample(zones, spec=spec)
    found = [
        None if metric is None else _proportion_interval(_estimate([sample], *metric))
        for metric in _metrics([sample], spec=spec)
    ]
    return Intervals(found[-1], tuple(found[:-1]))


def difference_tests(
    zones_a: NDArray[np.int64], zones_b: NDArray[np.int64], *, spec: TaskSpec
) -> DifferenceTests:
    """Tests of A minus B, matrices int64[zones, n, n] of the same zones in the same order.

    Raises ValueError if the two do not have the same truth in every zone.
    """
    if zones_a.shape != zones_b.shape or (zones_a.sum(axis=-1) != zones_b.sum(axis=-1)).any():
        raise ValueError("the two were not scored on the same patches and labels")
    samples = [_sample(zones, spec=spec) for zones in (zones_a, zones_b)]
    found = [
        None if metric is None else _difference_test(_estimate(samples, *metric))
        for metric in _metrics(samples, spec=spec)
    ]
    return DifferenceTests(found[-1], tuple(found[:-1]))


def _sample(zones: NDArray[np.int64], *, spec: TaskSpec) -> _Sample:
    counted = metrics.with_unscored_policy(zones, spec=spec)
    hit = np.diagonal(counted, axis1=1, axis2=2)
    truth = counted.sum(axis=2)
    union = truth + counted.sum(axis=1) - hit
    hits, unions = hit.sum(axis=0), union.sum(axis=0)
    return _Sample(
        iou=_ratio(hits, unions),
        without=_ratio(hits - hit, unions - union),
        shares=np.nan_to_num(_ratio(union, np.broadcast_to(unions, union.shape))),
        zones_with=(truth > 0).sum(axis=0),
    )


def _ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> Floats:
    out = np.full(whole.shape, np.nan)
    np.divide(part, whole, out=out, where=whole > 0)
    return out


def _metrics(samples: Sequence[_Sample], *, spec: TaskSpec) -> list[tuple[list[int], int] | None]:
    """Per class, then for the mIoU: the classes that are added and the number to divide by.

    None where no interval can be given.
    """
    if len(samples[0].shares) < LEAST_ZONES:
        return [None] * (spec.n_classes + 1)
    present = np.any([~np.isnan(sample.iou) for sample in samples], axis=0)
    usable = present & (samples[0].zones_with >= LEAST_ZONES_OF_A_CLASS)
    scored = metrics.scored_mask(spec)
    averaged = np.flatnonzero(scored & present).tolist()
    whole = len(averaged) if spec.absent_policy == "skip" else int(scored.sum())
    per_class = [([index], 1) if usable[index] else None for index in range(spec.n_classes)]
    return [*per_class, (averaged, whole) if averaged and usable[averaged].all() else None]


def _estimate(samples: Sequence[_Sample], classes: list[int], count: int) -> _Estimate:
    """The metric of one sample, or the difference of the metrics of two."""
    value, moved = 0.0, np.zeros(len(samples[0].shares))
    for sample, sign in zip(samples, (1.0, -1.0), strict=False):
        iou = sample.iou[classes]
        value += sign * float(iou.sum()) / count
        moved += sign * (sample.without[:, classes] - iou).sum(axis=1) / count
    shares = np.mean([sample.shares[:, classes] for sample in samples], axis=0)
    inflation, degrees = _working_model(shares)
    return _Estimate(
        value=value,
        corrected=value - (len(moved) - 1) * float(moved.mean()),
        error=math.sqrt(float((moved**2).sum()) / inflation),
        degrees=degrees,
    )


def _working_model(shares: Floats) -> tuple[float, float]:
    """How much too large the squared jackknife deviations are, and their degrees of freedom.

    ``shares`` float64[zones, classes], each class adding up to 1, none of them 1. Leaving zone i
    out moves a class by g (deviation of i - mean deviation), g = share / (1 - share). These moves'
    covariance is diag(d) + P Gᵀ + G Pᵀ, never made: its trace gives the expectation of the sum of
    squares, the trace of its square the variance of that (Satterthwaite 1946).
    """
    squares = (shares**2).sum(axis=0)
    g = shares / (1 - shares)
    p = g * (squares / 2 - shares)
    d = (g**2).sum(axis=1)
    pg = (p * g).sum(axis=1)
    crossed = g.T @ p
    expected = float(d.sum() + 2 * pg.sum())
    trace_of_square = (
        (d**2).sum()
        + 4 * (d * pg).sum()
        + 2 * (crossed * crossed.T).sum()
        + 2 * ((g.T @ g) * (p.T @ p)).sum()
    )
    return expected / float(squares.sum()), max(1.0, expected**2 / float(trace_of_square))


def _reach(estimate: _Estimate) -> float:
    t = student.quantile((1 + CONFIDENCE) / 2, degrees=estimate.degrees)
    return t * estimate.error


def _proportion_interval(estimate: _Estimate) -> Interval:
    """The interval of a metric between 0 and 1, on the scale of the log-odds.

    The correction goes at most half of the way to 0 or 1.
    """
    value = estimate.value
    if estimate.error == 0:
        return value, value
    middle = min((1 + value) / 2, max(value / 2, estimate.corrected))
    odds = math.log(middle / (1 - middle))
    reach = _reach(estimate) / (middle * (1 - middle))
    low, high = (_from_log_odds(odds - reach), _from_log_odds(odds + reach))
    return min(low, value), max(high, value)


def _from_log_odds(value: float) -> float:
    return 0.5 * (1 + math.tanh(value / 2))


def _difference_test(estimate: _Estimate) -> DifferenceTest:
    value, middle = estimate.value, estimate.corrected
    if estimate.error == 0:
        return DifferenceTest((value, value), float(value == 0))
    reach = _reach(estimate)
    interval = max(-1.0, min(middle - reach, value)), min(1.0, max(middle + reach, value))
    tail = student.cdf(-abs(middle) / estimate.error, degrees=estimate.degrees)
    return DifferenceTest(interval, min(1.0, 2 * tail))
