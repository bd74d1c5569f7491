"""Who stands where. Pure; full precision decides, pages round afterwards."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar


@dataclass(frozen=True)
class Candidate:
    """One scored submission that may stand on the board.

    ``miou`` is a fraction in full precision or None (nothing could be measured: never ranked);
    ``chosen`` marks a submission its team chose for the final ranking.
    """

    entry: Hashable
    submission: Hashable
    miou: float | None
    created_at: datetime
    chosen: bool = False


T = TypeVar("T")


def competition_ranks(values: Sequence[float]) -> list[int]:
    """Return the rank of each of ``values``, which come best first: 1, 1, 3.

    >>> competition_ranks([0.7, 0.7, 0.6])
    [1, 1, 3]
    """
    ranks: list[int] = []
    for position, value in enumerate(values):
        if math.isnan(value):
            raise ValueError("found NaN; allowed are numbers, leave out what was not measured")
        if position and value > values[position - 1]:
            raise ValueError("found values out of order; allowed is best first")
        tied = position > 0 and value == values[position - 1]
        ranks.append(ranks[-1] if tied else position + 1)
    return ranks


def best_per_entry(candidates: Iterable[Candidate], *, chosen_only: bool) -> list[Candidate]:
    """Return each entry's best candidate, best entry first, earlier submission first on a tie.

    With ``chosen_only`` an entry that chose some of its submissions stands by the best of those;
    one that chose none stands by its best. Candidates without an mIoU never stand.
    """
    by_entry: dict[Hashable, list[Candidate]] = {}
    for candidate in candidates:
        if candidate.miou is not None:
            by_entry.setdefault(candidate.entry, []).append(candidate)
    best: list[Candidate] = []
    for of_entry in by_entry.values():
        chosen = [candidate for candidate in of_entry if candidate.chosen]
        best.append(min(chosen if chosen_only and chosen else of_entry, key=_order))
    return sorted(best, key=_order)


def _order(candidate: Candidate) -> tuple[float, datetime]:
    assert candidate.miou is not None
    return -candidate.miou, candidate.created_at


def groups(lines: Sequence[T], *, differ: Callable[[T, T], bool]) -> list[int]:
    """Number runs of neighbours that cannot be told apart: 1, 1, 2 …

    A new group starts where a line's difference to the line just above is significant.

    >>> groups([0.9, 0.899, 0.5], differ=lambda a, b: a - b > 0.01)
    [1, 1, 2]
    """
    numbers: list[int] = []
    for position, line in enumerate(lines):
        if position == 0:
            numbers.append(1)
        else:
            numbers.append(numbers[-1] + int(differ(lines[position - 1], line)))
    return numbers


def intervals_overlap(
    a: tuple[float | None, float | None], b: tuple[float | None, float | None]
) -> bool:
    """Say whether two intervals touch; an unknown interval is taken to touch everything.

    >>> intervals_overlap((0.5, 0.6), (0.6, 0.7)), intervals_overlap((0.5, 0.55), (0.6, 0.7))
    (True, False)
    """
    (a_low, a_high), (b_low, b_high) = a, b
    if a_low is None or a_high is None or b_low is None or b_high is None:
        return True
    return a_low <= b_high and b_low <= a_high
