"""Intervals that hold what they promise: coverage, symmetry, seeds, edge cases."""

from __future__ import annotations

import time

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import t as student

from scoring.engine import bootstrap, metrics
from scoring.engine.spec import TaskSpec
from tests.scoring import made

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
    return made.task(n_classes=N)


def _miou(zones: NDArray[np.int64], spec: TaskSpec) -> float:
    return float(metrics.measure(zones.sum(axis=0), spec=spec).miou)


@pytest.mark.parametrize(("n_zones", "least"), [(12, 0.84), (40, 0.89), (190, 0.91)])
def test_intervals_cover_the_truth(spec: TaskSpec, n_zones: int, least: float) -> None:
    """Of 300 sets of zones drawn from 20,000, 95 % of the intervals should hold the true mIoU."""
    rng = np.random.default_rng(7)
    population = _population(rng, 20_000, skill=0.7)
    true = _miou(population, spec)
    held = 0
    for _ in range(300):
        zones = population[rng.integers(0, len(population), n_zones)]
        found = bootstrap.intervals(zones, spec=spec, resamples=300).miou
        assert found is not None
        held += found[0] <= true <= found[1]
    assert least <= held / 300 <= 0.99


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


def test_equals_are_told_as_equals(spec: TaskSpec) -> None:
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


def test_the_same_seed_gives_the_same_interval(spec: TaskSpec) -> None:
    zones = _population(np.random.default_rng(1), 30, skill=0.6)
    one = bootstrap.intervals(zones, spec=spec, resamples=500)
    assert one == bootstrap.intervals(zones, spec=spec, resamples=500)
    assert one != bootstrap.intervals(zones, spec=spec, resamples=500, seed=1)


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
        assert one.probability_a_better == pytest.approx(1 - (other.probability_a_better or 0))


def test_a_submission_against_itself_is_a_coin(spec: TaskSpec) -> None:
    zones = _population(np.random.default_rng(3), 30, skill=0.6)
    found = bootstrap.compare(zones, zones, spec=spec, resamples=200).miou
    assert (found.difference, found.interval, found.probability_a_better) == (0, (0, 0), 0.5)


def test_a_class_of_too_few_zones_has_no_interval(spec: TaskSpec) -> None:
    zones = np.zeros((20, N, N), dtype=np.int64)
    zones[:, 0, 0] = np.arange(20) + 50
    zones[:, 0, 1] = 10
    zones[:2, 2, 2] = 5
    found = bootstrap.intervals(zones, spec=spec, resamples=200)
    assert found.classes[0] is not None
    assert found.classes[2] is None  # two zones
    assert found.classes[3] is None  # absent
    assert bootstrap.intervals(zones[:2], spec=spec, resamples=200).miou is None


def test_intervals_stay_possible(spec: TaskSpec) -> None:
    perfect = np.zeros((9, N, N), dtype=np.int64)
    perfect[:, range(N), range(N)] = 100
    assert bootstrap.intervals(perfect, spec=spec, resamples=200).miou == (1.0, 1.0)


def test_different_truths_are_not_compared(spec: TaskSpec) -> None:
    a = _population(np.random.default_rng(4), 5, skill=0.6)
    b = _population(np.random.default_rng(5), 5, skill=0.6)
    with pytest.raises(ValueError, match="not scored on the same patches"):
        bootstrap.compare(a, b, spec=spec)


@pytest.mark.parametrize("degrees", [2, 3, 5, 10, 30, 192])
def test_students_quantile(degrees: int) -> None:
    wanted = float(student.ppf(0.975, degrees))
    assert bootstrap.t_quantile(0.975, degrees=degrees) == pytest.approx(wanted, rel=0.01)


def test_ten_thousand_resamples_of_a_full_set_take_less_than_two_seconds() -> None:
    spec = made.task(n_classes=13)
    zones = np.random.default_rng(6).integers(0, 10_000, size=(193, 13, 13), dtype=np.int64)
    started_s = time.process_time()
    bootstrap.intervals(zones, spec=spec)
    assert time.process_time() - started_s < 2
