"""The rows of a leaderboard's table as HTML.

Printed in Python: two hundred rows of twenty cells take Django's template language ten times as
long (decision 270). Every text that came from people passes through ``escape``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from itertools import pairwise
from math import ceil, floor
from statistics import median
from typing import NamedTuple

from django.urls import reverse
from django.utils import formats, timezone
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from challenge.formats import SHORT_DAY_FORMAT, day_text, decimal_text
from challenge.models import Challenge
from challenge.selectors.leaderboard import ORGANISER, TEAM, Row
from challenge.templatetags.flair import percent, whisker

SHADES = 10
# The weak end of a leaderboard, one row in so many, must not press all others' shades together.
WEAK_PART = 4
# The axis of intervals ends at most so many usual interval widths below the best: however poor the
# weakest teams are, an interval stays wide enough to be read.
AXIS_WIDTHS = 8
AXIS_STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
AXIS_TICKS = 3
TAGS = {
    "organiser": _("organiser"),
    "baseline": _("baseline"),
    "published-podium": _("podium"),
    "published-baseline": _("published"),
}
MARKS = {"late": _("late entry"), "extra-places": _("extra submissions")}
MEDALS = {1: "medal", 2: "medal two", 3: "medal three"}


class RenderedRow(NamedTuple):
    """A row's HTML without what depends on the viewer, which stands between its three parts.

    After ``start`` comes the own team's class, after ``name`` its tag, after ``cells`` the day of
    ``timestamp`` (seconds since 1970; None: no date).
    """

    team_id: int | None
    start: str
    name: str
    cells: str
    timestamp: int | None
    end: str


class Axis(NamedTuple):
    """What all rows' intervals are drawn along: fractions at its ends and at its marks."""

    start: float
    stop: float
    ticks: list[float]


def render(
    rows: Sequence[Row],
    *,
    challenge: Challenge,
    keys: Sequence[str],
    names: Sequence[str],
    by_rank: bool,
    axis: Axis,
    group_letters: Mapping[int, str],
    public: bool = False,
) -> list[RenderedRow]:
    """Print rows in the page's language, each class column shaded on a scale of its own.

    ``names`` are those of the classes ``keys``, for the list that a line unfolds to on phones.
    ``by_rank`` draws a line under each group of teams that cannot be told apart; ``public`` adds
    the column of public values and of how the ranks differ. ``axis`` and ``group_letters`` are
    those of the whole leaderboard, of which ``rows`` are a page.
    """
    # asked once, not for each of a thousand teams
    url = escape(reverse("web:team", args=[challenge.slug, 0])).replace("/0/", "/%d/")
    point = formats.get_format("DECIMAL_SEPARATOR")
    ranges = {key: _range(row.class_ious.get(key) for row in rows) for key in keys}
    ends = _group_ends(rows) if by_rank else set()
    words = _Words()
    rendered = []
    for position, row in enumerate(rows):
        cells, unfolded = [], []
        for key, title in zip(keys, names, strict=True):
            value = row.class_ious.get(key)
            text = _percent(value, point) if row.class_ious else ""
            cells.append(f'<td class="{_shade(value, *ranges[key])}">{text}</td>')
            unfolded.append(f"<li>{escape(title)} <b>{text}</b></li>")
        low, high = row.interval or (None, None)
        std = f'<span class="tied"> ±{percent(row.std)}</span>' if row.std else ""
        count = "" if row.submission_count is None else row.submission_count
        name, remarks = _team(row, url, words, group_letters.get(row.group, ""))
        rendered.append(
            RenderedRow(
                team_id=row.team_id if row.kind in (TEAM, ORGANISER) else None,
                start=f'<tr class="{_css(row)}{" group-end" if position in ends else ""}',
                name=f'"{_anchor(row)} data-line="{row.key}"><td class="c-rank">{_rank(row)}</td>'
                f'<th scope="row" class="c-team">{name}',
                cells=f"{remarks}{_details(unfolded, words) if row.class_ious else ''}</th>"
                f'<td class="c-miou">{_percent(row.miou, point)}{std}</td>'
                f"{_public(row, point, words) if public else ''}"
                f'<td class="c-whisker">{whisker(row.miou, low, high, axis.start, axis.stop)}'
                f"{_interval(low, high, point)}</td>"
                f'{"".join(cells)}<td class="num small">',
                timestamp=int(row.created_at.timestamp()) if row.created_at else None,
                end=f'</td><td class="num">{count}</td></tr>',
            )
        )
    return rendered


def personalised(rows: Iterable[RenderedRow], *, my_team_id: int | None) -> SafeString:
    """Return the table's rows with the viewer's own team marked and days in their time zone."""
    # most rows share their day with others; strftime and months' names are slow
    days: dict[date, str] = {}
    tag = f' <span class="tag good">{escape(gettext("you"))}</span>'
    printed = []
    for row in rows:
        mine = row.team_id is not None and row.team_id == my_team_id
        printed += [row.start, " mine" if mine else "", row.name, tag if mine else "", row.cells]
        if row.timestamp is not None:
            at = datetime.fromtimestamp(row.timestamp, UTC)
            local = timezone.localtime(at).date()
            if local not in days:
                days[local] = day_text(local, SHORT_DAY_FORMAT)
            printed.append(f'<time datetime="{at.isoformat()[:19]}Z">{days[local]}</time>')
        printed += [row.end, "\n"]
    return mark_safe("".join(printed))


def method_text(row: Row) -> str:
    """Return a row's method; for a baseline of several seeds with their number."""
    if row.seed_count > 1:
        return f"{row.method} · {gettext('mean of %(n)d seeds') % {'n': row.seed_count}}"
    return row.method


def letters_of_groups(rows: Iterable[Row]) -> dict[int, str]:
    """Return the letters of a leaderboard's groups of several teams, the best first: A, B, …

    A team that stands alone has none, and takes none away.
    """
    tied = sorted({row.group for row in rows if row.tied})
    return {group: letters(number) for number, group in enumerate(tied, start=1)}


def letters(number: int) -> str:
    """Return a number as letters: 1 gives A, 27 gives AA.

    >>> letters(1), letters(26), letters(27)
    ('A', 'Z', 'AA')
    """
    text = ""
    while number > 0:
        number, rest = divmod(number - 1, 26)
        text = chr(ord("A") + rest) + text
    return text


class _Words:
    """The rows' words in the page's language, looked up once."""

    def __init__(self) -> None:
        self.tied = escape(gettext("Teams with the same letter cannot be told apart"))
        self.over = escape(gettext("Declared inference time above the phase's limit"))
        self.rose = escape(gettext("places gained by the private zones"))
        self.fell = escape(gettext("places lost by the private zones"))
        self.classes = escape(gettext("Classes"))
        self.code, self.paper = escape(gettext("code")), escape(gettext("paper"))
        self.marks = {mark: escape(str(word)) for mark, word in MARKS.items()}
        self.tags = {kind: escape(str(word)) for kind, word in TAGS.items()}


def _css(row: Row) -> str:
    if row.kind == TEAM:
        return f"team rank-{row.rank}"
    return f"reference {row.kind.replace('-', ' ')}"


def _anchor(row: Row) -> str:
    """Return the name by which other pages link to a team's line."""
    return f' id="team-{row.team_id}"' if row.kind in (TEAM, ORGANISER) else ""


def _rank(row: Row) -> str:
    if row.rank is None:
        return ""
    medal = MEDALS.get(row.rank)
    css = f' class="{medal}"' if medal else ""
    return f'<span data-rank="{row.rank}"{css}>{row.rank}</span>'


def _team(row: Row, url: str, words: _Words, group: str) -> tuple[str, str]:
    """Return the name with its tags, and the remarks and the method that follow the own mark."""
    name = escape(row.name)
    if row.team_id is None:
        shown = f'<span class="strong">{name}</span>'
    else:
        shown = f'<a href="{url % row.team_id}">{name}</a>'
    if row.tied:
        shown += f' <span class="tied" title="{words.tied}">{group}</span>'
    if row.kind in words.tags:
        shown += f' <span class="tag">{words.tags[row.kind]}</span>'
    for mark in row.marks:
        shown += f' <span class="tag warn">{words.marks[mark]}</span>'
    remarks = ""
    if row.over_inference_limit and row.inference_ratio is not None:
        ratio = decimal_text(row.inference_ratio, 1)
        remarks += f' <span class="tag warn" title="{words.over}">× {ratio}</span>'
    for link, word in ((row.code_url, words.code), (row.paper_url, words.paper)):
        if link:
            remarks += (
                f' <a class="source" href="{escape(link)}" rel="noopener nofollow">{word}</a>'
            )
    return shown, f'{remarks}<span class="method">{escape(method_text(row))}</span>'


def _details(lines: list[str], words: _Words) -> str:
    """Return a line's classes as a list to unfold: on phones its columns are far away."""
    return (
        f'<details class="unfold narrow-only"><summary>{words.classes}</summary>'
        f"<ul>{''.join(lines)}</ul></details>"
    )


def _public(row: Row, point: str, words: _Words) -> str:
    """Return the cell of the public zones: value, rank, and how far the team rose or fell since."""
    if row.public_miou is None:
        return '<td class="num"></td>'
    shown = _percent(row.public_miou, point)
    if row.rank is None or row.public_rank is None:
        return f'<td class="num">{shown}</td>'
    rise = row.public_rank - row.rank
    moved = "="
    if rise:
        css, sign, word = ("up", "▲", words.rose) if rise > 0 else ("down", "▼", words.fell)
        moved = f'<span class="{css}" title="{word}">{sign}{abs(rise)}</span>'
    return f'<td class="num">{shown} <span class="tied">#{row.public_rank}</span> {moved}</td>'


def _group_ends(rows: Sequence[Row]) -> set[int]:
    """Return the positions of teams under which another group begins."""
    ends = set()
    teams = [(position, row) for position, row in enumerate(rows) if row.kind == TEAM]
    for (position, row), (_below, below) in pairwise(teams):
        if (row.tied or below.tied) and below.group != row.group:
            ends.add(position)
    return ends


def axis_of(rows: Iterable[Row]) -> Axis:
    """Return the axis of a leaderboard's intervals, with marks at round values.

    It reaches from the best value down to the least, but over no more than ``AXIS_WIDTHS`` times
    the median width of an interval.
    """
    values, widths = [], []
    for row in rows:
        low, high = row.interval or (None, None)
        values += [value for value in (row.miou, low, high) if value is not None]
        if low is not None and high is not None and high > low:
            widths.append(high - low)
    if not values:
        return Axis(0.0, 1.0, [0.0, 0.5, 1.0])
    top, least = max(values), min(values)
    if widths:
        least = max(least, top - AXIS_WIDTHS * median(widths))
    start = min(least, top - AXIS_STEPS[0])
    step = next((one for one in AXIS_STEPS if (top - start) / one <= AXIS_TICKS), AXIS_STEPS[-1])
    first, last = ceil(start / step - 1e-9), floor(top / step + 1e-9)
    return Axis(start, top, [number * step for number in range(first, last + 1)])


def _interval(low: float | None, high: float | None, point: str) -> str:
    if low is None or high is None:
        return ""
    return f'<span class="bounds">{_percent(low, point)} – {_percent(high, point)}</span>'


def _range(values: Iterable[float | None]) -> tuple[float, float]:
    known = sorted(value for value in values if value is not None)
    return (known[len(known) // WEAK_PART], known[-1]) if known else (0.0, 0.0)


def _shade(value: float | None, low: float, high: float) -> str:
    if value is None or high <= low:
        return "class"
    return f"class q{min(SHADES - 1, max(0, int((value - low) / (high - low) * SHADES)))}"


def _percent(value: float | None, point: str) -> str:
    return "–" if value is None else f"{value * 100:.2f}".replace(".", point)
