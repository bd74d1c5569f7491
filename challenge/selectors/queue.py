"""Where a waiting submission stands, and when it should start."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

from django.db.models import Count
from django.utils import timezone

from challenge.models import Evaluation, EvaluationEvent
from challenge.rules import fairness
from challenge.rules.fairness import Waiting
from challenge.rules.lifecycle import State

# Durations this long ago still tell how long scoring takes.
RECENT = 50


@dataclass(frozen=True)
class Place:
    """``ahead`` evaluations start before this one; ``starts_at`` is an estimate, None: unknown."""

    ahead: int
    waiting: int
    running: int
    starts_at: datetime | None


def place(evaluation: Evaluation, *, now: datetime | None = None) -> Place | None:
    """Return the place of a queued evaluation; None once it no longer waits. Three queries.

    The order is that of the claims (rules.fairness). The start is estimated from the median
    duration of the latest scores and the number running at this moment.
    """
    now = now or timezone.now()
    if evaluation.state != State.QUEUED:
        return None
    queue = [
        Waiting(pk, team, priority, queued_at)
        for pk, team, priority, queued_at in Evaluation.objects.filter(
            state=State.QUEUED.value
        ).values_list("pk", "submission__entry__team", "priority", "queued_at")
    ]
    running = dict(
        Evaluation.objects.filter(state=State.SCORING.value)
        .order_by()
        .values_list("submission__entry__team")
        .annotate(Count("pk"))
    )
    ordered = [waiting.id for waiting in fairness.order(queue, running=running)]
    if evaluation.pk not in ordered:
        return None
    ahead = ordered.index(evaluation.pk)
    typical_s = typical_seconds()
    busy = sum(running.values())
    starts_at = None
    if typical_s is not None:
        rounds = (ahead + busy) / max(1, busy)
        starts_at = now + timedelta(seconds=rounds * typical_s if busy or ahead else 0)
    return Place(ahead=ahead, waiting=len(ordered), running=busy, starts_at=starts_at)


def typical_seconds() -> float | None:
    """Return the median duration of the latest scored evaluations, in seconds (one query)."""
    durations = [
        (finished - started).total_seconds()
        for started, finished in Evaluation.objects.filter(
            state=State.SCORED.value, started_at__isnull=False, finished_at__isnull=False
        )
        .order_by("-finished_at")
        .values_list("started_at", "finished_at")[:RECENT]
        if finished and started
    ]
    return median(durations) if durations else None


def events(evaluation: Evaluation) -> list[EvaluationEvent]:
    """Return an evaluation's moves, oldest first (one query)."""
    return list(evaluation.events.select_related("actor"))
