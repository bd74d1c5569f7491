"""Intervals hold what they promise where zones are few, and are not given where none can."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import t as scipy_t

from scoring.engine.metrics import jackknife, metrics, student
from scoring.engine.task.specification import TaskSpec
from tests.bench import intervals as simulation
from tests.scoring import builders

N = 4
SETS = 400
# 0.93 to 0.97, give or take two standard deviations of 400 draws.
LEAST, MOST = 0.905, 0.987


@pytest.fixture
def spec() -> TaskSpec:
    return builders.task(n_classes=N)


@pytest.fixture(scope="module")
def populations() -> dict[str, simulation.Population]:
    return simulation.populations(seed=3, size=6_000)


@pytest.mark.parametrize(("name", "zones"), [("four", 8), ("flair", 20)])
def test_intervals_cover_the_true_miou_with_few_zones(
    populations: dict[str, simulation.Population], name: str, zones: int
) -> None:
    found = simulation.coverage(populations[name], zones=zones, sets=SETS, seed=5, resampling=False)
    assert LEAST <= found["engine"] <= MOST
    assert found["given"] > 0.3


def test_the_former_intervals_were_too_narrow_with_few_zones(
    populations: dict[str, simulation.Population],
) -> None:
    """On the same sets; the usual bootstrap intervals are narrower still."""
    found = simulation.coverage(populations["five"], zones=8, sets=SETS, seed=5)
    assert found["percentile"] < found["engine 1.0.0"] < 0.93 <= found["engine"] <= MOST


@pytest.mark.parametrize("zones", [8, 60])
def test_equal_teams_are_seldom_told_apart_on_a_whole_leaderboard(zones: int) -> None:
    """In 5 % of the leaderboards at most; 8 of 60 would be 13 %, two and a half deviations."""
    share = simulation.wrong_leaderboards(zones=zones, leaderboards=60, seed=6, teams=8)
    assert share <= 7 / 60


def test_the_working_model_is_that_of_a_matrix_made_in_full() -> None:
    """Expectation and degrees of freedom, from the covariance of the leave-one-out moves itself."""
    shares = np.random.default_rng(1).dirichlet(np.full(7, 0.8), size=3).T
    expected, squared = 0.0, np.zeros((7, 7))
    for w in shares.T:
        moves = (w / (1 - w))[:, None] * (np.eye(7) - w)
        squared += moves @ moves.T
        expected += float((moves**2).sum())
    inflation, degrees = jackknife._working_model(shares)
    assert inflation == pytest.approx(expected / (shares**2).sum())
    assert degrees == pytest.approx(expected**2 / (squared**2).sum())


def test_even_zones_give_the_usual_degrees_of_freedom() -> None:
    inflation, degrees = jackknife._working_model(np.full((10, 1), 0.1))
    assert inflation == pytest.approx(10 / 9)
    assert degrees == pytest.approx(9)


def _zones(count: int) -> NDArray[np.int64]:
    zones = np.zeros((count, N, N), dtype=np.int64)
    zones[:, 0, 0] = np.arange(count) + 50
    zones[:, 0, 1] = 10
    zones[:, 1, 1] = 30 + np.arange(count) % 3
    return zones


def test_a_class_in_too_few_zones_has_no_interval_nor_has_the_mean(spec: TaskSpec) -> None:
    zones = _zones(20)
    assert jackknife.intervals(zones, spec=spec).miou is not None
    zones[:2, 2, 2] = 5
    found = jackknife.intervals(zones, spec=spec)
    assert found.classes[0] is not None
    assert found.classes[2] is None  # two zones
    assert found.miou is None, "nothing tells how much the IoU of the third class varies"
    zones[2, 2, 2] = 5
    assert jackknife.intervals(zones, spec=spec).miou is not None


def test_a_class_that_was_only_predicted_has_no_interval_nor_has_the_mean(spec: TaskSpec) -> None:
    zones = _zones(20)
    zones[:, 0, 2] = 3
    found = jackknife.intervals(zones, spec=spec)
    assert (found.classes[2], found.miou) == (None, None)


def test_too_few_zones_have_no_interval(spec: TaskSpec) -> None:
    few = jackknife.LEAST_ZONES - 1
    assert jackknife.intervals(_zones(few), spec=spec).miou is None
    assert jackknife.difference_tests(_zones(few), _zones(few), spec=spec).miou is None
    assert jackknife.intervals(_zones(few + 1), spec=spec).miou is not None


def test_an_absent_class_that_counts_zero_moves_no_interval_away_from_the_mean() -> None:
    task = builders.task(n_classes=N, absent_policy="zero")
    zones = _zones(20)
    found = jackknife.intervals(zones, spec=task).miou
    assert found is not None
    assert found[0] <= float(metrics.measure(zones.sum(axis=0), spec=task).miou) <= found[1]


def test_intervals_stay_possible_and_hold_the_estimate(spec: TaskSpec) -> None:
    perfect = np.zeros((9, N, N), dtype=np.int64)
    perfect[:, range(N), range(N)] = 100
    assert jackknife.intervals(perfect, spec=spec).miou == (1.0, 1.0)
    perfect[0, 0, 1] = 1
    found = jackknife.intervals(perfect, spec=spec).miou
    assert found is not None
    value = float(metrics.measure(perfect.sum(axis=0), spec=spec).miou)
    assert 0 < found[0] <= value <= found[1] <= 1


@pytest.mark.parametrize("degrees", [0.7, 1, 1.3, 2, 3.4, 10, 192.5])
def test_students_distribution_is_that_of_scipy(degrees: float) -> None:
    wanted = float(scipy_t.ppf(0.975, degrees))
    assert student.quantile(0.975, degrees=degrees) == pytest.approx(wanted, rel=1e-9)
    for t in (-40.0, -2.5, -0.1, 0.0, 1.0, 6.0):
        found = student.cdf(t, degrees=degrees)
        assert found == pytest.approx(float(scipy_t.cdf(t, degrees)), rel=1e-9)
