"""Which patches of a submission are shown: by their scores, or without looking at any label."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from scoring.engine.metrics import metrics
from scoring.engine.metrics.evidence import Evidence

AT_ONCE = 2048  # patches whose matrices are in memory at a time
MIN_SHARE = 0.01  # of a patch that a class has, to be looked at there
SAMPLES = 6


class Reason(StrEnum):
    """Why a patch is shown."""

    WORST = "worst"
    MEDIAN = "median"
    BEST = "best"
    CLASS = "class"
    SAMPLE = "sample"


@dataclass(frozen=True, slots=True)
class Choice:
    """A patch and why it is shown.

    ``value`` is its mIoU, for a class the class's IoU there; ``rank`` is its place among ``of``
    patches, the best first; ``wrong`` is the share of its pixels that are wrong.
    """

    patch: str
    reason: Reason
    class_id: int | None = None
    value: float | None = None
    rank: int | None = None
    of: int | None = None
    wrong: float | None = None


def by_score(evidence: Evidence) -> list[Choice]:
    """Return the worst, the median and the best patch, and for each scored class the worst.

    By the task's own metric on a patch's matrix; a patch without a scored class has no value. For
    a class, patches count of whose pixels it has 1 % at least, or, where none has, any of it. Ties
    go to the first id.
    """
    miou, iou, share = _patch_values(evidence)
    known = np.flatnonzero(~np.isnan(miou))
    order = known[np.argsort(-miou[known], kind="stable")]
    if not len(order):
        return []
    places = {Reason.WORST: len(order) - 1, Reason.MEDIAN: (len(order) - 1) // 2, Reason.BEST: 0}
    wanted = list(places.items())[-1:] if len(order) == 1 else list(places.items())
    if len(order) == 2:
        wanted = [pair for pair in wanted if pair[0] is not Reason.MEDIAN]
    chosen = [
        Choice(
            evidence.ids[order[place]], reason, None, float(miou[order[place]]), place + 1,
            len(order),
        )
        for reason, place in wanted
    ]  # fmt: skip
    for class_id in evidence.spec.scored_ids:
        column = share[:, class_id]
        found = np.flatnonzero(column >= MIN_SHARE)
        if not len(found):
            found = np.flatnonzero(column > 0)
        if len(found):
            values = iou[found, class_id]
            at = int(np.argmin(values))
            patch, value = evidence.ids[found[at]], float(values[at])
            chosen.append(Choice(patch, Reason.CLASS, class_id, value, len(found), len(found)))
    return chosen


def samples(ids: Sequence[str], *, seed: str) -> list[Choice]:
    """Return a few patches, always the same of the same ids and seed: no label has a say."""

    def place(patch: str) -> bytes:
        return hashlib.sha256(f"{seed}/{patch}".encode()).digest()

    return [Choice(patch, Reason.SAMPLE) for patch in sorted(sorted(ids, key=place)[:SAMPLES])]


def _patch_values(
    evidence: Evidence,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """float64[P] mIoU, float64[P, n] IoU and true share of each class; NaN where undefined."""
    mious, ious, shares = [], [], []
    for first in range(0, len(evidence.ids), AT_ONCE):
        matrices = evidence.patch_matrices(first, min(first + AT_ONCE, len(evidence.ids)))
        values = metrics.measure(matrices, spec=evidence.spec)
        mious.append(values.miou)
        ious.append(values.iou)
        pixels = matrices.sum(axis=(1, 2))
        shares.append(matrices.sum(axis=2) / np.maximum(pixels, 1)[:, None])
    return np.concatenate(mious), np.concatenate(ious), np.concatenate(shares)
