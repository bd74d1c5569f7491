"""The quota's ledger: lines written under the Entry's lock, views of what is left."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from django.db.models import Count
from django.utils import timezone

from challenge.errors import refuse
from challenge.models import Entry, Phase, QuotaLine, Submission, Team
from challenge.rules import quota as rule
from challenge.rules.lifecycle import QuotaMove
from challenge.rules.quota import QuotaView, Reason

if TYPE_CHECKING:
    from uuid import UUID

__all__ = ["QuotaView", "check", "consume", "refund", "reserve", "view"]


def view(*, team: Team | None, phase: Phase, now: datetime | None = None) -> QuotaView:
    """Return what a team used and may still submit in a phase (one query; none without a team)."""
    now = now or timezone.now()
    lines = (
        []
        if team is None
        else _lines(QuotaLine.objects.filter(entry__team=team, entry__phase=phase))
    )
    used = rule.add_up(lines, today=rule.utc_day(now))
    return rule.view(
        used,
        now=now,
        daily_limit=phase.daily_limit,
        total_limit=phase.total_limit,
        invalid_daily_limit=phase.invalid_daily_limit,
    )


def check(entry: Entry, *, phase: Phase, now: datetime) -> None:
    """Refuse when no place is left. The caller holds the entry's lock.

    Raises QuotaExceeded ``quota-total-used``, ``quota-day-used`` or ``quota-invalid-used``.
    """
    used = rule.add_up(_lines(QuotaLine.objects.filter(entry=entry)), today=rule.utc_day(now))
    left = rule.view(
        used,
        now=now,
        daily_limit=phase.daily_limit,
        total_limit=phase.total_limit,
        invalid_daily_limit=phase.invalid_daily_limit,
    )
    refills_at = f"{rule.next_day_at(now):%Y-%m-%dT%H:%M:%SZ}"
    if left.left_total == 0:
        raise refuse("quota-total-used", limit=phase.total_limit)
    if left.left_today == 0:
        raise refuse("quota-day-used", limit=phase.daily_limit, refills_at=refills_at)
    if left.invalid_left == 0:
        raise refuse("quota-invalid-used", limit=phase.invalid_daily_limit, refills_at=refills_at)


def reserve(entry: Entry, *, submission: Submission, now: datetime, reason: Reason) -> QuotaLine:
    """Take a place, on the UTC day of the submission. The caller holds the entry's lock."""
    return _write(entry, submission, QuotaMove.RESERVED, now, reason)


def consume(entry: Entry, *, submission: Submission, now: datetime) -> QuotaLine:
    """Note that the reserved place earned a score. The caller holds the entry's lock."""
    return _write(entry, submission, QuotaMove.CONSUMED, now, Reason.SCORED)


def refund(entry: Entry, *, submission: Submission, now: datetime, reason: Reason) -> QuotaLine:
    """Give the reserved place back. The caller holds the entry's lock."""
    return _write(entry, submission, QuotaMove.REFUNDED, now, reason)


def is_reserved(submission_id: UUID) -> bool:
    """Say whether a submission holds a place that was neither consumed nor refunded."""
    last = QuotaLine.objects.filter(submission_id=submission_id).order_by("-pk").first()
    return last is not None and last.move == QuotaMove.RESERVED


def _write(
    entry: Entry, submission: Submission, move: QuotaMove, now: datetime, reason: Reason
) -> QuotaLine:
    return QuotaLine.objects.create(
        entry=entry,
        submission=submission,
        move=move,
        day=rule.utc_day(submission.created_at),
        at=now,
        reason=reason,
    )


def _lines(queryset: object) -> list[rule.Line]:
    rows = (
        queryset.order_by()  # type: ignore[attr-defined]
        .values_list("move", "day", "reason")
        .annotate(count=Count("pk"))
    )
    return [rule.Line(QuotaMove(move), day, reason, count) for move, day, reason, count in rows]
