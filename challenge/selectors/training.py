"""Training runs as organisers see them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Prefetch, QuerySet
from django.utils import timezone
from pydantic import TypeAdapter

from challenge.errors import refuse
from challenge.models import Challenge, Phase, Score, TrainingPoint, TrainingRun
from challenge.rules.disclosure import Viewer, disclose_miou
from challenge.rules.lifecycle import RunState, State
from challenge.selectors import cached, phase_disclosure

WORKERS_KEY = "training-workers"
# A worker says what it can do every 20 seconds.
PRESENT = timedelta(seconds=90)


@dataclass(frozen=True, kw_only=True)
class WorkerLine:
    """What a GPU worker said of itself: device, recipes, data sets, when it was last heard.

    ``problem`` is why it cannot train at all, empty where it can.
    """

    device: dict[str, Any]
    recipes: list[dict[str, Any]]
    data_roots: list[str]
    seen_at: datetime
    problem: str = ""


WORKERS = TypeAdapter(dict[str, WorkerLine])


@dataclass(frozen=True, kw_only=True)
class Worker(WorkerLine):
    """A GPU worker by its name, as it described itself."""

    name: str
    present: bool

    @property
    def is_able(self) -> bool:
        """Say whether it can take a run at all."""
        return not self.problem and bool(self.recipes) and bool(self.data_roots)


def announced_workers() -> dict[str, WorkerLine]:
    """Return what each GPU worker last said of itself, by its name. No query."""
    return cached.read(WORKERS_KEY, kind=WORKERS) or {}


def workers(*, now: datetime | None = None) -> list[Worker]:
    """Return the GPU workers heard of in the last week, present ones first. No query."""
    now = now or timezone.now()
    known = [
        Worker(name=name, present=line.seen_at > now - PRESENT, **vars(line))
        for name, line in announced_workers().items()
    ]
    return sorted(known, key=lambda worker: (not worker.present, worker.name))


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
    training_run = with_curves(runs_of(challenge)).filter(pk=pk).first()
    if training_run is None:
        raise refuse("not-found")
    return training_run


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
    """Return the mIoU of the runs' submissions as organisers may see it (one query).

    ``runs`` have their phase loaded.
    """
    by_submission = {run.submission_id: run for run in runs if run.submission_id}
    if not by_submission:
        return {}
    rows = (
        Score.objects.filter(
            evaluation__submission__in=by_submission, evaluation__state=State.SCORED.value
        )
        .order_by("evaluation__revision")
        .values_list("evaluation__submission", "miou", "rounded_miou")
    )
    found = {}
    for submission, full, rounded in rows:
        run = by_submission[submission]
        if run.phase is None:
            continue
        policy = phase_disclosure.policy_for(run.phase, viewer=Viewer.ORGANISER)
        miou = disclose_miou(full, rounded, policy=policy)
        if miou is not None:
            found[run.pk] = miou
    return found


def is_moving(run: TrainingRun) -> bool:
    """Say whether a run waits or goes on."""
    return run.state in (RunState.QUEUED, RunState.RUNNING)
