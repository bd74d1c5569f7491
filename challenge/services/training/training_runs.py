"""Every transition of a training run's state: create, claim, heartbeat, end, cancel, sweep.

The state machine is that of :mod:`challenge.services.leased_jobs`. A run may last days: its
heartbeat carries its progress, and says whether a person asked it to stop.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from challenge.errors import refuse
from challenge.models import (
    Phase,
    Submission,
    TrainingPoint,
    TrainingRun,
    User,
)
from challenge.rules.lifecycle import RUN_TRANSITIONS, RunState
from challenge.rules.roles import Act
from challenge.selectors import roles
from challenge.services import audit, database_clock
from challenge.services.leased_jobs import LeasedJobs, SweepReport
from challenge.services.task_queue import TaskName
from challenge.services.training import recipes

LOG_CHARACTERS = 20_000
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


@dataclass(frozen=True)
class RunClaim:
    """A queued run taken by a worker; ``attempt`` goes into every later call."""

    run_id: UUID
    attempt: int
    recipe: str
    data_root: str
    seed: int
    overrides: dict[str, Any]
    group: str
    phase: str | None
    recipe_text: str


@dataclass(frozen=True)
class HeartbeatReply:
    """The answer to a heartbeat: ``alive`` False: the attempt is over; ``cancel``: stop, please."""

    alive: bool
    cancel: bool

    def __bool__(self) -> bool:
        return self.alive and not self.cancel


class TrainingJobs(LeasedJobs[TrainingRun]):
    """Training runs as leased jobs."""

    model = TrainingRun
    states = RunState
    active = RunState.RUNNING
    transitions = RUN_TRANSITIONS
    lease_setting = "TRAINING_LEASE_S"
    task = TaskName.TRAIN

    def after_lost_lease(self, job: TrainingRun) -> RunState:
        """Say where a run goes whose worker was lost; one that was to stop is cancelled."""
        if job.cancel_requested_at is not None:
            return RunState.CANCELLED
        return RunState(super().after_lost_lease(job))


jobs = TrainingJobs()


def create(
    *,
    recipe: str,
    data_root: str,
    actor: User | None,
    seed: int = 2022,
    overrides: dict[str, Any] | None = None,
    group: str = "",
    phase: Phase | None = None,
    recipe_text: str = "",
    now: datetime | None = None,
) -> TrainingRun:
    """Queue a training run and notify GPU workers on commit.

    ``recipe_text`` is a recipe of the organiser's own; it is kept with its digest.

    ``phase`` is where its predictions are submitted when it is done (none: they are not). Raises
    Refusal ``recipe-invalid`` for a recipe or data root that is no plain name.
    """
    now = now or timezone.now()
    for name in (recipe, data_root):
        if not NAME.fullmatch(name):
            raise refuse("recipe-invalid", recipe=name[:80])
    digest = recipes.digest(recipe_text) if recipe_text else ""
    with transaction.atomic():
        run = jobs.enqueue(
            recipe=recipe,
            data_root=data_root,
            seed=seed,
            overrides=overrides or {},
            group=group,
            phase=phase,
            recipe_text=recipe_text,
            recipe_digest=digest,
            created_by=actor,
            actor=actor,
            now=now,
        )
        audit.record(
            "training.create",
            actor=actor,
            challenge=phase.challenge if phase else None,
            target=run.pk,
            now=now,
            recipe=recipe,
            seed=seed,
            **({"recipe_digest": digest} if digest else {}),
        )
    return run


def claim(
    *,
    worker: str,
    recipe_prefix: str = "",
    data_roots: Collection[str] | None = None,
    now: datetime | None = None,
) -> RunClaim | None:
    """Take the oldest queued run that this worker can do, or None where none waits.

    ``recipe_prefix`` limits a worker without a GPU to small recipes, ``data_roots`` to the data
    sets that it has.
    """
    now = now or database_clock.now()
    queued = jobs.claimable().filter(recipe__startswith=recipe_prefix)
    if data_roots is not None:
        queued = queued.filter(data_root__in=data_roots)
    with transaction.atomic():
        run = (
            queued.select_for_update(skip_locked=True, of=("self",))
            .order_by("queued_at", "pk")
            .first()
        )
        if run is None:
            return None
        jobs.start_attempt(run, worker=worker, now=now, progress={})
        # An attempt cut short may have left points; this one writes them again.
        run.points.all().delete()
    return RunClaim(
        run_id=run.pk,
        attempt=run.attempt,
        recipe=run.recipe,
        data_root=run.data_root,
        seed=run.seed,
        overrides=run.overrides,
        group=run.group,
        phase=str(run.phase) if run.phase else None,
        recipe_text=run.recipe_text,
    )


def notify_workers() -> bool:
    """Send the task name where a run waits; False: none does, or the broker is away."""
    return jobs.notify_workers()


def heartbeat(
    run_id: UUID,
    *,
    attempt: int,
    stage: str = "",
    progress: dict[str, Any] | None = None,
    device: dict[str, Any] | None = None,
    log_tail: str | None = None,
    now: datetime | None = None,
) -> HeartbeatReply:
    """Renew the lease and record what is given; the reply says whether to go on."""
    columns: dict[str, Any] = {}
    if stage:
        columns["stage"] = stage[:32]
    if progress is not None:
        columns["progress"] = progress
    if device is not None:
        columns["device"] = device
    if log_tail is not None:
        columns["log_tail"] = log_tail[-LOG_CHARACTERS:]
    alive = jobs.renew(run_id, attempt=attempt, now=now or database_clock.now(), **columns)
    stopping = jobs.running().filter(pk=run_id, cancel_requested_at__isnull=False)
    return HeartbeatReply(alive, alive and stopping.exists())


def record_epoch(
    run_id: UUID,
    *,
    attempt: int,
    epoch: int,
    metrics: dict[str, Any],
    again: bool = False,
    now: datetime | None = None,
) -> None:
    """Add or replace one point of a run's curves. Raises Conflict ``late-worker``.

    ``again``: an earlier attempt trained it. A new epoch is progress, after which a lost worker
    is the first again: days on machines that come and go must not end with the third of them.
    """
    now = now or database_clock.now()
    with transaction.atomic():
        run = jobs.lock_attempt(run_id, attempt=attempt)
        if not again and run.attempts_before < attempt - 1:
            run.attempts_before = attempt - 1
            run.save(update_fields=["attempts_before"])
        TrainingPoint.objects.update_or_create(
            run=run, epoch=epoch, defaults={"metrics": metrics, "at": now}
        )


def complete(
    run_id: UUID,
    *,
    attempt: int,
    result: dict[str, Any],
    submission: Submission | None = None,
    now: datetime | None = None,
) -> None:
    """Record that a run succeeded. Raises Conflict ``late-worker`` when the attempt is over."""
    now = now or database_clock.now()
    with transaction.atomic():
        run = jobs.lock_attempt(run_id, attempt=attempt)
        jobs.transition(run, RunState.SUCCEEDED, now=now, result=result, submission=submission)


def fail(
    run_id: UUID, *, attempt: int, code: str, message: str = "", now: datetime | None = None
) -> None:
    """Record that a run failed; it is not tried again by itself. Raises ``late-worker``."""
    now = now or database_clock.now()
    with transaction.atomic():
        run = jobs.lock_attempt(run_id, attempt=attempt)
        jobs.transition(
            run,
            RunState.FAILED,
            now=now,
            reason=code,
            error_code=code[:64],
            error_message=message[:LOG_CHARACTERS],
        )


def mark_cancelled(run_id: UUID, *, attempt: int, now: datetime | None = None) -> None:
    """Record that a worker stopped a run that a person asked to cancel."""
    now = now or database_clock.now()
    with transaction.atomic():
        run = jobs.lock_attempt(run_id, attempt=attempt)
        jobs.transition(run, RunState.CANCELLED, now=now, reason="cancelled")


def cancel(*, run: TrainingRun, actor: User, now: datetime | None = None) -> None:
    """Cancel a waiting run at once; ask the worker of a running one to stop.

    Raises Conflict ``illegal-move`` when it is over, and what `roles.require` raises for who may
    not (``Act.TRAINING``).
    """
    now = now or timezone.now()
    _require(actor, run)
    with transaction.atomic():
        locked = jobs.lock(run.pk)
        if locked.state == RunState.RUNNING:
            locked.cancel_requested_at = locked.cancel_requested_at or now
            locked.save(update_fields=["cancel_requested_at"])
        else:
            jobs.transition(locked, RunState.CANCELLED, now=now, actor=actor, reason="cancelled")
        audit.record("training.cancel", actor=actor, target=run.pk, now=now)


def requeue_failed(*, run: TrainingRun, actor: User, now: datetime | None = None) -> TrainingRun:
    """Queue a failed run again with fresh attempts (``Act.TRAINING``).

    Raises Conflict ``illegal-move`` and what `roles.require` raises.
    """
    now = now or timezone.now()
    _require(actor, run)
    with transaction.atomic():
        locked = jobs.lock(run.pk)
        jobs.requeue(
            locked,
            now=now,
            actor=actor,
            reason="requeued",
            cancel_requested_at=None,
            error_message="",
        )
        audit.record("training.requeue", actor=actor, target=run.pk, now=now)
    return locked


def _require(actor: User, run: TrainingRun) -> None:
    """Refuse who may not steer a run; one without a phase belongs to the operator's shell."""
    if run.phase is not None:
        roles.require(actor, Act.TRAINING, run.phase.challenge)


def sweep(*, now: datetime | None = None) -> SweepReport:
    """Queue runs of lost workers again and notify workers while any waits.

    Three losses without a new epoch between them fail a run.
    """
    return jobs.sweep(now=now or database_clock.now())
