"""Uncertainty of a score: the cluster bootstrap over zones.

Patches of one zone are neighbours on the ground, so zones, not pixels or patches, are what a
new test set would draw anew (Cameron, Gelbach & Miller 2008, "Bootstrap-based improvements for
inference with clustered errors"). Zones are drawn with replacement and their matrices added; one
resample costs a row of one matrix product.

Intervals are the estimate ± Student's t × the standard deviation of the resamples, one degree of
freedom less than the zones that the class occurs in, cut to the possible range. In simulations
that covered best of percentile, basic, BCa and this, above all below fifty zones (decision 012).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from scoring.engine import metrics
from scoring.engine.spec import TaskSpec

RESAMPLES = 10_000
SEED = 2022
CONFIDENCE = 0.95
_ROWS_AT_ONCE = 1_000

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Intervals:
    """95 % intervals of the mIoU and of each class's IoU; None where zones are too few."""

    miou: Interval | None
    classes: tuple[Interval | None, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """A minus B of one figure, and the share of resamples in which A is the better one."""

    a: float | None
    b: float | None
    difference: float | None
    interval: Interval | None
    probability_a_better: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """A against B on the same resamples of the same zones."""

    miou: Difference
    classes: tuple[Difference, ...]
    n_zones: int
    resamples: int


def intervals(
    zones: NDArray[np.int64], *, spec: TaskSpec, resamples: int = RESAMPLES, seed: int = SEED
) -> Intervals:
    """Intervals from reduced matrices int64[zones, n, n]."""
    estimate = _figures(zones.sum(axis=0), spec=spec)
    drawn = _resampled([zones], spec=spec, resamples=resamples, seed=seed)[0]
    found = [
        _interval(estimate[k], drawn[:, k], n_zones=n, low=0.0, high=1.0)
        for k, n in enumerate(_zones_with(zones))
    ]
    return Intervals(miou=found[-1], classes=tuple(found[:-1]))


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
    if zones_a.shape != zones_b.shape or (zones_a.sum(axis=-1) != zones_b.sum(axis=-1)).any():
        raise ValueError("the two were not scored on the same patches and labels")
    a = _figures(zones_a.sum(axis=0), spec=spec)
    b = _figures(zones_b.sum(axis=0), spec=spec)
    drawn_a, drawn_b = _resampled([zones_a, zones_b], spec=spec, resamples=resamples, seed=seed)
    counts = _zones_with(zones_a + zones_b)
    found = [
        _difference(a[k], b[k], drawn_a[:, k], drawn_b[:, k], n_zones=counts[k])
        for k in range(len(a))
    ]
    return Comparison(found[-1], tuple(found[:-1]), len(zones_a), resamples)


def t_quantile(probability: float, *, degrees: int) -> float:
    """Student's t for a probability above one half, exact to 1 % from two degrees on.

    Cornish and Fisher's expansion (Abramowitz & Stegun 26.7.5).

    >>> round(t_quantile(0.975, degrees=9), 3)
    2.262
    """
    z = NormalDist().inv_cdf(probability)
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92_160,
    )
    return sum((term / degrees**power for power, term in enumerate(terms)), start=0.0)


def _resampled(
    sets: Sequence[NDArray[np.int64]], *, spec: TaskSpec, resamples: int, seed: int
) -> list[NDArray[np.float64]]:
    """float64[resamples, n + 1] of each set, all on the same draws: IoU per class, then mIoU."""
    rng = np.random.default_rng(seed)
    n_zones = len(sets[0])
    margins = [_margins(zones, spec=spec) for zones in sets]
    rows: list[list[NDArray[np.float64]]] = [[] for _ in sets]
    for start in range(0, resamples, _ROWS_AT_ONCE):
        size = min(_ROWS_AT_ONCE, resamples - start)
        drawn = rng.multinomial(n_zones, np.full(n_zones, 1 / n_zones), size=size)
        weights = drawn.astype(np.float64)
        for into, margin in zip(rows, margins, strict=True):
            into.append(_of_margins(weights @ margin, spec=spec))
    return [np.concatenate(into) for into in rows]


def _margins(zones: NDArray[np.int64], *, spec: TaskSpec) -> NDArray[np.float64]:
    """float64[zones, 3 n]: diagonal, row sums, column sums; below 2^53, so still exact."""
    kept = metrics.keep(zones, spec=spec)
    parts = (np.diagonal(kept, axis1=1, axis2=2), kept.sum(axis=2), kept.sum(axis=1))
    return np.concatenate(parts, axis=1).astype(np.float64)


def _of_margins(margins: NDArray[np.float64], *, spec: TaskSpec) -> NDArray[np.float64]:
    n = spec.n_classes
    measured = metrics.from_margins(
        margins[..., :n], margins[..., n : 2 * n], margins[..., 2 * n :], spec=spec
    )
    return np.concatenate((measured.iou, measured.miou[..., None]), axis=-1)


def _figures(matrix: NDArray[np.int64], *, spec: TaskSpec) -> NDArray[np.float64]:
    measured = metrics.measure(matrix, spec=spec)
    return np.append(measured.iou, measured.miou)


def _zones_with(zones: NDArray[np.int64]) -> list[int]:
    """In how many zones each class is in the truth or predicted; last, the number of zones."""
    present = (zones.sum(axis=2) + zones.sum(axis=1)) > 0
    return [*present.sum(axis=0).tolist(), len(zones)]


def _interval(
    estimate: float, drawn: NDArray[np.float64], *, n_zones: int, low: float, high: float
) -> Interval | None:
    drawn = drawn[~np.isnan(drawn)]
    if n_zones < 3 or np.isnan(estimate) or len(drawn) < 2:
        return None
    t = t_quantile((1 + CONFIDENCE) / 2, degrees=n_zones - 1)
    reach = t * float(drawn.std()) * (n_zones / (n_zones - 1)) ** 0.5
    return max(low, float(estimate) - reach), min(high, float(estimate) + reach)


def _difference(
    a: float,
    b: float,
    drawn_a: NDArray[np.float64],
    drawn_b: NDArray[np.float64],
    *,
    n_zones: int,
) -> Difference:
    gap = drawn_a - drawn_b
    known = gap[~np.isnan(gap)]
    better = float(((known > 0) + 0.5 * (known == 0)).mean()) if len(known) else None
    return Difference(
        a=None if np.isnan(a) else float(a),
        b=None if np.isnan(b) else float(b),
        difference=None if np.isnan(a - b) else float(a - b),
        interval=_interval(a - b, gap, n_zones=n_zones, low=-1.0, high=1.0),
        probability_a_better=better,
    )
