"""What a change of a phase would meet: its queue, what teams used, what a freeze hides."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db.models import Count, Q

from challenge.models import Entry, Evaluation, Phase, Submission
from challenge.rules import quota
from challenge.rules.lifecycle import OPEN_STATES
from challenge.rules.phase_consequences import Facts
from challenge.selectors import phase_disclosure, quota_lines


def facts_of(phase: Phase, *, changes: Mapping[str, Any], now: datetime) -> Facts:
    """Return the facts for `phase_consequences.consequences` (five queries at most).

    Only what ``changes`` ask for is read.
    """
    frozen = [at for at in (phase.frozen_at, changes.get("frozen_at")) if at is not None]
    submitted = Submission.objects.none().values_list("created_at", flat=True)
    if frozen and "frozen_at" in changes:
        submitted = Submission.objects.filter(
            entry__phase=phase, created_at__gt=min(frozen)
        ).values_list("created_at", flat=True)
    return Facts(
        now=now,
        settled=phase_disclosure.is_settled(phase, now=now),
        waiting=Evaluation.objects.filter(
            submission__entry__phase=phase,
            priority=Evaluation.Priority.LIVE,
            state__in=OPEN_STATES,
        ).count(),
        use=_use(phase, now=now) if _asks_for_use(changes) else {},
        submitted_at=tuple(sorted(submitted)),
        labels_open_until=phase.labels_open_until,
    )


def _asks_for_use(changes: Mapping[str, Any]) -> bool:
    return bool({"daily_limit", "total_limit", "finals_limit"} & set(changes))


def _use(phase: Phase, *, now: datetime) -> dict[str, tuple[int, ...]]:
    today = quota.utc_day(now)
    used = [quota.add_up(lines, today=today) for lines in quota_lines.by_entry(phase).values()]
    chosen = Entry.objects.filter(phase=phase).annotate(
        chosen=Count("submissions", filter=Q(submissions__is_final=True))
    )
    return {
        "daily_limit": tuple(one.today for one in used),
        "total_limit": tuple(one.total for one in used),
        "finals_limit": tuple(chosen.order_by("pk").values_list("chosen", flat=True)),
    }
