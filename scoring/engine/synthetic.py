"""Synthetic land cover: coherent masks and noisy predictions, for benchmarks and tests.

A mask is the arg-max of one smooth random field per class of the patch; a prediction is the
arg-max of the same fields with finer noise added, so that it errs along borders and in speckles
as a network does. At 512 × 512 pixels masks have about 4,000 runs a patch (three real ones: 1,000
to 3,800), predictions about 18,000 and LZW files of 21 KB (IGN's official sample: 24,000 and
21.5 KB).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from scoring.engine.task.specification import Patch, TaskSpec

COARSE_CELLS = 5
MEDIUM_CELLS = 16
FINE_CELLS = 170
LABELS_PER_PATCH = 6
PATCHES_PER_ZONE = 25
ZONES_PER_DOMAIN = 8
_KINDS = ("UU", "UN", "NA", "AF")


@dataclass(frozen=True, slots=True)
class Pair:
    """uint8[H, W] each: ``mask`` holds the mask's own values, ``prediction`` class ids."""

    mask: NDArray[np.uint8]
    prediction: NDArray[np.uint8]


def pair(spec: TaskSpec, *, seed: int, noise: float = 0.45) -> Pair:
    """One patch, always the same for the same seed; ``noise`` 0 predicts it perfectly."""
    rng = np.random.default_rng(seed)
    size = (spec.patch_height_px, spec.patch_width_px)
    labels = _labels(spec, rng)
    fields = [
        _smooth(rng, size, cells=COARSE_CELLS) + 0.25 * _smooth(rng, size, cells=MEDIUM_CELLS)
        for _ in labels
    ]
    mask = labels[np.argmax(fields, axis=0)]
    if noise == 0:
        return Pair(mask, spec.label_table[mask])
    noisy = [
        field
        + noise * 0.5 * _smooth(rng, size, cells=MEDIUM_CELLS)
        + noise * 0.4 * _smooth(rng, size, cells=FINE_CELLS)
        for field in fields
    ]
    return Pair(mask, spec.label_table[labels[np.argmax(noisy, axis=0)]])


def patches(spec: TaskSpec, *, count: int) -> Sequence[Patch]:
    """The first patches of the specification's list, or synthetic ones in synthetic zones."""
    if len(spec.expected) >= count:
        return spec.expected[:count]
    return list(itertools.islice(_synthetic_patches(), count))


def _synthetic_patches() -> Iterator[Patch]:
    for number in itertools.count():
        zone, domain = number // PATCHES_PER_ZONE, number // (PATCHES_PER_ZONE * ZONES_PER_DOMAIN)
        yield Patch(
            id=f"{number + 1:06d}",
            domain=f"D{domain % 95 + 1:03d}_20{18 + domain % 4}",
            zone=f"Z{zone % ZONES_PER_DOMAIN + 1}_{_KINDS[zone % len(_KINDS)]}",
        )


def _labels(spec: TaskSpec, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A few mask values; those of scored classes come more often, as on the ground."""
    values = np.array(spec.label_values, dtype=np.uint8)
    scored = np.isin(spec.label_table[values], spec.scored_ids)
    weights = np.where(scored, 1.0, 0.05)
    number = min(LABELS_PER_PATCH, len(values))
    return rng.choice(values, size=number, replace=False, p=weights / weights.sum())


def _smooth(rng: np.random.Generator, size: tuple[int, int], *, cells: int) -> NDArray[np.float32]:
    """float32[H, W]: normal values on a grid of cells × cells, smoothly interpolated."""
    grid = rng.standard_normal((cells, cells), dtype=np.float32)
    return np.asarray(_weights(size[0], cells) @ grid @ _weights(size[1], cells).T, np.float32)


@lru_cache(maxsize=16)
def _weights(length: int, cells: int) -> NDArray[np.float32]:
    """float32[length, cells]: the interpolation of each position between its two grid cells."""
    position = np.linspace(0, cells - 1, length)
    left = np.clip(position.astype(np.int64), 0, cells - 2)
    fraction = position - left
    share = fraction * fraction * (3 - 2 * fraction)  # smoothstep
    weights = np.zeros((length, cells), dtype=np.float32)
    weights[np.arange(length), left] = 1 - share
    weights[np.arange(length), left + 1] = share
    return weights
