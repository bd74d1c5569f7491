"""Dates as bundles write them. Nothing is guessed: an ambiguous one is given back as such. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum

_CLOCK = r"(?:[ T]+(?P<clock>\d{1,2}:\d{2}(?::\d{2})?))?"
_NUMBERS = re.compile(r"(?P<a>\d{1,2})[-/.](?P<b>\d{1,2})[-/.](?P<year>\d{4})" + _CLOCK, re.ASCII)
_YEAR_FIRST = re.compile(
    r"(?P<year>\d{4})[-/.](?P<a>\d{1,2})[-/.](?P<b>\d{1,2})" + _CLOCK, re.ASCII
)
_WORDS = ("%B %d, %Y", "%d %B %Y", "%b %d, %Y", "%d %b %Y")


class Order(StrEnum):
    """How dates such as 8-01-2025 are meant; ``ASK``: nobody said yet."""

    ASK = "ask"
    MONTH_FIRST = "month-first"
    DAY_FIRST = "day-first"


@dataclass(frozen=True)
class Read:
    """A date of a bundle: as it was written, and the moment in UTC.

    ``at`` is None where there is none, or where ``ambiguous`` or ``unreadable`` says why.
    """

    written: str
    at: datetime | None = None
    ambiguous: bool = False
    unreadable: bool = False


def read(value: object, *, order: Order) -> Read:
    """Read a date of a bundle. Without an offset it is UTC, as on the platforms it comes from.

    >>> read("8-01-2025", order=Order.ASK).ambiguous
    True
    >>> read("8-25-2025", order=Order.ASK).at
    datetime.datetime(2025, 8, 25, 0, 0, tzinfo=datetime.timezone.utc)
    """
    if value is None or value == "":
        return Read("")
    written = str(value)[:60]
    if isinstance(value, datetime):
        return Read(written, _utc(value))
    if isinstance(value, date):
        return Read(written, datetime(value.year, value.month, value.day, tzinfo=UTC))
    text = written.strip()
    try:
        return Read(written, _utc(datetime.fromisoformat(text)))
    except ValueError:
        return _read_text(text, written, order)


def _read_text(text: str, written: str, order: Order) -> Read:
    if match := _NUMBERS.fullmatch(text):
        first, second = int(match["a"]), int(match["b"])
        if first <= 12 and second <= 12 and first != second and order is Order.ASK:
            return Read(written, ambiguous=True)
        day_first = first > 12 or (second <= 12 and order is Order.DAY_FIRST)
        month, day = (second, first) if day_first else (first, second)
        return _made(written, int(match["year"]), month, day, match["clock"])
    if match := _YEAR_FIRST.fullmatch(text):
        return _made(written, int(match["year"]), int(match["a"]), int(match["b"]), match["clock"])
    for pattern in _WORDS:
        try:
            return Read(written, datetime.strptime(text, pattern).replace(tzinfo=UTC))
        except ValueError:
            continue
    return Read(written, unreadable=True)


def _made(written: str, year: int, month: int, day: int, clock: str | None) -> Read:
    hour, minute, second = ([int(one) for one in (clock or "0:0").split(":")] + [0, 0])[:3]
    try:
        return Read(written, datetime(year, month, day, hour, minute, second, tzinfo=UTC))
    except ValueError:
        return Read(written, unreadable=True)


def _utc(at: datetime) -> datetime:
    return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).astimezone(UTC)
