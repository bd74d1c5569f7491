"""A board made ready for its table: order, search, pages, shades, figures as text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from django.urls import reverse
from django.utils import formats, timezone
from django.utils.safestring import mark_safe
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from challenge.models import Challenge
from challenge.selectors.leaderboard import Board, Reference, Row
from challenge.templatetags.flair import SHORT_DAY_FORMAT, whisker

PAGE_LINES = 200
SHADES = 10
WHISKER_SPAN = 0.2
PLAIN_SORTS = ("rank", "team", "miou", "date", "entries")
ASCENDING_FIRST = ("rank", "team")
TAGS = {
    "baseline": _("baseline"),
    "published-podium": _("podium"),
    "published-baseline": _("published"),
}
MEDALS = {1: "", 2: "two", 3: "three"}


@dataclass(frozen=True)
class Choice:
    """What the reader asked for: column and direction, search, page."""

    sort: str = "miou"
    ascending: bool = False
    search: str = ""
    page: int = 1

    @classmethod
    def of(cls, query: Mapping[str, str], *, keys: Sequence[str]) -> Choice:
        """Read a query string; whatever is not understood is the default."""
        sort = query.get("sort", "miou")
        if sort not in (*PLAIN_SORTS, *keys):
            sort = "miou"
        page = query.get("page", "1")
        return cls(
            sort=sort,
            ascending=query.get("up", "1" if sort in ASCENDING_FIRST else "0") == "1",
            search=query.get("q", "").strip()[:80],
            page=max(1, int(page)) if page.isdecimal() and len(page) < 6 else 1,
        )


@dataclass
class Line:
    """One line of the table, its cells ready to print."""

    kind: str
    name: str
    method: str
    miou: float | None
    rank: int | None = None
    css: str = ""
    url: str = ""
    medal: str = ""
    has_medal: bool = False
    group: str = ""
    tag: str = ""
    rank_text: str = ""
    entries_text: str = ""
    interval: tuple[float | None, float | None] | None = None
    ious: Mapping[str, float | None] = field(default_factory=dict)
    miou_text: str = ""
    whisker: str = ""
    cells: str = ""
    date: str = ""
    stamp: str = ""
    at: datetime | None = None
    entries: int | None = None
    mine: bool = False
    final: bool = False
    code_url: str = ""
    paper_url: str = ""
    ratio: float | None = None
    ratio_over: bool = False
    std: float | None = None


@dataclass(frozen=True)
class Column:
    """A class's column head: link that sorts by it, and how it is sorted now."""

    key: str
    name: Any
    color: str
    frequency: float | None


@dataclass(frozen=True)
class Table:
    """What the template prints."""

    lines: list[Line]
    columns: list[Column]
    pages: range
    page: int
    total: int
    teams: int
    grouped: bool


def table(board: Board, *, choice: Choice) -> Table:
    """Return the lines of one page in the chosen order."""
    lines = _lines(board)
    shares = frequencies(board.phase.challenge)
    columns = (
        [Column(one.key, one.name, one.color, shares.get(one.key)) for one in board.classes]
        if board.terms.classes
        else []
    )
    total = len(lines)
    if choice.search:
        wanted = choice.search.casefold()
        lines = [line for line in lines if wanted in f"{line.name}\n{line.method}".casefold()]
    lines = _sorted(lines, choice)
    last = max(1, -(-len(lines) // PAGE_LINES))
    page = min(choice.page, last)
    shown = lines[(page - 1) * PAGE_LINES : page * PAGE_LINES]
    _fill(shown, columns, in_order=choice.sort in ("miou", "rank"))
    return Table(
        lines=shown,
        columns=columns,
        pages=range(1, last + 1),
        page=page,
        total=total,
        teams=len(board.rows),
        grouped=any(line.group for line in shown),
    )


def records(board: Board) -> list[dict[str, Any]]:
    """Return all lines as plain values, best first, for CSV and JSON."""
    return [
        {
            "kind": line.kind,
            "rank": line.rank,
            "team": line.name,
            "method": line.method,
            "miou": line.miou,
            "interval": line.interval,
            "class_ious": dict(line.ious),
            "group": line.group or None,
            "submitted_at": line.at.isoformat() if line.at else None,
            "entries": line.entries,
        }
        for line in _sorted(_lines(board), Choice())
    ]


def frequencies(challenge: Challenge) -> dict[str, float]:
    """Return the published share of each class in the test pixels, as a fraction of the scored."""
    sums: dict[str, float] = {}
    for row in challenge.facts.get("nomenclature") or []:
        if row.get("test_percent") is not None:
            sums[row["class"]] = sums.get(row["class"], 0.0) + row["test_percent"] / 100
    return sums


def letter(number: int) -> str:
    """Return a group's letters: 1 gives A, 27 gives AA.

    >>> letter(1), letter(26), letter(27)
    ('A', 'Z', 'AA')
    """
    letters = ""
    while number > 0:
        number, rest = divmod(number - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters


def _lines(board: Board) -> list[Line]:
    # asked once, not for each of a thousand teams
    url = reverse("web:team", args=[board.phase.challenge.slug, 0]).replace("/0/", "/%d/")
    sizes: dict[int, int] = {}
    for row in board.rows:
        sizes[row.group] = sizes.get(row.group, 0) + 1
    return [
        *(_ranked(row, url=url, grouped=sizes[row.group] > 1) for row in board.rows),
        *(_baseline(row, url=url) for row in board.baselines),
        *(_reference(one) for one in board.references),
    ]


def _ranked(row: Row, *, url: str, grouped: bool) -> Line:
    line = _line(row, url=url, kind="team")
    line.rank = row.rank
    line.has_medal = row.rank in MEDALS
    line.medal = MEDALS.get(row.rank or 0, "")
    line.group = letter(row.group) if grouped else ""
    line.css = f"team rank-{row.rank}" + (" mine" if row.is_mine else "")
    return line


def _baseline(row: Row, *, url: str) -> Line:
    line = _line(row, url=url, kind="baseline")
    line.css = "reference baseline"
    line.std = row.std
    if row.seed_count > 1:
        line.method += " · " + gettext("mean of %(n)d seeds") % {"n": row.seed_count}
    return line


def _line(row: Row, *, url: str, kind: str) -> Line:
    return Line(
        kind=kind,
        name=row.team,
        method=row.method,
        miou=row.miou,
        url=url % row.team_id,
        interval=row.interval,
        ious=row.class_ious,
        at=row.created_at,
        entries=row.submission_count,
        mine=row.is_mine,
        final=row.is_final,
        code_url=row.code_url,
        paper_url=row.paper_url,
        ratio=row.inference_ratio,
        ratio_over=row.over_inference_limit,
    )


def _reference(one: Reference) -> Line:
    return Line(
        kind=f"published-{one.kind}",
        name=one.name,
        method=one.source,
        miou=one.miou,
        ious=one.class_ious,
        css=f"reference published {one.kind}",
        std=one.std,
    )


def _sorted(lines: list[Line], choice: Choice) -> list[Line]:
    """Order lines; those without a figure come last whatever the direction."""

    def value(line: Line) -> Any:
        if choice.sort == "team":
            return line.name.casefold()
        if choice.sort == "date":
            return line.at
        if choice.sort == "entries":
            return line.entries
        if choice.sort == "rank":
            return line.rank
        return line.miou if choice.sort == "miou" else line.ious.get(choice.sort)

    by_miou = sorted(lines, key=lambda line: -(line.miou or 0.0))
    known = [line for line in by_miou if value(line) is not None]
    unknown = [line for line in by_miou if value(line) is None]
    return sorted(known, key=value, reverse=not choice.ascending) + unknown


def _fill(lines: list[Line], columns: Sequence[Column], *, in_order: bool) -> None:
    """Print the figures and shade each class column between its least and its most."""
    point = formats.get_format("DECIMAL_SEPARATOR")
    start, stop = _scale(lines)
    days: dict[date, str] = {}
    ranges = {column.key: _range(line.ious.get(column.key) for line in lines) for column in columns}
    for position, line in enumerate(lines):
        line.miou_text = _percent(line.miou, point)
        low, high = line.interval or (None, None)
        line.whisker = whisker(line.miou, low, high, start, stop)
        cells = []
        for column in columns:
            value = line.ious.get(column.key)
            text = _percent(value, point) if line.ious else ""
            cells.append(f'<td class="{_shade(value, *ranges[column.key])}">{text}</td>')
        # two thousand cells: a template prints them ten times as slowly
        line.cells = mark_safe("".join(cells))
        if line.at is not None:
            line.stamp = str(int(line.at.timestamp()))
            day = timezone.localtime(line.at).date()
            if day not in days:
                days[day] = formats.date_format(day, SHORT_DAY_FORMAT)
            line.date = days[day]
        line.rank_text = str(line.rank or "")
        line.entries_text = "" if line.entries is None else str(line.entries)
        line.tag = str(TAGS.get(line.kind, ""))
        below = next((one for one in lines[position + 1 :] if one.kind == "team"), None)
        if (
            in_order
            and line.kind == "team"
            and below is not None
            and (line.group or below.group) != ""
            and below.group != line.group
        ):
            line.css += " group-end"


def _scale(lines: Iterable[Line]) -> tuple[float, float]:
    values = [
        value
        for line in lines
        for value in (line.miou, *(line.interval or ()))
        if value is not None
    ]
    if not values:
        return 0.0, 1.0
    # a few weak entries must not press all others together: they lie at the edge
    return max(min(values), max(values) - WHISKER_SPAN), max(values)


def _range(values: Iterable[float | None]) -> tuple[float, float]:
    known = [value for value in values if value is not None]
    return (min(known), max(known)) if known else (0.0, 0.0)


def _shade(value: float | None, low: float, high: float) -> str:
    if value is None or high <= low:
        return "class"
    return f"class q{min(SHADES - 1, int((value - low) / (high - low) * SHADES))}"


def _percent(value: float | None, point: str) -> str:
    return "–" if value is None else f"{value * 100:.2f}".replace(".", point)
