"""What an operator watches: the queues, the last hour's verdicts, lost workers, the last sweep."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.cache import cache
from django.db.models import Count, DurationField, ExpressionWrapper, F, Min, QuerySet
from django.db.models.aggregates import Aggregate
from django.db.models.functions import Now
from django.utils import timezone

from challenge.models import (
    Evaluation,
    EvaluationEvent,
    OutgoingMail,
    TrainingEvent,
    TrainingRun,
    WebhookDelivery,
)
from challenge.models.jobs import LeasedJob
from challenge.rules.lifecycle import FINISHED_STATES, RunState, State

LAST_SWEEP_KEY = "last-sweep"
HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class QueueState:
    """One kind of job: how many wait, how long the oldest has, how many run (None: not known)."""

    kind: str
    waiting: int
    oldest_s: float
    running: int | None = None


@dataclass(frozen=True)
class Finished:
    """How many evaluations ended in a state with a code ("": none)."""

    state: str
    code: str
    count: int


@dataclass(frozen=True)
class Operations:
    """The state of the site now; "last hour" counts back from now.

    ``scoring_s_median`` and ``scoring_s_p95`` are the seconds from the claim to the verdict of
    scored evaluations; None where none was scored. ``last_sweep_at`` is None where the cache does
    not have it.
    """

    queues: list[QueueState]
    finished: list[Finished]
    scoring_s_median: float | None
    scoring_s_p95: float | None
    leases_lost: int
    last_sweep_at: datetime | None


class _Percentile(Aggregate):
    """PostgreSQL's ``percentile_cont``."""

    function = "PERCENTILE_CONT"
    template = "%(function)s(%(share)s) WITHIN GROUP (ORDER BY %(expressions)s)"
    output_field = DurationField()


def read(*, now: datetime | None = None) -> Operations:
    """Read all of it. Nine queries, whatever the number of submissions."""
    now = now or timezone.now()
    evaluations = Evaluation.objects.order_by()
    live = evaluations.filter(priority=Evaluation.Priority.LIVE)
    again = evaluations.exclude(priority=Evaluation.Priority.LIVE)
    runs = TrainingRun.objects.order_by()
    since = now - HOUR
    ended = evaluations.filter(finished_at__gt=since, state__in=FINISHED_STATES)
    counted = ended.values_list("state", "error_code").annotate(count=Count("pk"))
    median, high = _scoring_seconds(ended)
    lost = {"reason": "worker-lost", "at__gt": since}
    return Operations(
        queues=[
            _jobs("scoring", live, State.QUEUED.value, State.SCORING.value, now=now),
            _jobs("re-scoring", again, State.QUEUED.value, State.SCORING.value, now=now),
            _jobs("training", runs, RunState.QUEUED.value, RunState.RUNNING.value, now=now),
            _due("mail", OutgoingMail.objects.all(), now=now),
            _due("webhook", WebhookDelivery.objects.all(), now=now),
        ],
        finished=[Finished(state, code, count) for state, code, count in counted],
        scoring_s_median=median,
        scoring_s_p95=high,
        leases_lost=EvaluationEvent.objects.filter(**lost).count()
        + TrainingEvent.objects.filter(**lost).count(),
        last_sweep_at=_last_sweep(),
    )


def running_jobs() -> int:
    """Count the jobs of all kinds that a worker holds, by the database's clock.

    A lost worker's are not counted once their lease is over. A query for each kind.
    """
    return sum(
        model._default_manager.filter(lease_until__gt=Now()).count()
        for model in LeasedJob.__subclasses__()
    )


def _last_sweep() -> datetime | None:
    at_s = cache.get(LAST_SWEEP_KEY)
    return datetime.fromtimestamp(at_s, tz=UTC) if isinstance(at_s, float) else None


def _jobs(
    kind: str, jobs: QuerySet[Any], waiting: str, running: str, *, now: datetime
) -> QueueState:
    counts = {row[0]: row[1:] for row in jobs.filter(state__in=[waiting, running]).values_list(
        "state").annotate(Count("pk"), Min("queued_at"))}  # fmt: skip
    count, oldest = counts.get(waiting, (0, None))
    return QueueState(kind, count, _age_s(oldest, now=now), counts.get(running, (0, None))[0])


def _due(kind: str, rows: QuerySet[Any], *, now: datetime) -> QueueState:
    due = rows.order_by().filter(next_attempt_at__lte=now)
    found = due.aggregate(count=Count("pk"), oldest=Min("next_attempt_at"))
    return QueueState(kind, found["count"], _age_s(found["oldest"], now=now))


def _age_s(since: datetime | None, *, now: datetime) -> float:
    return max(0.0, (now - since).total_seconds()) if since is not None else 0.0


def _scoring_seconds(ended: QuerySet[Evaluation]) -> tuple[float | None, float | None]:
    taken = ExpressionWrapper(F("finished_at") - F("started_at"), output_field=DurationField())
    found = (
        ended.filter(state=State.SCORED)
        .annotate(taken=taken)
        .aggregate(median=_Percentile("taken", share=0.5), high=_Percentile("taken", share=0.95))
    )
    median, high = (
        value.total_seconds() if value is not None else None
        for value in (found["median"], found["high"])
    )
    return median, high
