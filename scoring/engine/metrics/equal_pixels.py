"""How many pixels of two submissions are equal, for each pair of several. Exact."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from scoring.engine.truth.store import PackedTruth


def count(
    packs: Sequence[PackedTruth],
    *,
    on_progress: Callable[[int, int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> NDArray[np.int64]:
    """Return the pixels that packed files have in common, int64[N, N], symmetric.

    All have the same patches and labels; of each, one patch is in memory at a time. The diagonal
    holds all pixels. ``should_stop`` is asked before each patch and ends the count early: then the
    numbers are of the patches until there. Raises ValueError where the patches differ, StoreError
    for a damaged record.
    """
    counts = np.zeros((len(packs), len(packs)), dtype=np.int64)
    ids = packs[0].ids
    if any(pack.ids != ids or pack.shape != packs[0].shape for pack in packs):
        raise ValueError("the packed files do not hold the same patches")
    for done, patch_id in enumerate(ids, start=1):
        if should_stop is not None and should_stop():
            break
        _add_patch(counts, [pack.read_indices(patch_id).ravel() for pack in packs])
        if on_progress is not None:
            on_progress(done, len(ids))
    return counts


def _add_patch(counts: NDArray[np.int64], pixels: Sequence[NDArray[np.uint8]]) -> None:
    """Add one patch's equal pixels; ``pixels`` are flat arrays of one length."""
    for first, second in combinations(range(len(pixels)), 2):
        equal = int(np.count_nonzero(pixels[first] == pixels[second]))
        counts[first, second] += equal
        counts[second, first] += equal
    diagonal = np.einsum("ii->i", counts)
    diagonal += pixels[0].size
