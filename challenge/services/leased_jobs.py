"""The state machine of rows that are jobs: claim, renew, fence by attempt, expire, record.

PostgreSQL is the queue: a claim takes attempt + 1 and a lease, heartbeats renew it, and every
write of a worker carries its attempt, so that a worker that was given up is refused. Evaluations
and training runs differ in their states, in who is claimed next and in what a change of state
brings about; they say so in subclasses of :class:`LeasedJobs`. Nothing else assigns ``state``.
"""

from __future__ import annotations

import logging
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import Any, ClassVar, Generic, TypeVar

from django.conf import settings
from django.core.exceptions import ObjectDoesNotExist
from django.db import transaction
from django.db.models import Min, QuerySet
from structlog.contextvars import bound_contextvars

from challenge.errors import refuse
from challenge.models import User
from challenge.models.jobs import LeasedJob
from challenge.rules import lifecycle
from challenge.selectors import maintenance_mode
from challenge.services import task_queue
from challenge.services.task_queue import TaskName

log = logging.getLogger(__name__)

WORKER_LOST = "worker-lost"
# How long a job goes back to the queue for what no worker can do now: storage away, labels missing.
RETURNED_FOR = timedelta(hours=1)

Job = TypeVar("Job", bound=LeasedJob)


@dataclass
class SweepReport:
    """The primary keys of jobs whose lease had expired, by what became of them.

    ``waiting`` counts the jobs that are queued afterwards.
    """

    requeued: list[Any] = field(default_factory=list)
    failed: list[Any] = field(default_factory=list)
    cancelled: list[Any] = field(default_factory=list)
    waiting: int = 0


class LeasedJobs(Generic[Job]):
    """The jobs of one model. Every method that writes expects to be inside a transaction.

    ``states`` has the members QUEUED, FAILED and CANCELLED; ``active`` is the state of a claimed
    job, ``transitions`` are the legal changes. ``lease_setting`` names the setting that holds the
    lease in seconds, ``task`` the Celery task that works the queue off.
    """

    model: type[Job]
    states: ClassVar[Any]
    active: ClassVar[StrEnum]
    transitions: ClassVar[Container[tuple[Any, Any]]]
    lease_setting: ClassVar[str]
    task: ClassVar[TaskName]

    # --- What subclasses change -----------------------------------------------------------------

    def lock(self, pk: Any) -> Job:
        """Return the row locked, with whatever must be locked before it."""
        return self.rows().select_for_update(of=("self",)).get(pk=pk)

    def after_transition(self, job: Job, old: Any, *, now: datetime) -> None:
        """Do what a change of state from ``old`` brings about, in its transaction."""

    def after_lost_lease(self, job: Job) -> StrEnum:
        """Say where a job goes whose worker was lost: into the queue, the last time failed."""
        counted = job.attempt - job.attempts_before
        return self.states(lifecycle.after_lost_lease(counted).value)  # type: ignore[no-any-return]

    # --- The queue ------------------------------------------------------------------------------

    def rows(self) -> QuerySet[Job]:
        """Return all jobs."""
        return self.model._default_manager.all()

    def queued(self) -> QuerySet[Job]:
        """Return the jobs that wait for a worker."""
        return self.rows().filter(state=self.states.QUEUED.value)

    def claimable(self) -> QuerySet[Job]:
        """Return the jobs that a worker may take now: in maintenance none."""
        return self.model._default_manager.none() if maintenance_mode.current() else self.queued()

    def running(self) -> QuerySet[Job]:
        """Return the jobs that a worker holds, or held when it was lost."""
        return self.rows().filter(state=self.active.value)

    def notify_workers(self) -> bool:
        """Send the task name where a job waits; False where none does or the broker is away."""
        return self.queued().exists() and task_queue.send_task(self.task)

    # --- The life of a job ----------------------------------------------------------------------

    def insert(
        self, *, now: datetime, actor: User | None = None, reason: str = "", **columns: Any
    ) -> Job:
        """Return a new job, queued. Workers are not told."""
        job = self.model._default_manager.create(
            state=self.states.QUEUED.value, queued_at=now, **columns
        )
        self.record_event(job, "", now=now, actor=actor, reason=reason)
        return job

    def insert_ended(
        self,
        rows: Iterable[Mapping[str, Any]],
        new: StrEnum,
        *,
        worker: str,
        now: datetime,
        actor: User | None = None,
        reason: str = "",
    ) -> list[Job]:
        """Return new jobs of these columns, queued, claimed and ended in state ``new`` at once.

        With the events of all three, written in bulk. No worker can see one before it has ended,
        and :meth:`after_transition` is not called: for jobs whose end tells nobody. Raises Conflict
        ``illegal-move``.
        """
        queued = self.states.QUEUED
        for old, wanted in ((queued, self.active), (self.active, new)):
            if (old, wanted) not in self.transitions:
                raise refuse("illegal-move", state=old.value, wanted=wanted.value)
        jobs = self.model._default_manager.bulk_create(
            [
                self.model(
                    **columns,
                    state=new.value,
                    attempt=1,
                    queued_at=now,
                    started_at=now,
                    finished_at=now,
                    worker=worker[:120],
                )
                for columns in rows
            ]
        )
        steps = (
            ("", queued, 0, actor, reason),
            (queued.value, self.active, 1, None, ""),
            (self.active.value, new, 1, actor, ""),
        )
        relation = self.model._meta.get_field("events")
        event, job_field = relation.related_model, relation.field.name  # type: ignore[union-attr]
        event._default_manager.bulk_create(  # type: ignore[union-attr]
            event(  # type: ignore[misc]
                **{job_field: job},
                from_state=old,
                to_state=state.value,
                attempt=attempt,
                at=now,
                actor=who,
                reason=why[:200],
                **job.event_columns(),
            )
            for old, state, attempt, who, why in steps
            for job in jobs
        )
        ids = [job.log_ids() | {"attempt": 1} for job in jobs]
        transaction.on_commit(partial(_log_ends, ids, new.value, reason), robust=True)
        return jobs

    def enqueue(
        self, *, now: datetime, actor: User | None = None, reason: str = "", **columns: Any
    ) -> Job:
        """Return a new job, queued, and notify workers on commit."""
        job = self.insert(now=now, actor=actor, reason=reason, **columns)
        task_queue.send_task_on_commit(self.task)
        return job

    def start_attempt(self, job: Job, *, worker: str, now: datetime, **columns: Any) -> None:
        """Give a locked, queued job to a worker: attempt + 1 and a lease."""
        self.transition(
            job,
            self.active,
            now=now,
            attempt=job.attempt + 1,
            started_at=now,
            lease_until=self._lease_end(now),
            worker=worker[:120],
            stage="",
            **columns,
        )

    def renew(self, pk: Any, *, attempt: int, now: datetime, **columns: Any) -> bool:
        """Renew the lease and write ``columns``; False: the attempt is over."""
        held = self.running().filter(pk=pk, attempt=attempt)
        return held.update(lease_until=self._lease_end(now), **columns) == 1

    def lock_attempt(self, pk: Any, *, attempt: int) -> Job:
        """Lock a job for its worker's write.

        Raises Conflict ``late-worker``: the attempt is over, or the job was deleted.
        """
        try:
            job = self.lock(pk)
        except ObjectDoesNotExist:
            raise refuse("late-worker", attempt=attempt) from None
        if self.state_of(job) != self.active or job.attempt != attempt:
            raise refuse("late-worker", attempt=attempt)
        return job

    def return_to_queue(self, job: Job, *, code: str, now: datetime) -> bool:
        """Queue a locked, claimed job again that its worker cannot do now; True: it waits.

        That says nothing about the job, so the attempt is not counted. :data:`RETURNED_FOR` after
        the first time for this ``code`` it fails with it instead.
        """
        returned: QuerySet[Any] = job.events.filter(  # type: ignore[attr-defined]
            to_state=self.states.QUEUED.value, reason=code, at__gte=job.queued_at
        )
        first_at = returned.aggregate(first=Min("at"))["first"]
        if first_at is not None and now - first_at >= RETURNED_FOR:
            self.transition(job, self.states.FAILED, now=now, reason=code, error_code=code[:64])
            return False
        uncounted = job.attempts_before + 1
        self.transition(job, self.states.QUEUED, now=now, reason=code, attempts_before=uncounted)
        return True

    def requeue(
        self, job: Job, *, now: datetime, actor: User | None, reason: str, **columns: Any
    ) -> None:
        """Queue a locked, failed job again with fresh attempts, and notify workers on commit."""
        self.transition(
            job,
            self.states.QUEUED,
            now=now,
            actor=actor,
            reason=reason,
            queued_at=now,
            started_at=None,
            finished_at=None,
            attempts_before=job.attempt,
            error_code="",
            **columns,
        )
        task_queue.send_task_on_commit(self.task)

    def sweep(self, *, now: datetime) -> SweepReport:
        """End expired leases, then notify workers while any job waits. Opens transactions."""
        report = SweepReport()
        into = {
            self.states.QUEUED: report.requeued,
            self.states.FAILED: report.failed,
            self.states.CANCELLED: report.cancelled,
        }
        expired = self.running().filter(lease_until__lt=now).order_by("lease_until")
        for pk in expired.values_list("pk", flat=True):
            with transaction.atomic():
                job = self.lock(pk)
                # Renewed, ended or swept by another meanwhile.
                if job.lease_until is None or job.lease_until >= now:
                    continue
                new = self.after_lost_lease(job)
                columns: dict[str, Any] = {}
                if new == self.states.FAILED:
                    columns["error_code"] = WORKER_LOST
                self.transition(job, new, now=now, reason=WORKER_LOST, **columns)
                into[new].append(pk)
        report.waiting = self.queued().count()
        if report.waiting:
            task_queue.send_task_on_commit(self.task)
        return report

    def transition(
        self,
        job: Job,
        new: StrEnum,
        *,
        now: datetime,
        actor: User | None = None,
        reason: str = "",
        **columns: Any,
    ) -> None:
        """Change the state of a locked row, where that is legal: columns, event, consequences.

        Raises Conflict ``illegal-move``.
        """
        old = self.state_of(job)
        if (old, new) not in self.transitions:
            raise refuse("illegal-move", state=old.value, wanted=new.value)
        if new != self.active:
            columns = {"lease_until": None, "stage": ""} | columns
        if new not in (self.active, self.states.QUEUED):
            columns.setdefault("finished_at", now)
        columns["state"] = new.value
        for name, value in columns.items():
            setattr(job, name, value)
        job.save(update_fields=list(columns))
        self.record_event(job, old.value, now=now, actor=actor, reason=reason)
        self.after_transition(job, old, now=now)

    def record_event(
        self, job: Job, old: str, *, now: datetime, actor: User | None = None, reason: str = ""
    ) -> None:
        """Write the event of a change from ``old`` ("": a new job) to the job's state."""
        job.events.create(  # type: ignore[attr-defined]
            from_state=old,
            to_state=self.state_of(job).value,
            attempt=job.attempt,
            at=now,
            actor=actor,
            reason=reason[:200],
            **job.event_columns(),
        )
        ids = job.log_ids() | {"attempt": job.attempt}
        transaction.on_commit(
            partial(_log_event, ids, old, self.state_of(job).value, reason), robust=True
        )

    def state_of(self, job: Job) -> StrEnum:
        """Return the job's state as a member of its enum."""
        return self.states(job.state)  # type: ignore[attr-defined, no-any-return]

    def _lease_end(self, now: datetime) -> datetime:
        return now + timedelta(seconds=getattr(settings, self.lease_setting))


def _log_event(ids: dict[str, Any], old: str, new: str, reason: str) -> None:
    """Log a change of state that is committed, under the ids that a person searches for."""
    with bound_contextvars(**ids):
        log.info("%s to %s%s", old or "new", new, f" ({reason})" if reason else "")


def _log_ends(jobs: list[dict[str, Any]], new: str, reason: str) -> None:
    """Log the end of jobs that were never queued for a worker."""
    for ids in jobs:
        _log_event(ids, "", new, reason)
