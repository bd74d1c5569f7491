"""A board made ready for its table: order, search, pages, shades; CSV and JSON records.

What is made here is the same for everybody who sees the board in one language: whose line is
whose, and the viewer's time zone, come last (``board_lines.finish``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.utils.safestring import SafeString

from challenge.models import Challenge
from challenge.selectors.board_domains import BoardDomains
from challenge.selectors.leaderboard import Board, Reference, Row
from challenge.web import board_lines
from challenge.web.board_lines import Line

PAGE_LINES = 200
PLAIN_SORTS = ("rank", "team", "miou", "date", "entries")
ASCENDING_FIRST = ("rank", "team")

Entrant = Row | Reference


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

    def link(self, *, sort: str | None = None, page: int = 1, search: str | None = None) -> str:
        """Return the address of another page or order; a column once more turns it around."""
        ascending = self.ascending
        if sort is not None:
            ascending = not self.ascending if sort == self.sort else sort in ASCENDING_FIRST
        wanted = sort or self.sort
        values = {
            "q": self.search if search is None else search,
            "sort": "" if wanted == "miou" else wanted,
            "up": "" if ascending == (wanted in ASCENDING_FIRST) else str(int(ascending)),
            "page": "" if page == 1 else str(page),
        }
        return "?" + urlencode({key: value for key, value in values.items() if value})

    def direction(self, sort: str) -> str:
        """Return a column's ``aria-sort``, empty for those not sorted by."""
        if sort != self.sort:
            return ""
        return "ascending" if self.ascending else "descending"


@dataclass(frozen=True)
class Head:
    """A column's head: the link that sorts by it, and how it is sorted now."""

    key: str
    url: str
    direction: str
    name: Any = ""
    color: str = ""
    frequency: float | None = None


@dataclass(frozen=True)
class Table:
    """What the template prints: heads, the lines as HTML, the links to other pages."""

    lines: SafeString
    heads: dict[str, Head]
    columns: list[Head]
    pages: list[tuple[int, str]]
    page: int
    teams: int
    has_frequencies: bool
    grouped: bool
    show_all: str


def table(board: Board, *, choice: Choice) -> Table:
    """Return the lines of one page in the chosen order."""
    shares = frequencies(board.phase.challenge)
    columns = [
        Head(
            key=one.key,
            url=choice.link(sort=one.key),
            direction=choice.direction(one.key),
            name=one.name,
            color=one.color,
            frequency=shares.get(one.key),
        )
        for one in (board.classes if board.terms.classes else [])
    ]
    found: list[Entrant] = [*board.rows, *board.baselines, *board.references]
    if choice.search:
        wanted = choice.search.casefold()
        found = [one for one in found if wanted in _searched(one)]
    found = _sorted(found, choice)
    last = max(1, -(-len(found) // PAGE_LINES))
    page = min(choice.page, last)
    shown = board_lines.make(board, found[(page - 1) * PAGE_LINES : page * PAGE_LINES])
    return Table(
        lines=board_lines.html(
            shown,
            keys=[one.key for one in columns],
            in_order=choice.sort in ("miou", "rank"),
        ),
        heads={key: Head(key, choice.link(sort=key), choice.direction(key)) for key in PLAIN_SORTS},
        columns=columns,
        pages=[(number, choice.link(page=number)) for number in range(1, last + 1)],
        page=page,
        teams=len(board.rows),
        has_frequencies=any(one.frequency for one in columns),
        grouped=any(line.group for line in shown),
        show_all=choice.link(search=""),
    )


def records(board: Board) -> list[dict[str, Any]]:
    """Return all lines as plain values, best first, for CSV and JSON."""
    found = _sorted([*board.rows, *board.baselines, *board.references], Choice())
    return [_record(line) for line in board_lines.make(board, found)]


def _record(line: Line) -> dict[str, Any]:
    return {
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
        "line": line.key or None,
    }


def domain_mious(line: str | None, found: BoardDomains) -> list[float | None]:
    """Return a record's figures by domain, in the order of ``found.domains``; None for unknown."""
    team, _dash, place = (line or "").partition("-")
    if place:
        return found.baselines[int(place)] if found.domains else []
    return found.teams.get(int(team or 0), [None] * len(found.domains))


def frequencies(challenge: Challenge) -> dict[str, float]:
    """Return the published share of each class in the test pixels, as a fraction of the scored."""
    sums: dict[str, float] = {}
    for row in challenge.facts.get("nomenclature") or []:
        if row.get("test_percent") is not None:
            sums[row["class"]] = sums.get(row["class"], 0.0) + row["test_percent"] / 100
    return sums


def _searched(one: Entrant) -> str:
    if isinstance(one, Reference):
        return f"{one.name}\n{one.source}".casefold()
    return f"{one.team}\n{one.method}".casefold()


def _sorted(found: list[Entrant], choice: Choice) -> list[Entrant]:
    """Order lines; those without a figure come last whatever the direction."""

    def value(one: Entrant) -> Any:
        if choice.sort == "miou":
            return one.miou
        if isinstance(one, Reference):
            return one.name.casefold() if choice.sort == "team" else one.class_ious.get(choice.sort)
        known = {
            "team": one.team.casefold(),
            "date": one.created_at,
            "entries": one.submission_count,
            "rank": one.rank,
        }
        return known[choice.sort] if choice.sort in known else one.class_ious.get(choice.sort)

    by_miou = sorted(found, key=lambda one: -(one.miou or 0.0))
    keyed = [(value(one), one) for one in by_miou]
    known = [pair for pair in keyed if pair[0] is not None]
    known.sort(key=lambda pair: pair[0], reverse=not choice.ascending)
    return [one for _value, one in known] + [one for figure, one in keyed if figure is None]
