"""Geometry of the charts: numbers in, SVG coordinates out. No HTML, no query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from challenge.formats import SHORT_DAY_FORMAT, day_text
from challenge.selectors.progress import Point
from challenge.selectors.team_pages import Step
from challenge.templatetags.flair import percent

WIDTH, HEIGHT = 760, 300
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 36, 34
MAX_DOTS = 400
NAME_CHARACTERS = 24


@dataclass(frozen=True)
class Tick:
    """A mark of an axis: where, and what it says."""

    at: float
    label: str


@dataclass(frozen=True)
class RecordName:
    """A team’s name beside its record; ``narrow``: on phones, too, in larger letters."""

    x: float
    y: float
    name: str
    anchor: str
    narrow: bool


@dataclass(frozen=True)
class ProgressChart:
    """Best score over time: a step line, the submissions as dots, axes."""

    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM
    line: str = ""
    dots: list[dict[str, Any]] = field(default_factory=list)
    x_ticks: list[Tick] = field(default_factory=list)
    y_ticks: list[Tick] = field(default_factory=list)
    records: list[Point] = field(default_factory=list)
    record_names: list[RecordName] = field(default_factory=list)


def progress(points: Sequence[Point]) -> ProgressChart | None:
    """Return the chart of a phase's scores, or None without any."""
    if not points:
        return None
    first, last = points[0].at, max(points[-1].at, points[0].at + timedelta(minutes=1))
    low, high = nice_range([point.miou for point in points])

    def x(at: datetime) -> float:
        share = (at - first) / (last - first)
        return round(LEFT + 8 + share * (WIDTH - LEFT - RIGHT - 16), 1)

    def y(miou: float) -> float:
        return round(HEIGHT - BOTTOM - (miou - low) / (high - low) * (HEIGHT - TOP - BOTTOM), 1)

    records = [point for point in points if point.best]
    steps = [f"M{x(records[0].at)} {y(records[0].miou)}"]
    steps += [f"H{x(point.at)}V{y(point.miou)}" for point in records[1:]]
    steps.append(f"H{WIDTH - RIGHT}")
    others = [point for point in points if not point.best][-MAX_DOTS:]
    dots = [
        {"x": x(point.at), "y": y(point.miou), "best": point.best, "title": _title(point)}
        for point in (*others, *records)
    ]
    span = last - first
    return ProgressChart(
        line="".join(steps),
        dots=dots,
        x_ticks=[
            Tick(x(first + span * share), day_label(first + span * share, span))
            for share in (0, 0.5, 1)
        ],
        y_ticks=[Tick(y(value), percent(value, 0)) for value in ticks(low, high)],
        records=records[::-1],
        record_names=_record_names([(x(one.at), y(one.miou), one.team) for one in records]),
    )


def _record_names(records: Sequence[tuple[float, float, str]]) -> list[RecordName]:
    """Return the names to print: where the record changed hands, the latest first, without overlap.

    A name stands over the step to its record, where the line has not been yet; on phones, whose
    letters are twice as large, fewer of them find space.
    """
    changes = [
        one
        for position, one in enumerate(records)
        if position == 0 or one[2] != records[position - 1][2]
    ][::-1]
    taken: list[tuple[float, float, float, float]] = []
    placed: dict[int, RecordName] = {}
    for narrow, width, height in ((True, 14.5, 30.0), (False, 7.5, 16.0)):
        for position, (at, top, team) in enumerate(changes):
            if position in placed:
                continue
            name = team if len(team) <= NAME_CHARACTERS else f"{team[: NAME_CHARACTERS - 1]}…"
            reach = len(name) * width
            left, anchor = at - 8 - reach, "end"
            if left < LEFT:  # then over the steps that follow
                left, anchor = at - 2, "start"
                top = min(y for x, y, _team in records if at <= x < left + reach + 8)
            box = (left, top - 8 - height, left + reach, top - 8)
            if box[2] > WIDTH or any(_overlap(box, other) for other in taken):
                continue
            taken.append(box)
            placed[position] = RecordName(
                x=round(at - (8 if anchor == "end" else 2), 1),
                y=round(top - 8, 1),
                name=name,
                anchor=anchor,
                narrow=narrow,
            )
    return [placed[position] for position in sorted(placed)]


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def nice_range(values: Sequence[float]) -> tuple[float, float]:
    """Return a range of whole points around ``values`` (fractions), at least four points wide.

    >>> nice_range([0.513, 0.526])
    (0.5, 0.54)
    """
    low = int(min(values) * 100 - 0.5) / 100
    high = int(max(values) * 100 + 1.5) / 100
    if high - low < 0.04:
        high = low + 0.04
    return max(0.0, low), min(1.0, round(high, 2))


def ticks(low: float, high: float) -> list[float]:
    """Return four to six round values between ``low`` and ``high``.

    >>> ticks(0.5, 0.54)
    [0.5, 0.51, 0.52, 0.53, 0.54]
    """
    span = high - low
    step = next(step for step in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5) if span / step <= 6)
    first = -(-round(low / step, 6) // 1) * step
    values = []
    while first <= high + 1e-9:
        values.append(round(first, 4))
        first += step
    return values


def _title(point: Point) -> str:
    day = day_text(timezone.localtime(point.at), SHORT_DAY_FORMAT)
    return f"{point.team}: {percent(point.miou)} ({day})"


def day_label(at: datetime, span: timedelta) -> str:
    """Return what an axis says at a moment: the day, or within two days the time."""
    local = timezone.localtime(at)
    if span < timedelta(days=2):
        return local.strftime("%H:%M")
    return day_text(local, SHORT_DAY_FORMAT)


def steps(scored: Sequence[Step]) -> ProgressChart | None:
    """Return the chart of one team's way up, or None below two scores."""
    points: list[Point] = []
    best = -1.0
    for step in scored:
        if step.miou is not None:
            points.append(Point(step.at, f"#{step.number}", step.miou, step.miou > best))
            best = max(best, step.miou)
    chart = progress(points) if len(points) > 1 else None
    return replace(chart, record_names=[]) if chart else None
