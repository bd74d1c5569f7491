"""Filters and tags of the pages: numbers by locale, class swatches, bars.

Style attributes are forbidden by the Content-Security-Policy, so colours and lengths that come
from data are drawn as SVG, whose presentation attributes are not styles.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from challenge.formats import SHORT_DAY_FORMAT, day_text, decimal_text, percent_text
from challenge.selectors import languages
from challenge.services import client_wheel
from challenge.templatetags import markdown_html
from scoring.engine.problems.problems import Problem

register = template.Library()

DASH = "–"
COLOR = re.compile(r"#[0-9a-fA-F]{6}")

STATES = {
    "queued": _("queued"),
    "scoring": _("being scored"),
    "scored": _("scored"),
    "rejected": _("rejected"),
    "failed": _("failed"),
    "cancelled": _("cancelled"),
}
STATE_TONES = {"scored": "good", "rejected": "bad", "failed": "bad", "scoring": "info"}
STAGES = {
    "checking": _("checking the archive"),
    "scoring": _("comparing with the labels"),
    "bootstrapping": _("computing intervals"),
}


@register.filter
def text(value: Any) -> str:
    """Return a {language: text} mapping in the page's language, English where it is missing."""
    if not isinstance(value, Mapping):
        return str(value or "")
    language = languages.current()
    return str(value.get(language) or value.get("en") or next(iter(value.values()), ""))


@register.filter
def percent(value: object, digits: int = 2) -> str:
    """Return a fraction as a percentage without its sign: 0.5443 gives 54.43 (54,43 in French)."""
    if not isinstance(value, int | float):
        return DASH
    return percent_text(value, int(digits))


@register.filter
def points(value: object) -> str:
    """Return a difference of fractions in points with its sign: 0.021 gives +2.10."""
    if not isinstance(value, int | float):
        return DASH
    number = decimal_text(abs(value) * 100, 2)
    if round(abs(value), 4) == 0:
        return "±" + number
    return ("+" if value > 0 else "−") + number


@register.filter
def tone(value: float | None) -> str:
    """Return the class that colours a difference."""
    if value is None or round(abs(value), 4) == 0:
        return ""
    return "up" if value > 0 else "down"


@register.filter
def number(value: object, digits: int = 0) -> str:
    """Return a number with its thousands grouped as the language does."""
    if not isinstance(value, int | float):
        return DASH
    return decimal_text(value, int(digits))


@register.filter
def filesize(value: object) -> str:
    """Return a size in decimal units with the language's comma: 4.1 GB, 4,1 Go."""
    if not isinstance(value, int | float):
        return DASH
    units = (gettext("B"), gettext("kB"), gettext("MB"), gettext("GB"), gettext("TB"))
    size, position = float(value), 0
    while size >= 999.5 and position < len(units) - 1:
        size /= 1000
        position += 1
    digits = 0 if position == 0 or size >= 99.5 else 1
    return f"{decimal_text(size, digits)}\u00a0{units[position]}"


@register.filter
def size_text(value: str) -> str:
    """Return a size written as "50.7 GB" in the page's language: 50,7 Go.

    >>> size_text("50.7 GB").replace("\u00a0", " ")
    '50.7 GB'
    """
    amount, _space, unit = value.partition(" ")
    digits = len(amount.partition(".")[2])
    return f"{decimal_text(float(amount), digits)}\u00a0{gettext(unit)}"


@register.filter
def fact_value(row: Mapping[str, Any]) -> str:
    """Return a fact's value with its unit: 61,712 · 0.2 m."""
    value = row.get("value")
    if isinstance(value, int):
        shown = decimal_text(value, 0)
    elif isinstance(value, float):
        shown = decimal_text(value, len(str(value).partition(".")[2]))
    else:
        shown = str(value or "")
    return f"{shown}\u00a0{row['unit']}" if row.get("unit") else shown


@register.filter
def seconds(value: object) -> str:
    """Return a duration no finer than a second."""
    if not isinstance(value, int | float):
        return DASH
    minutes, rest = divmod(max(0, round(value)), 60)
    if minutes == 0:
        return gettext("%(s)d s") % {"s": rest}
    if minutes < 60:
        return gettext("%(m)d min %(s)02d s") % {"m": minutes, "s": rest}
    hours, minutes = divmod(minutes, 60)
    return gettext("%(h)d h %(m)02d min") % {"h": hours, "m": minutes}


@register.filter
def clock(value: datetime | None, style: str = "long") -> str:
    """Return a <time> in the viewer's zone; scripts may refine it, none is needed.

    ``style`` is long (date and time with zone), day, or short (date and time).
    """
    if not isinstance(value, datetime):
        return DASH
    local = timezone.localtime(value)
    if style == "day":
        shown = day_text(local)
    elif style == "short":
        shown = day_text(local, SHORT_DAY_FORMAT) + local.strftime(" %H:%M")
    else:
        day = day_text(local)
        time = local.strftime("%H:%M ") + (local.tzname() or "UTC")
        shown = gettext("%(day)s %(time)s") % {"day": day, "time": time}
    return format_html('<time datetime="{}">{}</time>', machine_time(value), shown)


@register.filter
def machine_time(value: datetime) -> str:
    """Return a moment as HTML's ``datetime`` takes it, which knows no microseconds."""
    return value.isoformat(timespec="seconds")


@register.filter
def countdown(value: datetime) -> str:
    """Return how long it is until a moment, in the words with which the script then counts on."""
    left = (value - timezone.now()).total_seconds()
    if abs(left) < 90:
        n, words = int(left), ngettext("in %(n)s second", "in %(n)s seconds", int(left))
    elif abs(left) < 5400:
        n = int(left / 60)
        words = ngettext("in %(n)s minute", "in %(n)s minutes", n)
    elif abs(left) < 129_600:
        n = int(left / 3600)
        words = ngettext("in %(n)s hour", "in %(n)s hours", n)
    else:
        n = int(left / 86_400)
        words = ngettext("in %(n)s day", "in %(n)s days", n)
    return words % {"n": number(n)}


@register.filter
def state_name(value: str) -> str:
    """Return an evaluation's state in words."""
    return str(STATES.get(value, value))


@register.filter
def state_tone(value: str) -> str:
    """Return the tag class of a state."""
    return STATE_TONES.get(value, "")


@register.filter
def stage_name(value: str) -> str:
    """Return a worker's stage in words."""
    return str(STAGES.get(value, value))


@register.filter
def finding(value: Mapping[str, Any]) -> str:
    """Return an engine's note or problem in the page's language."""
    return Problem.from_json(value).text(languages.current())


@register.filter
def item(value: Any, key: Any) -> Any:
    """Return ``value[key]``, or None."""
    if isinstance(value, Mapping):
        return value.get(key)
    try:
        return value[int(key)]
    except (IndexError, TypeError, ValueError):
        return None


@register.filter
def heat(value: float | None, steps: int = 10) -> str:
    """Return the class q0…q9 that shades a share 0..1."""
    if value is None:
        return ""
    return f"q{min(int(steps) - 1, max(0, int(value * int(steps))))}"


@register.filter
def markdown(value: str, base: str = "") -> SafeString:
    """Render an organiser's Markdown as clean HTML; relative links begin at ``base``."""
    return markdown_html.render(value, base)


@register.filter
def markdown_headings(value: str) -> list[tuple[str, SafeString]]:
    """Return (anchor, title) of the second-level headings of a Markdown text."""
    return markdown_html.headings(value)


def _color(value: str | None) -> str:
    return value if value and COLOR.fullmatch(value) else "#808080"


@register.simple_tag
def client_commands() -> dict[str, str]:
    """Return the lines that install ``flair`` from this site, log it in and list the phases."""
    return {
        "install": client_wheel.install_command(),
        "login": client_wheel.login_command(),
        "phases": "flair phases",
    }


@register.simple_tag
def swatch(color: str | None) -> SafeString:
    """Draw a class's colour as a little square."""
    return format_html(
        '<svg class="swatch" viewBox="0 0 16 16" aria-hidden="true">'
        '<rect width="16" height="16" fill="{}"/></svg>',
        _color(color),
    )


@register.simple_tag
def bar(value: float | None, color: str | None = None, full: float = 1.0) -> SafeString:
    """Draw a share of ``full`` as a horizontal bar in the class's colour."""
    known = isinstance(value, int | float) and full > 0
    share = max(0.0, min(1.0, value / full)) if known else 0.0  # type: ignore[operator]
    return format_html(
        '<svg class="bar" viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true">'
        '<rect width="{}" height="10" fill="{}"/>'
        '<rect class="edge" width="{}" height="10"/></svg>',
        round(share * 1000),
        _color(color),
        round(share * 1000),
    )


@register.simple_tag
def whisker_axis(start: float, stop: float, ticks: Sequence[float]) -> SafeString:
    """Draw the axis that the whiskers of a table share, its marks in per cent."""
    marks = []
    for at in ticks:
        x = _whisker_x(at, start, stop)
        marks.append(
            f'<path d="M{x} 15V19"/><text x="{x}" y="11" text-anchor="middle">'
            f"{percent(at, 0)}</text>"
        )
    return mark_safe(
        '<svg class="whisker-axis" viewBox="0 0 120 20" aria-hidden="true">'
        f'<path d="M4 19H116"/>{"".join(marks)}</svg>'
    )


def _whisker_x(at: float, start: float, stop: float) -> float:
    return round(4 + 112 * max(0.0, min(1.0, (at - start) / (stop - start))), 1)


@register.simple_tag
def whisker(
    value: float | None, low: float | None, high: float | None, start: float, stop: float
) -> SafeString:
    """Draw a value with its interval on the scale ``start`` to ``stop``; below it, an arrow."""
    if value is None or stop <= start:
        return mark_safe("")
    if value < start:
        return mark_safe(
            '<svg class="whisker" viewBox="0 0 120 18" aria-hidden="true">'
            '<path class="off" d="M9 4L3 9L9 14"/></svg>'
        )

    line = ""
    if low is not None and high is not None:
        left, right = _whisker_x(low, start, stop), _whisker_x(high, start, stop)
        line = f'<path d="M{left} 9H{right}M{left} 5V13M{right} 5V13"/>'
    return mark_safe(
        '<svg class="whisker" viewBox="0 0 120 18" aria-hidden="true">'
        f'{line}<circle cx="{_whisker_x(value, start, stop)}" cy="9" r="3"/></svg>'
    )
