"""Geometry of training curves: points in, SVG coordinates out. No HTML, no query."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from challenge.formats import decimal_text
from challenge.models import TrainingRun
from challenge.templatetags.flair import percent
from challenge.web.charts import Tick
from challenge.web.context import PALETTE

WIDTH, HEIGHT = 560, 260
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 14, 34
# Colours of the palette that can be told apart, the first on light and dark grounds alike.
COLORS = tuple(PALETTE[position] for position in (0, 4, 7, 6, 3, 2))
QUIET = PALETTE[1]


@dataclass(frozen=True)
class Series:
    """One line: what it is, its colour, (epoch, value) points; ``dashed`` for training losses."""

    label: str
    color: str
    points: list[tuple[int, float]]
    dashed: bool = False


@dataclass(frozen=True)
class Curve:
    """A line ready to draw: its path and its last point."""

    series: Series
    d: str
    x: float
    y: float


@dataclass(frozen=True)
class Chart:
    """Curves over epochs with axes."""

    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    bottom: int = HEIGHT - BOTTOM
    curves: list[Curve] = field(default_factory=list)
    x_ticks: list[Tick] = field(default_factory=list)
    y_ticks: list[Tick] = field(default_factory=list)


def color(position: int) -> str:
    """Return the colour of the run at a position."""
    return COLORS[position % len(COLORS)]


def of_run(run: TrainingRun, *, name: str, label: str, hue: str, dashed: bool = False) -> Series:
    """Return one metric of a run's points; epochs without a number are left out."""
    points = [
        (point.epoch + 1, float(point.metrics[name]))
        for point in run.points.all()
        if isinstance(point.metrics.get(name), int | float)
    ]
    return Series(label, hue, points, dashed)


def draw(series: Sequence[Series], *, as_percent: bool = False) -> Chart | None:
    """Return the chart of some series, or None where none has a point."""
    series = [line for line in series if line.points]
    if not series:
        return None
    epochs = [epoch for line in series for epoch, _ in line.points]
    values = [value for line in series for _, value in line.points]
    first, last = min(epochs), max(epochs)
    marks = nice_ticks(min(values), max(values))
    low, high = min(marks[0], *values), max(marks[-1], *values)

    def x(epoch: float) -> float:
        share = (epoch - first) / (last - first) if last > first else 0.5
        return round(LEFT + 8 + share * (WIDTH - LEFT - RIGHT - 16), 1)

    def y(value: float) -> float:
        return round(HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM), 1)

    def text(value: float) -> str:
        digits = max(0, -math.floor(math.log10(marks[1] - marks[0]) + 1e-9))
        return percent(value, max(0, digits - 2)) if as_percent else decimal_text(value, digits)

    curves = []
    for line in series:
        points = [f"{x(epoch)} {y(value)}" for epoch, value in line.points]
        at = line.points[-1]
        curves.append(Curve(line, "M" + "L".join(points), x(at[0]), y(at[1])))
    shown = sorted({first, (first + last) // 2, last})
    return Chart(
        curves=curves,
        x_ticks=[Tick(x(epoch), str(epoch)) for epoch in shown],
        y_ticks=[Tick(y(value), text(value)) for value in marks],
    )


def nice_ticks(low: float, high: float) -> list[float]:
    """Return three to seven round values from just below ``low`` to just above ``high``.

    >>> nice_ticks(0.31, 0.94)
    [0.2, 0.4, 0.6, 0.8, 1.0]
    >>> nice_ticks(2.0, 2.0)
    [1.5, 2.0, 2.5]
    """
    if high - low < 1e-9:
        half = abs(low) / 4 or 0.5
        return [low - half, low, low + half]
    rough = (high - low) / 4
    power: float = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    start, stop = math.floor(low / step), math.ceil(high / step)
    return [round(number * step, 10) for number in range(start, stop + 1)]
