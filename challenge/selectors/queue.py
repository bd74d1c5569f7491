"""The queue of evaluations: positions, durations, history, and a check of its rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

from django.db.models import Count
from django.utils import timezone

from challenge.models import Evaluation, EvaluationEvent, Score
from challenge.rules import fairness
from challenge.rules.fairness import Waiting
from challenge.rules.lifecycle import QuotaMove, State, may_move

# Durations this long ago still tell how long scoring takes.
RECENT = 50
# What the ledger's last line says of a live submission in each state.
LEDGER = {
    State.QUEUED: QuotaMove.RESERVED,
    State.SCORING: QuotaMove.RESERVED,
    State.SCORED: QuotaMove.CONSUMED,
    State.REJECTED: QuotaMove.REFUNDED,
    State.FAILED: QuotaMove.REFUNDED,
    State.CANCELLED: QuotaMove.REFUNDED,
}


@dataclass(frozen=True)
class QueuePosition:
    """Where an evaluation waits: ``ahead`` evaluations start before it.

    ``starts_at`` is an estimate, None: unknown.
    """

    ahead: int
    waiting: int
    running: int
    starts_at: datetime | None


def position(evaluation: Evaluation, *, now: datetime | None = None) -> QueuePosition | None:
    """Return the position of a queued evaluation; None once it no longer waits. Three queries.

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
    return QueuePosition(ahead=ahead, waiting=len(ordered), running=busy, starts_at=starts_at)


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


@dataclass(frozen=True)
class Verified:
    """How many evaluations were checked, and a line for each fault."""

    checked: int
    faults: list[str]


def verify() -> Verified:
    """Check that every evaluation's events, score and quota ledger agree with its state.

    Reads evaluation by evaluation with their rows prefetched in batches; changes nothing.
    """
    faults: list[str] = []
    checked = 0
    evaluations = Evaluation.objects.prefetch_related("events", "submission__quota_lines").order_by(
        "pk"
    )
    scored = set(Score.objects.values_list("evaluation", flat=True))
    for evaluation in evaluations.iterator(chunk_size=500):
        checked += 1
        faults += [f"evaluation {evaluation.pk}: {fault}" for fault in _faults(evaluation, scored)]
    return Verified(checked, faults)


def _faults(evaluation: Evaluation, scored: set[int]) -> list[str]:
    faults = []
    state = ""
    for event in sorted(evaluation.events.all(), key=lambda event: event.pk):
        if event.from_state != state:
            faults.append(f"an event starts from {event.from_state!r} while it was {state!r}")
        if state and not may_move(State(event.from_state), State(event.to_state)):
            faults.append(f"an illegal transition {event.from_state} → {event.to_state}")
        state = event.to_state
    if state != evaluation.state:
        faults.append(f"its events end at {state!r}, its state is {evaluation.state!r}")
    if (evaluation.state == State.SCORED) != (evaluation.pk in scored):
        faults.append(f"{evaluation.state}, and the score is not as that wants")
    if evaluation.priority == Evaluation.Priority.LIVE:
        lines = sorted(evaluation.submission.quota_lines.all(), key=lambda line: line.pk)
        last = lines[-1].move if lines else "none"
        if last != LEDGER[State(evaluation.state)]:
            faults.append(f"{evaluation.state}, and its last ledger line says {last}")
    return faults
