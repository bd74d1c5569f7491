"""The quota ledger: lines written under the entry's lock, and what is left of the quota."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone

from challenge.errors import refuse
from challenge.models import Entry, Phase, QuotaLine, Submission, Team
from challenge.rules import quota as rule
from challenge.rules.lifecycle import QuotaMove
from challenge.rules.quota import QuotaView, Reason
from challenge.selectors import grants, quota_lines

__all__ = ["QuotaView", "check", "consume", "refund", "reserve", "view"]


def view(*, team: Team | None, phase: Phase, now: datetime | None = None) -> QuotaView:
    """Return what a team used and may still submit in a phase.

    Two queries, none without a team.
    """
    return _view([] if team is None else [team.pk], phase=phase, now=now)


def check(team: Team, *, phase: Phase, now: datetime) -> None:
    """Refuse when nothing is left. What counts is an answer under the lock of the team's entry.

    Raises QuotaExceeded ``quota-total-used``, ``quota-day-used`` or ``quota-invalid-used``.
    """
    left = _view([team.pk], phase=phase, now=now)
    refills_at = f"{rule.next_day_at(now):%Y-%m-%dT%H:%M:%SZ}"
    if left.left_total == 0:
        raise refuse("quota-total-used", limit=left.total_limit)
    if left.left_today == 0:
        raise refuse("quota-day-used", limit=left.daily_limit, refills_at=refills_at)
    if left.invalid_left == 0:
        raise refuse("quota-invalid-used", limit=phase.invalid_daily_limit, refills_at=refills_at)


def reserve(entry: Entry, *, submission: Submission, now: datetime, reason: Reason) -> QuotaLine:
    """Reserve a submission, on its UTC day. The caller holds the entry's lock."""
    return _write(entry, submission, QuotaMove.RESERVED, now, reason)


def consume(entry: Entry, *, submission: Submission, now: datetime) -> QuotaLine:
    """Record that the reserved submission was scored. The caller holds the entry's lock."""
    return _write(entry, submission, QuotaMove.CONSUMED, now, Reason.SCORED)


def refund(entry: Entry, *, submission: Submission, now: datetime, reason: Reason) -> QuotaLine:
    """Refund the reservation. The caller holds the entry's lock."""
    return _write(entry, submission, QuotaMove.REFUNDED, now, reason)


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


def _view(team_ids: list[int], *, phase: Phase, now: datetime | None) -> QuotaView:
    now = now or timezone.now()
    today = rule.utc_day(now)
    ledger = list(quota_lines.of_teams(team_ids, phase=phase)) if team_ids else []
    granted = grants.of_teams(team_ids, phase=phase, now=now)
    extra_today = 0
    if granted.since is not None:
        extra_today = rule.extra_left(
            ledger,
            places=granted.extra_places,
            since=granted.since,
            today=today,
            daily_limit=phase.daily_limit,
        )
    return rule.view(
        rule.add_up(ledger, today=today),
        now=now,
        daily_limit=_more(phase.daily_limit, extra_today),
        total_limit=_more(phase.total_limit, granted.extra_places),
        invalid_daily_limit=phase.invalid_daily_limit,
    )


def _more(limit: int | None, extra: int) -> int | None:
    return None if limit is None else limit + extra
