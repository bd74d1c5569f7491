"""Every move of a training run's state, in the manner of services.evaluations.

The row is the queue of the GPU workers; the broker rings. A run may last days: its heartbeat
carries its progress, and says whether a person asked it to stop.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from challenge.errors import refuse
from challenge.models import (
    Phase,
    Submission,
    TrainingEvent,
    TrainingPoint,
    TrainingRun,
    User,
)
from challenge.rules.lifecycle import MAX_ATTEMPTS, RunState, may_run_move
from challenge.services import audit, dispatch

LEASE_S = 180
LOG_CHARACTERS = 20_000
WORKER_LOST = "worker-lost"
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


@dataclass(frozen=True)
class Beat:
    """The answer to a heartbeat: ``alive`` False means given up; ``cancel`` means stop please."""

    alive: bool
    cancel: bool

    def __bool__(self) -> bool:
        return self.alive and not self.cancel


@dataclass
class RunSweepReport:
    """What a sweep found and did."""

    requeued: list[UUID] = field(default_factory=list)
    failed: list[UUID] = field(default_factory=list)
    cancelled: list[UUID] = field(default_factory=list)
    waiting: int = 0


def create(
    *,
    recipe: str,
    data_root: str,
    actor: User | None,
    seed: int = 2022,
    overrides: dict[str, Any] | None = None,
    group: str = "",
    phase: Phase | None = None,
    now: datetime | None = None,
) -> TrainingRun:
    """Queue a training run and ring for a GPU worker on commit.

    ``phase`` is where its predictions are submitted when it is done (none: they are not). Raises
    Refusal ``recipe-invalid`` for a recipe or data root that is no plain name.
    """
    now = now or timezone.now()
    for name in (recipe, data_root):
        if not NAME.fullmatch(name):
            raise refuse("recipe-invalid", recipe=name[:80])
    with transaction.atomic():
        run = TrainingRun.objects.create(
            recipe=recipe,
            data_root=data_root,
            seed=seed,
            overrides=overrides or {},
            group=group,
            phase=phase,
            created_by=actor,
            state=RunState.QUEUED.value,
            queued_at=now,
        )
        _note(run, "", RunState.QUEUED, now=now, actor=actor)
        audit.record(
            "training.create",
            actor=actor,
            challenge=phase.challenge if phase else None,
            target=run.pk,
            now=now,
            recipe=recipe,
            seed=seed,
        )
        dispatch.ring(dispatch.Bell.TRAIN)
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
    now = now or timezone.now()
    queued = TrainingRun.objects.filter(
        state=RunState.QUEUED.value, recipe__startswith=recipe_prefix
    )
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
        _move(
            run,
            RunState.RUNNING,
            now=now,
            attempt=run.attempt + 1,
            started_at=now,
            lease_until=now + _lease(),
            worker=worker[:120],
            stage="",
            progress={},
        )
        # What an attempt cut short left of its curves is drawn anew.
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
    )


def ring_again() -> bool:
    """Ring where a run still waits; False when none does or the ring was lost."""
    waiting = TrainingRun.objects.filter(state=RunState.QUEUED.value).exists()
    return waiting and dispatch.send(dispatch.Bell.TRAIN)


def heartbeat(
    run_id: UUID,
    *,
    attempt: int,
    stage: str = "",
    progress: dict[str, Any] | None = None,
    device: dict[str, Any] | None = None,
    log_tail: str | None = None,
    now: datetime | None = None,
) -> Beat:
    """Renew the lease, note what is given; the answer says whether to go on."""
    now = now or timezone.now()
    columns: dict[str, Any] = {"lease_until": now + _lease()}
    if stage:
        columns["stage"] = stage[:32]
    if progress is not None:
        columns["progress"] = progress
    if device is not None:
        columns["device"] = device
    if log_tail is not None:
        columns["log_tail"] = log_tail[-LOG_CHARACTERS:]
    ours = TrainingRun.objects.filter(pk=run_id, state=RunState.RUNNING.value, attempt=attempt)
    alive = ours.update(**columns) == 1
    return Beat(alive, alive and ours.filter(cancel_requested_at__isnull=False).exists())


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
    now = now or timezone.now()
    with transaction.atomic():
        run = _lock_attempt(run_id, attempt=attempt)
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
    now = now or timezone.now()
    with transaction.atomic():
        run = _lock_attempt(run_id, attempt=attempt)
        _move(run, RunState.SUCCEEDED, now=now, result=result, submission=submission, stage="")


def fail(
    run_id: UUID, *, attempt: int, code: str, message: str = "", now: datetime | None = None
) -> None:
    """Record that a run broke; it is not tried again by itself. Raises ``late-worker``."""
    now = now or timezone.now()
    with transaction.atomic():
        run = _lock_attempt(run_id, attempt=attempt)
        _move(
            run,
            RunState.FAILED,
            now=now,
            reason=code,
            error_code=code[:64],
            error_message=message[:LOG_CHARACTERS],
            stage="",
        )


def stopped(run_id: UUID, *, attempt: int, now: datetime | None = None) -> None:
    """Record that a worker stopped a run that a person asked to cancel."""
    now = now or timezone.now()
    with transaction.atomic():
        run = _lock_attempt(run_id, attempt=attempt)
        _move(run, RunState.CANCELLED, now=now, reason="cancelled", stage="")


def cancel(*, run: TrainingRun, actor: User, now: datetime | None = None) -> None:
    """Cancel a waiting run at once; ask the worker of a running one to stop.

    Raises Conflict ``illegal-move`` when it is over.
    """
    now = now or timezone.now()
    with transaction.atomic():
        locked = TrainingRun.objects.select_for_update(of=("self",)).get(pk=run.pk)
        if locked.state == RunState.RUNNING:
            locked.cancel_requested_at = locked.cancel_requested_at or now
            locked.save(update_fields=["cancel_requested_at"])
        else:
            _move(locked, RunState.CANCELLED, now=now, actor=actor, reason="cancelled")
        audit.record("training.cancel", actor=actor, target=run.pk, now=now)


def requeue_failed(*, run: TrainingRun, actor: User, now: datetime | None = None) -> TrainingRun:
    """Queue a failed run again with fresh attempts. Raises Conflict ``illegal-move``."""
    now = now or timezone.now()
    with transaction.atomic():
        locked = TrainingRun.objects.select_for_update(of=("self",)).get(pk=run.pk)
        _move(
            locked,
            RunState.QUEUED,
            now=now,
            actor=actor,
            reason="requeued",
            queued_at=now,
            started_at=None,
            finished_at=None,
            attempts_before=locked.attempt,
            cancel_requested_at=None,
            error_code="",
            error_message="",
        )
        audit.record("training.requeue", actor=actor, target=run.pk, now=now)
        dispatch.ring(dispatch.Bell.TRAIN)
    return locked


def sweep(*, now: datetime | None = None) -> RunSweepReport:
    """Queue runs of lost workers again (three attempts without an epoch), ring while any waits."""
    now = now or timezone.now()
    report = RunSweepReport()
    expired = TrainingRun.objects.filter(state=RunState.RUNNING.value, lease_until__lt=now)
    for pk in expired.values_list("pk", flat=True):
        with transaction.atomic():
            run = (
                TrainingRun.objects.select_for_update(skip_locked=True, of=("self",))
                .filter(pk=pk, state=RunState.RUNNING.value, lease_until__lt=now)
                .first()
            )
            if run is None:
                continue
            if run.cancel_requested_at is not None:
                _move(run, RunState.CANCELLED, now=now, reason=WORKER_LOST, stage="")
                report.cancelled.append(run.pk)
            elif run.attempt - run.attempts_before < MAX_ATTEMPTS:
                _move(run, RunState.QUEUED, now=now, reason=WORKER_LOST, stage="")
                report.requeued.append(run.pk)
            else:
                _move(
                    run,
                    RunState.FAILED,
                    now=now,
                    reason=WORKER_LOST,
                    error_code=WORKER_LOST,
                    stage="",
                )
                report.failed.append(run.pk)
    report.waiting = TrainingRun.objects.filter(state=RunState.QUEUED.value).count()
    if report.waiting:
        dispatch.ring(dispatch.Bell.TRAIN)
    return report


def _lease() -> timedelta:
    return timedelta(seconds=getattr(settings, "TRAINING_LEASE_S", LEASE_S))


def _lock_attempt(run_id: UUID, *, attempt: int) -> TrainingRun:
    run = TrainingRun.objects.select_for_update(of=("self",)).get(pk=run_id)
    if run.state != RunState.RUNNING or run.attempt != attempt:
        raise refuse("late-worker", attempt=attempt)
    return run


def _move(
    run: TrainingRun,
    new: RunState,
    *,
    now: datetime,
    actor: User | None = None,
    reason: str = "",
    **columns: Any,
) -> None:
    old = RunState(run.state)
    if not may_run_move(old, new):
        raise refuse("illegal-move", state=old.value, wanted=new.value)
    if new is not RunState.RUNNING:
        columns.setdefault("lease_until", None)
    if new not in {RunState.QUEUED, RunState.RUNNING}:
        columns.setdefault("finished_at", now)
    columns["state"] = new.value
    for name, value in columns.items():
        setattr(run, name, value)
    run.save(update_fields=list(columns))
    _note(run, old.value, new, now=now, actor=actor, reason=reason)


def _note(
    run: TrainingRun,
    old: str,
    new: RunState,
    *,
    now: datetime,
    actor: User | None = None,
    reason: str = "",
) -> None:
    TrainingEvent.objects.create(
        run=run,
        from_state=old,
        to_state=new.value,
        attempt=run.attempt,
        at=now,
        actor=actor,
        reason=reason[:200],
    )
