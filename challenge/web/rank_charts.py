"""Geometry of ranks over time: steps in, SVG coordinates and a table out. No HTML, no query."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from challenge.selectors.rank_history import TeamRanks
from challenge.web.charts import Tick, day_label

WIDTH, HEIGHT = 760, 320
LEFT, RIGHT, TOP, BOTTOM = 52, 190, 36, 34
LABEL_GAP = 16
NAME_CHARACTERS = 22
# Beyond so many ranks the axis is logarithmic: what happens at the top stays readable.
LINEAR_RANKS = 16
MOMENTS = 8
STYLES = 10
ROUND_RANKS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)


@dataclass(frozen=True)
class Line:
    """A team's line; ``style`` numbers its colour and dashes, ``label_y`` is where its name is."""

    team_id: int
    name: str
    short_name: str
    rank: int
    style: int
    mine: bool
    d: str
    end_y: float
    label_y: float


@dataclass(frozen=True)
class RankChart:
    """Lines over time, axes, and the same as a table: ranks at some moments."""

    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    bottom: int = HEIGHT - BOTTOM
    lines: list[Line] = field(default_factory=list)
    x_ticks: list[Tick] = field(default_factory=list)
    y_ticks: list[Tick] = field(default_factory=list)
    moments: list[datetime] = field(default_factory=list)
    table: list[tuple[TeamRanks, list[int | None]]] = field(default_factory=list)


def draw(ranked: Sequence[TeamRanks], *, until: datetime | None = None) -> RankChart | None:
    """Return the chart of some teams' ranks, or None without any.

    Of several teams, ranks worse than the last one that any has now lie below the chart.
    """
    ranked = [team for team in ranked if team.steps]
    if not ranked:
        return None
    first = min(team.steps[0].at for team in ranked)
    last = max([team.steps[-1].at for team in ranked] + ([until] if until else []))
    last = max(last, first + timedelta(minutes=1))
    worst = max(team.rank for team in ranked)
    if len(ranked) == 1:
        worst = max(step.rank for step in ranked[0].steps)
    worst = max(worst, 3)

    def x(at: datetime) -> int:
        return round(LEFT + 8 + (at - first) / (last - first) * (WIDTH - LEFT - RIGHT - 8))

    def y(rank: int) -> float:
        share = (
            (rank - 1) / (worst - 1) if worst <= LINEAR_RANKS else math.log(rank) / math.log(worst)
        )
        return round(TOP + share * (HEIGHT - TOP - BOTTOM - 12), 1)

    heights = _spread([y(team.rank) for team in ranked])
    lines = [
        Line(
            team_id=team.team_id,
            name=team.name,
            short_name=shortened(team.name),
            rank=team.rank,
            style=position % STYLES,
            mine=team.mine,
            d=_path([(x(step.at), step.rank) for step in team.steps], y=y, worst=worst),
            end_y=y(team.rank),
            label_y=height,
        )
        for position, (team, height) in enumerate(zip(ranked, heights, strict=True))
    ]
    span = last - first
    moments = [first + span * number / (MOMENTS - 1) for number in range(MOMENTS)]
    return RankChart(
        lines=lines,
        x_ticks=[
            Tick(x(first + span * share), day_label(first + span * share, span))
            for share in (0, 0.5, 1)
        ],
        y_ticks=[Tick(y(rank), str(rank)) for rank in _marks(worst)],
        moments=moments,
        table=[(team, [_rank_at(team, moment) for moment in moments]) for team in ranked],
    )


def shortened(name: str) -> str:
    """Return a name that fits beside a chart.

    >>> shortened("Les étudiants du Master 2 de Rennes")
    'Les étudiants du Mast…'
    """
    return name if len(name) <= NAME_CHARACTERS else f"{name[: NAME_CHARACTERS - 1].rstrip()}…"


def _path(points: Sequence[tuple[int, int]], *, y: Callable[[int], float], worst: int) -> str:
    """Return the steps as a path; what is worse than the chart's last rank lies below it."""
    last_of: dict[int, int] = dict(points)  # of several steps in one pixel the last one
    floor = HEIGHT - BOTTOM
    parts: list[str] = []
    inside = False
    for at, rank in last_of.items():
        if rank <= worst:
            if not parts:
                parts.append(f"M{at} {y(rank)}")
            else:
                parts.append(f"H{at}V{y(rank)}" if inside else f"M{at} {floor}V{y(rank)}")
        elif inside:
            parts.append(f"H{at}V{floor}")
        elif not parts:
            parts.append(f"M{at} {floor}")
        inside = rank <= worst
    return "".join(parts) + (f"H{WIDTH - RIGHT}" if inside else "")


def _rank_at(team: TeamRanks, moment: datetime) -> int | None:
    position = bisect_right([step.at for step in team.steps], moment)
    return team.steps[position - 1].rank if position else None


def _marks(worst: int) -> list[int]:
    """Return the ranks that the axis names, at most seven.

    >>> _marks(4), _marks(10), _marks(57)
    ([1, 2, 3, 4], [1, 4, 7, 10], [1, 2, 5, 10, 20, 50])
    """
    if worst <= 6:
        return list(range(1, worst + 1))
    if worst <= LINEAR_RANKS:
        return list(range(1, worst + 1, 3 if worst <= 12 else 5))
    marks = [rank for rank in ROUND_RANKS if rank <= worst]
    return marks if len(marks) <= 7 else [1, *marks[3::3]]


def _spread(heights: Sequence[float]) -> list[float]:
    """Return heights of labels, in order, that do not lie upon each other."""
    spread: list[float] = []
    for height in heights:
        spread.append(max(height, spread[-1] + LABEL_GAP) if spread else height)
    bottom = float(HEIGHT - BOTTOM)
    for position in reversed(range(len(spread))):
        spread[position] = min(spread[position], bottom)
        bottom = spread[position] - LABEL_GAP
    return spread
