"""One page of a leaderboard's table: order, search, columns, links.

A :class:`Table` is the same for everybody who sees the leaderboard under one policy in one
language, so that it can be cached; what depends on the viewer comes with ``row_html.personalised``.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from pydantic import TypeAdapter

from challenge.selectors.leaderboard import Leaderboard, LeaderboardClass, Row
from challenge.templatetags import flair
from challenge.web.challenges.facts import class_shares
from challenge.web.leaderboard import row_html
from challenge.web.leaderboard.row_html import Axis, RenderedRow

PAGE_ROWS = 200
CACHED_PAGES = 9
SORT_VALUES: dict[str, Callable[[Row], Any]] = {
    "rank": lambda row: row.rank,
    "team": lambda row: row.name.casefold(),
    "miou": lambda row: row.miou,
    "date": lambda row: row.created_at,
    "entries": lambda row: row.submission_count,
    "public": lambda row: row.public_miou,
}
ASCENDING_FIRST = ("rank", "team")


@dataclass(frozen=True)
class Options:
    """What the reader asked for: column and direction, search, page."""

    sort: str = "miou"
    ascending: bool = False
    search: str = ""
    page: int = 1

    @classmethod
    def from_query(cls, query: Mapping[str, str], *, keys: Sequence[str]) -> Options:
        """Read a query string; whatever is not understood is the default."""
        sort = query.get("sort", "miou")
        if sort not in (*SORT_VALUES, *keys):
            sort = "miou"
        page = query.get("page", "1")
        return cls(
            sort=sort,
            ascending=query.get("up", "1" if sort in ASCENDING_FIRST else "0") == "1",
            search=query.get("q", "").strip()[:80],
            page=max(1, int(page)) if page.isdecimal() and len(page) < 6 else 1,
        )

    @property
    def cacheable(self) -> bool:
        """Not for a search or a reversed order: nobody may fill the cache with made-up ones."""
        usual = self.ascending == (self.sort in ASCENDING_FIRST)
        return usual and not self.search and self.page <= CACHED_PAGES

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
class ToBeat:
    """A result published elsewhere, shown as a bar while nobody is on the leaderboard."""

    name: str
    tag: str
    source: str
    miou: float
    std: float | None


@dataclass(frozen=True)
class Table:
    """What the template prints: heads, rows, the links to other pages."""

    rows: list[RenderedRow]
    heads: dict[str, Head]
    columns: list[Head]
    pages: list[tuple[int, str]]
    page: int
    teams: int
    has_frequencies: bool
    grouped: bool
    show_all: str
    visible: bool
    has_domains: bool
    is_revealed: bool
    axis: Axis
    to_beat: list[ToBeat]


TABLE = TypeAdapter(Table)
# Another version of the site may have cached tables of another shape.
SHAPE = zlib.crc32(
    " ".join(
        [*Table.__dataclass_fields__, *ToBeat.__dataclass_fields__, *RenderedRow._fields]
    ).encode()
)


def build(board: Leaderboard, *, options: Options) -> Table:
    """Return the rows of one page in the chosen order."""
    shares = class_shares(board.phase.challenge.facts)
    columns = [
        Head(
            key=column.key,
            url=options.link(sort=column.key),
            direction=options.direction(column.key),
            name=column.name,
            color=column.color,
            frequency=shares.get(column.key),
        )
        for column in _columns(board)
    ]
    rows = board.rows
    axis = row_html.axis_of(rows)
    if options.search:
        wanted = options.search.casefold()
        rows = [row for row in rows if wanted in f"{row.name}\n{row.method}".casefold()]
    last = max(1, -(-len(rows) // PAGE_ROWS))
    page = min(options.page, last)
    shown = in_order(rows, options)[(page - 1) * PAGE_ROWS : page * PAGE_ROWS]
    return Table(
        rows=row_html.render(
            shown,
            challenge=board.phase.challenge,
            keys=[column.key for column in columns],
            names=[flair.text(column.name) for column in columns],
            by_rank=options.sort in ("miou", "rank"),
            public=board.is_revealed,
            axis=axis,
            group_letters=row_html.letters_of_groups(board.rows),
        ),
        heads={
            key: Head(key, options.link(sort=key), options.direction(key)) for key in SORT_VALUES
        },
        columns=columns,
        pages=[(number, options.link(page=number)) for number in range(1, last + 1)],
        page=page,
        teams=len(board.teams),
        has_frequencies=any(column.frequency for column in columns),
        grouped=any(row.tied for row in shown),
        show_all=options.link(search=""),
        visible=board.visible,
        has_domains=board.policy.domains,
        is_revealed=board.is_revealed,
        axis=axis,
        to_beat=_to_beat(board),
    )


def _columns(board: Leaderboard) -> list[LeaderboardClass]:
    """Return the classes to show; while no team is ranked those alone that a row has a value of."""
    if not board.policy.classes:
        return []
    if board.teams:
        return board.classes
    own = [row for row in board.rows if not row.published_kind]
    return [
        column
        for column in board.classes
        if any(row.class_ious.get(column.key) is not None for row in own)
    ]


def _to_beat(board: Leaderboard) -> list[ToBeat]:
    """Return the published results, best first, where nothing else is on the leaderboard."""
    published = board.published
    if len(published) < len(board.rows):
        return []
    best_first = sorted(published, key=lambda row: -(row.miou or 0.0))
    return [
        ToBeat(row.name, str(row_html.TAGS[row.kind]), row.method, row.miou or 0.0, row.std)
        for row in best_first
    ]


def in_order(rows: list[Row], options: Options) -> list[Row]:
    """Return rows in the chosen order; those without a value come last whatever the direction."""

    def class_iou(row: Row) -> Any:
        return row.class_ious.get(options.sort)

    value = SORT_VALUES.get(options.sort, class_iou)
    by_miou = sorted(rows, key=lambda row: -(row.miou or 0.0))
    with_value = [row for row in by_miou if value(row) is not None]
    with_value.sort(key=value, reverse=not options.ascending)
    return with_value + [row for row in by_miou if value(row) is None]
