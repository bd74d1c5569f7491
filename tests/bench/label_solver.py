"""Least squares on the simplex with a total-variation prior, for `label_attack`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from tests.bench.label_attack import Labels, Told

Floats = NDArray[np.float64]

ITERATIONS = 150
PRIOR_VARIANCE = 0.05  # of a class's share in a block
SOFTENING = 0.05  # below this difference the total variation is quadratic


def solve(told: Told, plan: NDArray[np.int64], *, labels: Labels, smoothness: float) -> Floats:
    """Return class shares float64[blocks, classes] of the blocks.

    Minimises the squared residuals over their variances, plus squared distances from the classes'
    shares over `PRIOR_VARIANCE`, plus ``smoothness`` times the total variation within patches, by
    accelerated projected gradient steps. What is not attacked is the same in all submissions, so
    all observations are taken relative to their mean.
    """
    shares = labels.totals / labels.totals.sum()
    block_pixels = float(labels.blocks[0].sum())
    chosen = [
        _centred((plan == index).astype(np.float64)) for index in range(labels.blocks.shape[1])
    ]
    counts = _counts(told, chosen, block_pixels)
    miou = _miou_system(told, plan, labels=labels)
    bound = 1.2 * _largest_eigenvalue(lambda x: counts(x, 0.0), (plan.shape[1], len(chosen)))
    bound += 1 / PRIOR_VARIANCE + 8 * smoothness / SOFTENING
    if miou is not None:
        bound += sum(float(np.linalg.norm(rows)) ** 2 for rows in miou[0])
    found = np.tile(shares, (plan.shape[1], 1))
    ahead, momentum = found.copy(), 1.0
    for _ in range(ITERATIONS):
        slope = (ahead - shares) / PRIOR_VARIANCE + counts(ahead, 1.0)
        if miou is not None:
            rows, seen = miou
            residual = sum(rows[i] @ ahead[:, i] for i in range(len(rows))) - seen
            for index in range(len(rows)):
                slope[:, index] += rows[index].T @ residual
        if smoothness:
            slope += smoothness * _variation_slope(ahead)
        moved = _to_simplex(ahead - slope / bound)
        following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead = moved + (momentum - 1) / following * (moved - found)
        found, momentum = moved, following
    return found


def _counts(
    told: Told, chosen: list[Floats], block_pixels: float
) -> Callable[[Floats, float], Floats]:
    """The gradient of the counts' squared residuals, as a function of shares[blocks, classes].

    Its second argument scales the observations (0: the linear part alone).
    """
    if told.matrices is not None and told.matrix_errors is not None:
        design = np.vstack(chosen)  # one predicted class below the other
        weights = (block_pixels / told.matrix_errors) ** 2
        cells = _centred(told.matrices) / block_pixels
        seen = cells.transpose(2, 0, 1).reshape(len(design), -1)
        return lambda shares, scale: design.T @ ((design @ shares - scale * seen) * weights)

    known = np.flatnonzero(np.isfinite(told.errors))
    found = _centred(told.pixels) / block_pixels

    def slope(shares: Floats, scale: float) -> Floats:
        result = np.zeros_like(shares)
        for index in known:
            weight = (block_pixels / told.errors[index]) ** 2
            rows = chosen[index]
            residual = rows @ shares[:, index] - scale * found[:, index]
            result[:, index] = weight * (rows.T @ residual)
        return result

    return slope


def _largest_eigenvalue(apply: Callable[[Floats], Floats], shape: tuple[int, int]) -> float:
    vector = np.random.default_rng(0).normal(size=shape)
    size = 0.0
    for _ in range(15):
        size = float(np.linalg.norm(vector))
        if size == 0:
            return 0.0
        vector = apply(vector / size)
    return float(np.linalg.norm(vector))


def _miou_system(
    told: Told, plan: NDArray[np.int64], *, labels: Labels
) -> tuple[list[Floats], Floats] | None:
    """The mIoU as a linear observation of all scored classes, about the expected counts."""
    if told.mious is None or told.matrices is not None:
        return None
    scored = labels.blocks.shape[1] - 1
    totals = labels.totals
    shares = totals / totals.sum()
    block_pixels = float(labels.blocks[0].sum())
    rows, expected = [], np.zeros(len(plan))
    for index in range(scored):
        counted = (plan == index).sum(axis=1) * block_pixels
        predicted = labels.rest[:, index].sum() + counted
        hit = labels.rest[index, index] + counted * shares[index]
        union = totals[index] + predicted - hit
        slope = (1 / union + hit / union**2) / scored
        expected += hit / union / scored - slope * counted * shares[index]
        rows.append(slope[:, None] * (plan == index) * block_pixels / told.miou_error)
    seen = (told.mious - expected) / told.miou_error
    return [_centred(one) for one in rows], _centred(seen)


def _centred(values: Floats) -> Floats:
    return values - values.mean(axis=0)


def _variation_slope(shares: Floats) -> Floats:
    """The gradient of the softened total variation within patches of 8 by 8 blocks."""
    grid = shares.reshape(-1, 8, 8, shares.shape[1])
    slope = np.zeros_like(grid)
    down = np.clip((grid[:, 1:] - grid[:, :-1]) / SOFTENING, -1, 1)
    slope[:, 1:] += down
    slope[:, :-1] -= down
    right = np.clip((grid[:, :, 1:] - grid[:, :, :-1]) / SOFTENING, -1, 1)
    slope[:, :, 1:] += right
    slope[:, :, :-1] -= right
    return slope.reshape(shares.shape)


def _to_simplex(values: Floats) -> Floats:
    """Return the nearest points whose coordinates are not negative and add up to one."""
    ordered = -np.sort(-values, axis=1)
    excess = np.cumsum(ordered, axis=1) - 1
    counts = np.arange(1, values.shape[1] + 1)
    last = (ordered - excess / counts > 0).sum(axis=1)
    shift = excess[np.arange(len(values)), last - 1] / last
    return np.maximum(values - shift[:, None], 0)
