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
from dataclasses import dataclass, replace
from datetime import datetime
from operator import attrgetter
from typing import Any, TypeVar
from uuid import UUID


@dataclass(frozen=True)
class Candidate:
    """One scored submission that may be ranked.

    ``miou`` is a fraction as the leaderboard may show it, or None (nothing could be measured:
    never ranked); ``chosen`` marks a submission its team chose for the final ranking.
    ``public_miou`` is the value on public zones, once ``miou`` is that on private ones.
    """

    entry: int | str
    submission: UUID | int | str
    miou: float | None
    created_at: datetime
    chosen: bool = False
    public_miou: float | None = None


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
    by_public: bool = False,
    key: Callable[[C], Hashable] = attrgetter("entry"),
) -> list[C]:
    """Return each entry's best candidate, best entry first, earlier submission first on a tie.

    The best of equals is the earliest: a later one stands only if it is better as shown.
    With ``chosen_only`` an entry that chose some of its submissions is ranked by the best of
    those; one that chose none by its best. With ``by_public`` an entry that chose none is ranked
    by the one that was best on public zones: the best of many private values would reward
    submitting often (decision 341). Candidates without an mIoU are left out. ``key`` says
    what counts as one entry.
    """
    by_entry: dict[Hashable, list[C]] = {}
    for candidate in candidates:
        if candidate.miou is not None:
            by_entry.setdefault(key(candidate), []).append(candidate)
    best: list[C] = []
    for of_entry in by_entry.values():
        chosen = [candidate for candidate in of_entry if candidate.chosen and chosen_only]
        if chosen:
            best.append(min(chosen, key=_order))
        else:
            best.append(min(of_entry, key=_public_order if by_public else _order))
    return sorted(best, key=_order)


def _order(candidate: Candidate) -> tuple[Any, ...]:
    assert candidate.miou is not None
    return -candidate.miou, candidate.created_at, candidate.entry, candidate.submission


def _public_order(candidate: Candidate) -> tuple[Any, ...]:
    public = -1.0 if candidate.public_miou is None else candidate.public_miou
    return -public, candidate.created_at, candidate.submission


def public_ranks(candidates: Iterable[Candidate], *, chosen_only: bool) -> dict[int | str, int]:
    """Return each entry's rank by its best value on public zones, of all or of those chosen."""
    public = [
        replace(candidate, miou=candidate.public_miou)
        for candidate in candidates
        if candidate.public_miou is not None
    ]
    order = best_per_entry(public, chosen_only=chosen_only)
    numbers = competition_ranks([candidate.miou or 0.0 for candidate in order])
    return {candidate.entry: rank for rank, candidate in zip(numbers, order, strict=True)}


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
