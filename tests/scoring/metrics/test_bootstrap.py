"""The paired comparison: the true difference is covered, swapping mirrors it, seeds repeat it."""

from __future__ import annotations

import time

import numpy as np
import pytest
from numpy.typing import NDArray

from scoring.engine.metrics import bootstrap, metrics
from scoring.engine.task.specification import TaskSpec
from tests.scoring import builders

N = 4


def _population(rng: np.random.Generator, size: int, *, skill: float) -> NDArray[np.int64]:
    """Zones int64[size, 4, 4] with their own mix of classes and their own quality."""
    mix = rng.dirichlet(np.full(N, 0.7), size=size)
    weight = rng.choice([25, 50, 75, 100], size=size) * 10_000.0
    right = rng.beta(10 * skill, 10 * (1 - skill), size=(size, N))
    zones = np.empty((size, N, N))
    for c in range(N):
        wrong = rng.dirichlet(np.full(N - 1, 1.0), size=size)
        zones[:, c, :] = np.insert(wrong * (1 - right[:, c : c + 1]), c, right[:, c], axis=1)
    return np.rint(zones * mix[:, :, None] * weight[:, None, None]).astype(np.int64)


@pytest.fixture
def spec() -> TaskSpec:
    return builders.task(n_classes=N)


def _miou(zones: NDArray[np.int64], spec: TaskSpec) -> float:
    return float(metrics.measure(zones.sum(axis=0), spec=spec).miou)


def test_the_paired_interval_covers_the_true_difference(spec: TaskSpec) -> None:
    rng = np.random.default_rng(8)
    base = _population(rng, 20_000, skill=0.7)
    # B turns a tenth of each zone's right pixels into errors: the truth stays the same.
    worse = base.copy()
    for c in range(N):
        moved = worse[:, c, c] // 10
        worse[:, c, c] -= moved
        worse[:, c, (c + 1) % N] += moved
    true = _miou(base, spec) - _miou(worse, spec)
    held = better = 0
    for _ in range(150):
        chosen = rng.integers(0, len(base), 60)
        found = bootstrap.compare(base[chosen], worse[chosen], spec=spec, resamples=300).miou
        assert found.interval is not None
        held += found.interval[0] <= true <= found.interval[1]
        better += found.probability_a_better == 1.0
    assert 0.88 <= held / 150 <= 1.0
    assert better == 150


def test_equal_scores_are_reported_as_equal(spec: TaskSpec) -> None:
    """Two of the same quality: A is called clearly better or worse in about 5 % of the cases."""
    rng = np.random.default_rng(9)
    called = 0
    for _ in range(200):
        truth = _population(rng, 50, skill=0.7)
        a, b = (_shaken(truth, rng) for _ in range(2))
        found = bootstrap.compare(a, b, spec=spec, resamples=300).miou
        assert found.interval is not None
        called += not found.interval[0] <= 0 <= found.interval[1]
    assert called / 200 <= 0.11


def _shaken(zones: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """The same truth, predicted a little worse by a random share per zone and class."""
    shaken = zones.copy()
    for c in range(N):
        moved = (zones[:, c, c] * rng.uniform(0, 0.2, size=len(zones))).astype(np.int64)
        shaken[:, c, c] -= moved
        shaken[:, c, (c + 1) % N] += moved
    return shaken


def test_the_same_seed_gives_the_same_comparison(spec: TaskSpec) -> None:
    truth = _population(np.random.default_rng(1), 30, skill=0.6)
    zones, other = (_shaken(truth, np.random.default_rng(seed)) for seed in (2, 3))
    one = bootstrap.compare(zones, other, spec=spec, resamples=500)
    assert one == bootstrap.compare(zones, other, spec=spec, resamples=500)
    assert one != bootstrap.compare(zones, other, spec=spec, resamples=500, seed=1)


def test_swapping_mirrors_the_comparison(spec: TaskSpec) -> None:
    rng = np.random.default_rng(2)
    truth = _population(rng, 30, skill=0.6)
    a, b = _shaken(truth, rng), _shaken(truth, rng)
    ab = bootstrap.compare(a, b, spec=spec, resamples=500)
    ba = bootstrap.compare(b, a, spec=spec, resamples=500)
    for one, other in zip((ab.miou, *ab.classes), (ba.miou, *ba.classes), strict=True):
        assert one.difference == pytest.approx(-(other.difference or 0))
        assert one.interval is not None
        assert other.interval is not None
        assert one.interval == pytest.approx((-other.interval[1], -other.interval[0]))
        assert one.p_value == pytest.approx(other.p_value)
        assert one.probability_a_better == pytest.approx(1 - (other.probability_a_better or 0))


def test_comparing_a_submission_with_itself_gives_one_half(spec: TaskSpec) -> None:
    zones = _population(np.random.default_rng(3), 30, skill=0.6)
    found = bootstrap.compare(zones, zones, spec=spec, resamples=200).miou
    assert (found.difference, found.interval, found.probability_a_better) == (0, (0, 0), 0.5)
    assert found.p_value == 1


def test_different_truths_are_not_compared(spec: TaskSpec) -> None:
    a = _population(np.random.default_rng(4), 5, skill=0.6)
    b = _population(np.random.default_rng(5), 5, skill=0.6)
    with pytest.raises(ValueError, match="not scored on the same patches"):
        bootstrap.compare(a, b, spec=spec)


def test_ten_thousand_resamples_of_a_full_set_take_bounded_time() -> None:
    spec = builders.task(n_classes=13)
    zones = np.random.default_rng(6).integers(0, 10_000, size=(193, 13, 13), dtype=np.int64)
    started_s = time.process_time()
    bootstrap.compare(zones, zones, spec=spec)
    assert time.process_time() - started_s < 20
