"""The order of a leaderboard. Pure.

The values that are compared are those that the leaderboard shows: in the disclosed step while
labels are hidden, in full precision afterwards (:mod:`challenge.rules.disclosure`). So the order
is a function of what everybody may see: choosing a team's best or the order of two teams by
anything finer would tell one pixel a submission, however coarse the figures beside it. A team's
row changes with an improvement by a step at least, as in the Ladder (Blum & Hardt 2015,
arXiv:1502.04585), and equal values are a tie; the time of submission, which tells nothing about
labels, decides which of a team's equals stands and in which order ties are listed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any, TypeVar
from uuid import UUID


@dataclass(frozen=True)
class Candidate:
    """One scored submission that may be ranked.

    ``miou`` is a fraction as the leaderboard may show it, or None (nothing could be measured:
    never ranked); ``chosen`` marks a submission its team chose for the final ranking.
    """

    entry: int | str
    submission: UUID | int | str
    miou: float | None
    created_at: datetime
    chosen: bool = False


T = TypeVar("T")
C = TypeVar("C", bound=Candidate)


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


def best_per_entry(
    candidates: Iterable[C],
    *,
    chosen_only: bool,
    key: Callable[[C], Hashable] = attrgetter("entry"),
) -> list[C]:
    """Return each entry's best candidate, best entry first, earlier submission first on a tie.

    The best of equals is the earliest: a later one stands only if it is better as shown.
    With ``chosen_only`` an entry that chose some of its submissions is ranked by the best of
    those; one that chose none by its best. Candidates without an mIoU are left out. ``key`` says
    what counts as one entry.
    """
    by_entry: dict[Hashable, list[C]] = {}
    for candidate in candidates:
        if candidate.miou is not None:
            by_entry.setdefault(key(candidate), []).append(candidate)
    best: list[C] = []
    for of_entry in by_entry.values():
        chosen = [candidate for candidate in of_entry if candidate.chosen]
        best.append(min(chosen if chosen_only and chosen else of_entry, key=_order))
    return sorted(best, key=_order)


def _order(candidate: Candidate) -> tuple[Any, ...]:
    assert candidate.miou is not None
    return -candidate.miou, candidate.created_at, candidate.entry, candidate.submission


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


def significant(p_values: Sequence[float | None], *, error_rate: float) -> list[bool]:
    """Say which of a leaderboard's differences are significant, None (not known) never.

    By Holm's procedure (1979): ``error_rate`` bounds the probability that even one of the equal
    pairs on the whole leaderboard is called different, whatever their dependence.

    >>> significant([0.01, 0.04, None, 0.001], error_rate=0.05)
    [True, False, False, True]
    """
    found = [False] * len(p_values)
    known = [(p, position) for position, p in enumerate(p_values) if p is not None]
    for rejected, (p, position) in enumerate(sorted(known)):
        if p > error_rate / (len(p_values) - rejected):
            break
        found[position] = True
    return found


def inference_ratio(baseline_seconds: float | None, method_seconds: float | None) -> float | None:
    """Return how many times the baseline's inference time a method takes (both self-declared).

    >>> inference_ratio(10.0, 25.0), inference_ratio(None, 25.0)
    (2.5, None)
    """
    if not baseline_seconds or method_seconds is None:
        return None
    return method_seconds / baseline_seconds
