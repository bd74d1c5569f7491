"""How often do 95 % intervals hold the truth? Simulated zones, five methods, one table.

``python -m tests.bench.intervals [SETS]`` draws sets of zones from populations of 20,000 zones
whose IoU is known, and counts how often the interval of the mIoU holds it: the mean of the IoU over
the classes that occur in the set. Then it ranks teams of equal skill and counts the leaderboards on
which any two are told apart. The tests use the same populations (`tests/scoring/metrics`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from challenge.rules import ranking
from scoring.engine.metrics import jackknife, metrics, student
from scoring.engine.task.specification import TaskSpec
from tests.scoring import builders

ZONES = (8, 20, 60, 193)
POPULATION = 20_000
RESAMPLES = 400
TEAMS = 20
PATCH_PIXELS = 512 * 512

Floats = NDArray[np.float64]
Ends = tuple[float, float]

# Of the 13 classes of FLAIR: the share of pixels in percent, the share of zones that have any,
# the share of its pixels that a good network finds.
_FLAIR = np.array(
    [
        (8.1, 0.95, 0.90), (8.3, 0.97, 0.72), (13.7, 0.98, 0.84), (3.5, 0.60, 0.75),
        (4.9, 0.50, 0.93), (2.7, 0.35, 0.80), (15.4, 0.90, 0.84), (7.0, 0.80, 0.45),
        (3.1, 0.20, 0.82), (17.8, 1.00, 0.70), (11.0, 0.50, 0.72), (3.9, 0.30, 0.60),
        (0.6, 0.40, 0.30),
    ]
)  # fmt: skip
# Five classes, the last in a third of the zones, nearly all found.
_FIVE = np.array([(40, 1, 0.9), (30, 1, 0.9), (15, 0.9, 0.9), (10, 0.6, 0.9), (5, 0.35, 0.9)])
# Four classes that are everywhere.
_FOUR = np.array([(25, 1, 0.7)] * 4)


@dataclass(frozen=True)
class Population:
    """Zones int64[size, n, n] and the IoU of each class over all of them."""

    spec: TaskSpec
    zones: NDArray[np.int64]
    iou: Floats

    def true_miou(self, chosen: NDArray[np.int64]) -> float:
        """The mean of the IoU over the scored classes that occur in these zones."""
        present = (chosen.sum(axis=(0, 1)) + chosen.sum(axis=(0, 2))) > 0
        return float(self.iou[present & metrics.scored_mask(self.spec)].mean())


def populations(seed: int = 1, *, size: int = POPULATION) -> dict[str, Population]:
    """The populations by name: classes like FLAIR's, five with a rare one, four everywhere."""
    rng = np.random.default_rng(seed)
    tables = {"flair": (_FLAIR, 1.1), "five": (_FIVE, 0.9), "four": (_FOUR, 1.3)}
    return {
        name: _population(rng, classes, spread=spread, size=size)
        for name, (classes, spread) in tables.items()
    }


def _population(
    rng: np.random.Generator, classes: Floats, *, spread: float, size: int
) -> Population:
    """Zones with a mixture of classes, errors and a size of their own."""
    spec = builders.task(n_classes=len(classes))
    zones = predicted(rng, truth(rng, classes, spread=spread, size=size), classes)
    return Population(spec, zones, metrics.measure(zones.sum(axis=0), spec=spec).iou)


def truth(rng: np.random.Generator, classes: Floats, *, spread: float, size: int) -> Floats:
    """float64[size, n]: true pixels of each class by zone."""
    shares, presence = classes[:, 0] / 100, classes[:, 1]
    n = len(classes)
    mixture = np.exp(np.log(shares / presence) + rng.normal(0, spread, (size, n)))
    mixture *= rng.random((size, n)) < presence
    mixture[:, np.argmax(presence * shares)] += 1e-3  # no zone is empty
    patches = rng.choice(
        [25, 50, 75, 100, 150, 200, 400], size, p=[0.2, 0.2, 0.2, 0.2, 0.1, 0.06, 0.04]
    )
    return mixture / mixture.sum(axis=1, keepdims=True) * (patches * PATCH_PIXELS)[:, None]


def predicted(rng: np.random.Generator, pixels: Floats, classes: Floats) -> NDArray[np.int64]:
    """int64[size, n, n]: a zone finds more or less of everything, and of each class."""
    size, n = pixels.shape
    odds = np.log(classes[:, 2] / (1 - classes[:, 2]))
    odds = odds + rng.normal(0, 0.5, (size, 1)) + rng.normal(0, 0.7, (size, n))
    found = 1 / (1 + np.exp(-odds))
    likely = np.where(pixels > 0, 1.0, 0.03)[:, None, :] * (classes[:, 0] / 100) ** 0.5
    errors = likely * rng.gamma(0.7, 1.0, (size, n, n)) + 1e-12
    errors[:, range(n), range(n)] = 0
    matrix = errors / errors.sum(axis=2, keepdims=True) * (1 - found)[:, :, None]
    matrix[:, range(n), range(n)] = found
    return np.rint(matrix * pixels[:, :, None]).astype(np.int64)


# The methods -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Resampled:
    """One set of zones: its mIoU and error, those of its resamples, its mIoU without each zone."""

    estimate: float
    error: float
    mious: Floats
    errors: Floats
    without: Floats


def resampled(zones: NDArray[np.int64], *, spec: TaskSpec, rng: np.random.Generator) -> Resampled:
    """Draw the zones with replacement `RESAMPLES` times."""
    n = len(zones)
    scored = metrics.scored_mask(spec)
    hit = np.diagonal(zones, axis1=1, axis2=2)[:, scored].astype(np.float64)
    union = (zones.sum(axis=1) + zones.sum(axis=2))[:, scored] - hit
    weights = rng.multinomial(n, np.full(n, 1 / n), size=RESAMPLES).astype(np.float64)
    mious, errors = _linearised(weights, hit, union)
    estimate, error = _linearised(np.ones((1, n)), hit, union)
    without, _ = _linearised(1 - np.eye(n), hit, union)
    return Resampled(float(estimate[0]), float(error[0]), mious, errors, without)


def _linearised(weights: Floats, hit: Floats, union: Floats) -> tuple[Floats, Floats]:
    """mIoU and its standard error by the linearised residuals, of each row of weights."""
    n = weights.sum(axis=1)
    hits, unions = weights @ hit, weights @ union
    known = unions > 0
    inverse = np.divide(1.0, unions, out=np.zeros_like(unions), where=known)
    iou = hits * inverse
    count = known.sum(axis=1)
    residuals = (inverse @ hit.T - (iou * inverse) @ union.T) / count[:, None]
    variance = (weights * residuals**2).sum(axis=1) * n / (n - 1)
    return iou.sum(axis=1) / count, np.sqrt(variance)


def percentile(found: Resampled, n: int) -> Ends:
    """The middle 95 % of the resamples."""
    low, high = np.quantile(found.mious, (0.025, 0.975))
    return float(low), float(high)


def bootstrap_deviation(found: Resampled, n: int) -> Ends:
    """The estimate ± t × the deviation of the resamples: engine 1.0.0 (decision 012)."""
    reach = student.quantile(0.975, degrees=n - 1) * found.mious.std() * (n / (n - 1)) ** 0.5
    return found.estimate - reach, found.estimate + reach


def bca(found: Resampled, n: int) -> Ends:
    """Bias-corrected and accelerated (Efron 1987)."""
    normal = NormalDist()
    below = float((found.mious < found.estimate).mean())
    bias = normal.inv_cdf(min(1 - 1e-3, max(1e-3, below)))
    moved = found.without.mean() - found.without
    acceleration = float((moved**3).sum() / (6 * ((moved**2).sum() ** 1.5 + 1e-300)))
    ends = []
    for z in (-1.96, 1.96):
        shifted = bias + (bias + z) / (1 - acceleration * (bias + z))
        ends.append(float(np.quantile(found.mious, normal.cdf(shifted))))
    return ends[0], ends[1]


def bootstrap_t(found: Resampled, n: int) -> Ends:
    """Studentised by the linearised error of each resample (Efron & Tibshirani, chapter 12)."""
    usable = found.errors > 1e-12
    t = (found.mious[usable] - found.estimate) / found.errors[usable]
    low, high = np.quantile(t, (0.025, 0.975))
    return found.estimate - float(high) * found.error, found.estimate - float(low) * found.error


RESAMPLING: dict[str, Callable[[Resampled, int], Ends]] = {
    "percentile": percentile,
    "BCa": bca,
    "bootstrap t": bootstrap_t,
    "engine 1.0.0": bootstrap_deviation,
}


# The counts ------------------------------------------------------------------------------------


def coverage(
    population: Population, *, zones: int, sets: int, seed: int, resampling: bool = True
) -> dict[str, float]:
    """The share of sets whose interval holds the truth, by method, and of sets that have one.

    All methods are counted on the sets that have an interval by the engine, so that they are
    compared on the same ones; ``all:`` counts the resampling methods on all sets.
    """
    rng = np.random.default_rng(seed)
    held: dict[str, int] = {}
    given = 0
    for _ in range(sets):
        chosen = population.zones[rng.integers(0, len(population.zones), zones)]
        true = population.true_miou(chosen)
        ends = jackknife.intervals(chosen, spec=population.spec).miou
        found: dict[str, bool] = {}
        if resampling:
            draws = resampled(chosen, spec=population.spec, rng=rng)
            for name, method in RESAMPLING.items():
                low, high = method(draws, zones)
                found[f"all: {name}"] = low <= true <= high
                if ends is not None:
                    found[name] = low <= true <= high
        if ends is not None:
            given += 1
            found["engine"] = ends[0] <= true <= ends[1]
        for name, holds in found.items():
            held[name] = held.get(name, 0) + holds
    shares = {
        name: count / (sets if name.startswith("all: ") else max(1, given))
        for name, count in held.items()
    }
    return shares | {"given": given / sets}


def wrong_leaderboards(*, zones: int, leaderboards: int, seed: int, teams: int = TEAMS) -> float:
    """The share of leaderboards of equally good teams on which any neighbours are told apart."""
    rng = np.random.default_rng(seed)
    spec = builders.task(n_classes=len(_FOUR))
    wrong = 0
    for _ in range(leaderboards):
        pixels = np.rint(truth(rng, _FOUR, spread=1.3, size=zones))
        scores = [_with_truth(predicted(rng, pixels, _FOUR), pixels) for _ in range(teams)]
        scores.sort(key=lambda one: -float(metrics.measure(one.sum(axis=0), spec=spec).miou))
        tests = [jackknife.difference_tests(a, b, spec=spec).miou for a, b in pairwise(scores)]
        p_values = [None if test is None else test.p_value for test in tests]
        wrong += any(ranking.significant(p_values, error_rate=0.05))
    return wrong / leaderboards


def _with_truth(matrix: NDArray[np.int64], pixels: Floats) -> NDArray[np.int64]:
    """The matrix with row sums that are exactly the true pixels, which rounding may have moved."""
    n = matrix.shape[1]
    matrix[:, range(n), range(n)] += pixels.astype(np.int64) - matrix.sum(axis=2)
    return np.maximum(matrix, 0)


def main(sets: int = 400) -> None:
    """Print both tables."""
    names = [*RESAMPLING, "engine", "given"]
    print("share of 95 % intervals of the mIoU that hold it; given: of sets that have one")
    print("in brackets: on all sets, those included for which the engine gives none")
    print(f"{'population':<12}{'zones':>6}" + "".join(f"{name:>19}" for name in names))
    for name, population in populations().items():
        for zones in ZONES:
            found = coverage(population, zones=zones, sets=sets, seed=zones)
            cells = []
            for method in names:
                shown = f"{found.get(method, float('nan')):.3f}"
                if method in RESAMPLING:
                    shown += f" ({found['all: ' + method]:.3f})"
                cells.append(f"{shown:>19}")
            print(f"{name:<12}{zones:>6}" + "".join(cells), flush=True)
    print(f"\nleaderboards of {TEAMS} equal teams on which any neighbours are told apart")
    for zones in (8, 60):
        share = wrong_leaderboards(zones=zones, leaderboards=sets // 2, seed=zones)
        print(f"{zones:>6} zones {share:.3f}", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
