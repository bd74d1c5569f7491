"""The lines of a board as HTML, printed in Python.

Two hundred lines of twenty cells: a template prints them ten times as slowly. Every text that came
from people passes through ``escape``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from itertools import pairwise
from typing import Any

from django.urls import reverse
from django.utils import formats, timezone
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from challenge.selectors.leaderboard import Board, Reference, Row
from challenge.templatetags.flair import SHORT_DAY_FORMAT, clock, decimal_text, percent, whisker

SHADES = 10
# The weak end of a board, one line in so many, must not press all others together: whiskers and
# shades begin above it.
LEFT_OUT = 4
TAGS = {
    "baseline": _("baseline"),
    "published-podium": _("podium"),
    "published-baseline": _("published"),
}
MEDALS = {1: "medal", 2: "medal two", 3: "medal three"}
# Left open until the viewer is known.
MINE, AS_OF = "<!--mine-->", "<!--as-of-->"
DAY = re.compile(r'<time data-at="(?P<at>[0-9]+)"></time>', re.ASCII)


@dataclass(frozen=True)
class Line:
    """One line of the table.

    ``key`` names it in the page and in ``figures.json``: the team's number, for a baseline the
    team's number and its place among the baselines; empty for results published elsewhere.
    """

    kind: str
    key: str
    name: str
    method: str
    miou: float | None
    css: str
    rank: int | None = None
    url: str = ""
    group: str = ""
    interval: tuple[float | None, float | None] | None = None
    ious: Mapping[str, float | None] = field(default_factory=dict)
    at: datetime | None = None
    entries: int | None = None
    ratio: float | None = None
    ratio_over: bool = False
    std: float | None = None
    code_url: str = ""
    paper_url: str = ""


def make(board: Board, found: Sequence[Row | Reference]) -> list[Line]:
    """Return the lines of rows and references that ``board`` holds, in the order given."""
    # asked once, not for each of a thousand teams
    url = reverse("web:team", args=[board.phase.challenge.slug, 0]).replace("/0/", "/%d/")
    sizes: dict[int, int] = {}
    for row in board.rows:
        sizes[row.group] = sizes.get(row.group, 0) + 1
    places = {id(row): place for place, row in enumerate(board.baselines)}
    lines = []
    for one in found:
        if isinstance(one, Reference):
            lines.append(_reference(one))
        elif one.rank is None:
            lines.append(_baseline(one, url=url, place=places[id(one)]))
        else:
            lines.append(_ranked(one, url=url, grouped=sizes[one.group] > 1))
    return lines


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


def _ranked(row: Row, *, url: str, grouped: bool) -> Line:
    return Line(
        kind="team",
        key=str(row.team_id),
        method=row.method,
        css=f"team rank-{row.rank}",
        rank=row.rank,
        group=letter(row.group) if grouped else "",
        **_common(row, url=url),
    )


def _baseline(row: Row, *, url: str, place: int) -> Line:
    method = row.method
    if row.seed_count > 1:
        method += " · " + gettext("mean of %(n)d seeds") % {"n": row.seed_count}
    return Line(
        kind="baseline",
        key=f"{row.team_id}-{place}",
        method=method,
        css="reference baseline",
        std=row.std,
        **_common(row, url=url),
    )


def _common(row: Row, *, url: str) -> dict[str, Any]:
    return {
        "name": row.team,
        "miou": row.miou,
        "url": url % row.team_id,
        "interval": row.interval,
        "ious": row.class_ious,
        "at": row.created_at,
        "entries": row.submission_count,
        "ratio": row.inference_ratio,
        "ratio_over": row.over_inference_limit,
        "code_url": row.code_url,
        "paper_url": row.paper_url,
    }


def _reference(one: Reference) -> Line:
    return Line(
        kind=f"published-{one.kind}",
        key="",
        name=one.name,
        method=one.source,
        miou=one.miou,
        css=f"reference published {one.kind}",
        ious=one.class_ious,
        std=one.std,
    )


def html(lines: Sequence[Line], *, keys: Sequence[str], in_order: bool) -> SafeString:
    """Print the table's rows, each class column shaded on a scale of its own.

    ``in_order`` (by mIoU) draws a line under each group of teams that cannot be told apart.
    """
    point = formats.get_format("DECIMAL_SEPARATOR")
    scale = _scale(lines)
    ranges = {key: _range(line.ious.get(key) for line in lines) for key in keys}
    ends = _group_ends(lines) if in_order else set()
    words = _Words()
    rows = []
    for position, line in enumerate(lines):
        cells = []
        for key in keys:
            value = line.ious.get(key)
            text = _percent(value, point) if line.ious else ""
            cells.append(f'<td class="{_shade(value, *ranges[key])}">{text}</td>')
        low, high = line.interval or (None, None)
        css = f"{line.css} group-end" if position in ends else line.css
        std = f'<span class="tied"> ±{percent(line.std)}</span>' if line.std else ""
        at = "" if line.at is None else f'<time data-at="{int(line.at.timestamp())}"></time>'
        entries = "" if line.entries is None else line.entries
        rows.append(
            f'<tr class="{css}" data-line="{line.key}"><td class="c-rank">{_rank(line)}</td>'
            f'<th scope="row" class="c-team">{_team(line, words)}</th>'
            f'<td class="c-miou">{_percent(line.miou, point)}{std}</td>'
            f'<td class="c-whisker">{whisker(line.miou, low, high, *scale)}</td>'
            f'{"".join(cells)}<td class="num small">{at}</td><td class="num">{entries}</td></tr>'
        )
    return mark_safe("\n".join(rows))


def finish(kept: str, *, team_id: int | None, as_of: datetime | None) -> SafeString:
    """Fill into a printed table what hangs on the viewer and the hour.

    Days and the table's own date in the viewer's zone, their own team's mark.
    """
    # most lines share their day with others; strftime and months' names are slow
    days: dict[date, str] = {}

    def day(match: re.Match[str]) -> str:
        at = datetime.fromtimestamp(int(match["at"]), UTC)
        local = timezone.localtime(at).date()
        if local not in days:
            days[local] = formats.date_format(local, SHORT_DAY_FORMAT)
        return f'<time datetime="{at.isoformat()[:19]}Z">{days[local]}</time>'

    filled = DAY.sub(day, kept).replace(AS_OF, clock(as_of, "short"), 1)
    at = -1 if team_id is None else filled.find(f' data-line="{team_id}"')
    if at >= 0:
        start, end = filled.rindex("<tr", 0, at), filled.index("</tr>", at)
        tag = f' <span class="tag good">{escape(gettext("you"))}</span>'
        mine = filled[start:end].replace('" data-line', ' mine" data-line', 1)
        filled = filled[:start] + mine.replace(MINE, tag, 1) + filled[end:]
    return mark_safe(filled.replace(MINE, ""))


class _Words:
    """The lines' words in the page's language, looked up once."""

    def __init__(self) -> None:
        self.tied = escape(gettext("Teams with the same letter cannot be told apart"))
        self.over = escape(gettext("Declared inference time above the phase's limit"))
        self.code, self.paper = escape(gettext("code")), escape(gettext("paper"))
        self.tags = {kind: escape(str(word)) for kind, word in TAGS.items()}


def _rank(line: Line) -> str:
    if line.rank is None:
        return ""
    medal = MEDALS.get(line.rank)
    css = f' class="{medal}"' if medal else ""
    return f'<span data-rank="{line.rank}"{css}>{line.rank}</span>'


def _team(line: Line, words: _Words) -> str:
    name = escape(line.name)
    shown = (
        f'<a href="{escape(line.url)}">{name}</a>'
        if line.url
        else f'<span class="strong">{name}</span>'
    )
    if line.group:
        shown += f' <span class="tied" title="{words.tied}">{line.group}</span>'
    if line.kind in words.tags:
        shown += f' <span class="tag">{words.tags[line.kind]}</span>'
    if line.kind == "team":
        shown += MINE
    if line.ratio_over and line.ratio is not None:
        ratio = decimal_text(line.ratio, 1)
        shown += f' <span class="tag warn" title="{words.over}">× {ratio}</span>'
    for url, word in ((line.code_url, words.code), (line.paper_url, words.paper)):
        if url:
            shown += f' <a class="source" href="{escape(url)}" rel="noopener nofollow">{word}</a>'
    return f'{shown}<span class="method">{escape(line.method)}</span>'


def _group_ends(lines: Sequence[Line]) -> set[int]:
    """Return the positions of teams under which another group begins."""
    ends = set()
    teams = [(position, line) for position, line in enumerate(lines) if line.kind == "team"]
    for (position, line), (_below, below) in pairwise(teams):
        if (line.group or below.group) and below.group != line.group:
            ends.add(position)
    return ends


def _scale(lines: Iterable[Line]) -> tuple[float, float]:
    ranges = [
        [value for value in (line.miou, *(line.interval or ())) if value is not None]
        for line in lines
    ]
    lows = sorted(min(values) for values in ranges if values)
    if not lows:
        return 0.0, 1.0
    return lows[len(lows) // LEFT_OUT], max(max(values) for values in ranges if values)


def _range(values: Iterable[float | None]) -> tuple[float, float]:
    known = sorted(value for value in values if value is not None)
    return (known[len(known) // LEFT_OUT], known[-1]) if known else (0.0, 0.0)


def _shade(value: float | None, low: float, high: float) -> str:
    if value is None or high <= low:
        return "class"
    return f"class q{min(SHADES - 1, max(0, int((value - low) / (high - low) * SHADES)))}"


def _percent(value: float | None, point: str) -> str:
    return "–" if value is None else f"{value * 100:.2f}".replace(".", point)
