"""Training runs as organisers see them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.core.cache import cache
from django.db.models import Prefetch, QuerySet
from django.utils import timezone

from challenge.errors import refuse
from challenge.models import Challenge, Phase, Score, TrainingPoint, TrainingRun
from challenge.rules.lifecycle import RunState
from challenge.selectors import people
from challenge.selectors.people import Person

WORKERS_KEY = "training-workers"
# A worker says what it can do every 20 seconds.
PRESENT = timedelta(seconds=90)


@dataclass(frozen=True)
class Worker:
    """A GPU worker as it described itself: device, recipes, data sets, when it was last heard.

    ``problem`` is why it cannot train at all, empty where it can.
    """

    name: str
    device: dict[str, Any]
    recipes: list[dict[str, Any]]
    data_roots: list[str]
    seen_at: datetime
    present: bool
    problem: str = ""

    @property
    def is_able(self) -> bool:
        """Say whether it can take a run at all."""
        return not self.problem and bool(self.recipes) and bool(self.data_roots)


def workers(*, now: datetime | None = None) -> list[Worker]:
    """Return the GPU workers heard of in the last week, present ones first. No query."""
    now = now or timezone.now()
    found = [
        Worker(name=name, present=line["seen_at"] > now - PRESENT, **line)
        for name, line in cache.get(WORKERS_KEY, {}).items()
    ]
    return sorted(found, key=lambda one: (not one.present, one.name))


def check_organiser(user: Person, challenge: Challenge) -> None:
    """Raise NotAllowed ``not-organiser`` for everybody else."""
    if not people.is_organiser(user, challenge):
        raise refuse("not-organiser", challenge=challenge.slug)


def runs_of(challenge: Challenge) -> QuerySet[TrainingRun]:
    """Return a challenge's runs, newest first (one query)."""
    return TrainingRun.objects.filter(phase__challenge=challenge).select_related(
        "phase__challenge", "created_by", "submission"
    )


def with_curves(runs: QuerySet[TrainingRun]) -> QuerySet[TrainingRun]:
    """Add each run's points, in order of epochs (one query more)."""
    return runs.prefetch_related(Prefetch("points", TrainingPoint.objects.order_by("epoch")))


def run(pk: UUID, *, challenge: Challenge) -> TrainingRun:
    """Return a challenge's run with its points (two queries). Raises NotFound ``not-found``."""
    found = with_curves(runs_of(challenge)).filter(pk=pk).first()
    if found is None:
        raise refuse("not-found")
    return found


def chosen(pks: Sequence[str], *, challenge: Challenge) -> list[TrainingRun]:
    """Return some of a challenge's runs with their points, oldest first (two queries).

    What is no run of the challenge is left out.
    """
    wanted = []
    for pk in pks:
        try:
            wanted.append(UUID(pk))
        except ValueError:
            continue
    return list(with_curves(runs_of(challenge).filter(pk__in=wanted)).order_by("queued_at", "pk"))


def target_phases(challenge: Challenge) -> QuerySet[Phase]:
    """Return the phases that can take a baseline: those with labels and a task (one query)."""
    return challenge.phases.filter(ground_truth__isnull=False, task_spec__isnull=False)


def scored_mious(runs: Iterable[TrainingRun]) -> dict[UUID, float]:
    """Return the mIoU of the runs' submissions on the hidden labels, in full (one query).

    For organisers: callers round.
    """
    by_submission = {one.submission_id: one.pk for one in runs if one.submission_id}
    if not by_submission:
        return {}
    rows = (
        Score.objects.filter(evaluation__submission__in=by_submission, evaluation__state="scored")
        .order_by("evaluation__revision")
        .values_list("evaluation__submission", "miou")
    )
    return {by_submission[submission]: miou for submission, miou in rows if miou is not None}


def is_moving(found: TrainingRun) -> bool:
    """Say whether a run waits or goes on."""
    return found.state in (RunState.QUEUED, RunState.RUNNING)
