"""Whose turn it is. Pure; the claim's SQL orders by the same key (a test compares them)."""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Waiting:
    """One queued evaluation; a smaller ``priority`` goes first (0 live, 1 re-score)."""

    id: int
    team: Hashable
    priority: int
    queued_at: datetime


def turn_key(waiting: Waiting, *, running: int) -> tuple[int, int, datetime, int]:
    """Return what the queue is sorted by, smallest first.

    The team with fewer running first, so that a team that sent twenty archives waits behind a
    team that sent one; then live submissions before re-scores; then age.
    """
    return running, waiting.priority, waiting.queued_at, waiting.id


def order(queue: Iterable[Waiting], *, running: Mapping[Hashable, int]) -> list[Waiting]:
    """Return the queue in the order in which it would be claimed one by one.

    ``running`` counts each team's evaluations being scored. Teams with several waiting take
    turns: each claim counts as running for the claims after it.
    """
    by_team: dict[Hashable, list[Waiting]] = {}
    for waiting in queue:
        by_team.setdefault(waiting.team, []).append(waiting)
    heads = []
    for team, of_team in by_team.items():
        of_team.sort(key=lambda w: turn_key(w, running=0), reverse=True)
        head = of_team.pop()
        heads.append((turn_key(head, running=running.get(team, 0)), head))
    heapq.heapify(heads)
    ordered: list[Waiting] = []
    while heads:
        (claimed, *_), first = heapq.heappop(heads)
        ordered.append(first)
        if by_team[first.team]:
            head = by_team[first.team].pop()
            heapq.heappush(heads, (turn_key(head, running=claimed + 1), head))
    return ordered
