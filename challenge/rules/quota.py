"""The arithmetic of the submission quota: UTC days, a ledger, two limits. Pure: no clock.

An accepted submission is one reservation on its UTC day. It is refunded, on that day, when the
submission failed through our fault, was withdrawn while it was queued, or was rejected. Rejected
and withdrawn archives are counted as well under a larger daily limit of their own: each is kept for
a while, and each rejection tells something, so they must not be free of any limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum

from challenge.rules.lifecycle import QuotaMove


class Reason(StrEnum):
    """Why a line of the ledger was written."""

    SUBMITTED = "submitted"
    REQUEUED = "requeued"
    SCORED = "scored"
    REJECTED = "rejected"
    FAILED = "failed"
    CANCELLED = "cancelled"


# Refunded, and counted under the limit of invalid archives.
INVALID = frozenset({Reason.REJECTED, Reason.CANCELLED})


@dataclass(frozen=True)
class Line:
    """One line of the ledger; ``day`` is the UTC day of the reservation."""

    move: QuotaMove
    day: date
    reason: str = ""
    count: int = 1


@dataclass(frozen=True)
class Used:
    """The sums of a ledger at a moment."""

    today: int
    total: int
    invalid_today: int


@dataclass(frozen=True)
class QuotaView:
    """An entry's quota as people see it; ``None`` means no limit.

    ``left`` is what may be submitted now; ``refills_at`` is when the next day begins, or
    None where waiting would change nothing (no daily limit, or none left in all).
    """

    used_today: int
    daily_limit: int | None
    left_today: int | None
    used_total: int
    total_limit: int | None
    left_total: int | None
    left: int | None
    invalid_today: int
    invalid_limit: int | None
    invalid_left: int | None
    refills_at: datetime | None


def utc_day(at: datetime) -> date:
    """Return the UTC day of an aware moment.

    >>> from datetime import timezone
    >>> utc_day(datetime(2026, 3, 1, 1, 30, tzinfo=timezone(timedelta(hours=2))))
    datetime.date(2026, 2, 28)
    """
    if at.tzinfo is None:
        raise ValueError("found a naive moment; allowed are aware ones")
    return at.astimezone(UTC).date()


def next_day_at(at: datetime) -> datetime:
    """Return the next UTC midnight after ``at``."""
    return datetime.combine(utc_day(at) + timedelta(days=1), time.min, tzinfo=UTC)


def add_up(lines: Iterable[Line], *, today: date) -> Used:
    """Add up a ledger.

    >>> a, b = date(2026, 1, 1), date(2026, 1, 2)
    >>> add_up([Line(QuotaMove.RESERVED, a), Line(QuotaMove.RESERVED, b),
    ...         Line(QuotaMove.CONSUMED, a), Line(QuotaMove.REFUNDED, b, "rejected")], today=b)
    Used(today=0, total=1, invalid_today=1)
    """
    used_today = total = invalid_today = 0
    for line in lines:
        sign = {QuotaMove.RESERVED: 1, QuotaMove.REFUNDED: -1, QuotaMove.CONSUMED: 0}[line.move]
        total += sign * line.count
        if line.day == today:
            used_today += sign * line.count
            if line.move is QuotaMove.REFUNDED and line.reason in INVALID:
                invalid_today += line.count
    return Used(today=used_today, total=total, invalid_today=invalid_today)


def extra_left(
    lines: Sequence[Line], *, places: int, since: date, today: date, daily_limit: int | None
) -> int:
    """Return how many of a grant's extra places are left today, beside the daily limit.

    One is used by each submission above the limit of its day, from the day ``since`` on. Without a
    daily limit all are left: then only the limit of the whole phase counts.

    >>> a, b = date(2026, 1, 1), date(2026, 1, 2)
    >>> sent = [Line(QuotaMove.RESERVED, a, count=4)]
    >>> extra_left(sent, places=5, since=a, today=b, daily_limit=2)
    3
    """
    if daily_limit is None:
        return places
    days = {line.day for line in lines if since <= line.day < today}
    above = (add_up(lines, today=day).today - daily_limit for day in days)
    return max(0, places - sum(count for count in above if count > 0))


def view(
    used: Used,
    *,
    now: datetime,
    daily_limit: int | None,
    total_limit: int | None,
    invalid_daily_limit: int | None,
) -> QuotaView:
    """Turn sums and limits into what may still be submitted."""
    left_today = _left(used.today, daily_limit)
    left_total = _left(used.total, total_limit)
    invalid_left = _left(used.invalid_today, invalid_daily_limit)
    lefts = [left for left in (left_today, left_total) if left is not None]
    left = min(lefts) if lefts else None
    if invalid_left == 0:
        left = 0
    daily = daily_limit is not None or invalid_left == 0
    return QuotaView(
        used_today=used.today,
        daily_limit=daily_limit,
        left_today=left_today,
        used_total=used.total,
        total_limit=total_limit,
        left_total=left_total,
        left=left,
        invalid_today=used.invalid_today,
        invalid_limit=invalid_daily_limit,
        invalid_left=invalid_left,
        refills_at=next_day_at(now) if daily and left_total != 0 else None,
    )


def _left(used: int, limit: int | None) -> int | None:
    return None if limit is None else max(0, limit - used)
