"""How ranks moved as scores came in. Pure.

Made of each team's rises alone, the values that a leaderboard showed: a submission that did not
raise its team's best moves nobody.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import attrgetter


@dataclass(frozen=True)
class Rise:
    """A team's best value rose, to a fraction as the leaderboard shows it."""

    at: datetime
    team: int
    value: float


@dataclass(frozen=True)
class RankStep:
    """From a moment on a team had a rank."""

    at: datetime
    rank: int


def rises(scored: Iterable[Rise]) -> list[Rise]:
    """Return the values, in order of time, that raised their own team's best."""
    best: dict[int, float] = {}
    risen = []
    for one in scored:
        if one.value > best.get(one.team, -1.0):
            best[one.team] = one.value
            risen.append(one)
    return risen


def steps_of(risen: Iterable[Rise], *, teams: Collection[int]) -> dict[int, list[RankStep]]:
    """Return for each of some teams how its rank moved: 1, 1, 3 (competition ranking).

    ``risen`` come in order of time; those of one moment count together. A team without a rise has
    no steps.
    """
    best: dict[int, float] = {}
    standing: list[float] = []  # every team's best, the lowest first
    steps: dict[int, list[RankStep]] = {team: [] for team in teams}
    for at, together in groupby(risen, key=attrgetter("at")):
        for one in together:
            if one.team in best:
                del standing[bisect_left(standing, best[one.team])]
            best[one.team] = one.value
            insort(standing, one.value)
        for team, moved in steps.items():
            if team not in best:
                continue
            rank = 1 + len(standing) - bisect_right(standing, best[team])
            if not moved or moved[-1].rank != rank:
                moved.append(RankStep(at, rank))
    return {team: moved for team, moved in steps.items() if moved}
