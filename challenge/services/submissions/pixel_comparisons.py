"""Pixel comparisons from the desk: asked for, claimed by a worker, its result stored.

The row is the queue (:mod:`challenge.services.leased_jobs`). What a comparison found is for
organisers alone and decides nothing: a judge looks at the pairs and disqualifies, or not.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from challenge.errors import refuse
from challenge.models import Phase, PixelComparison, Submission, User
from challenge.rules.lifecycle import RUN_TRANSITIONS, RunState
from challenge.rules.roles import Act
from challenge.selectors import duplicates as selector
from challenge.selectors import roles
from challenge.services import audit, database_clock
from challenge.services.leased_jobs import LeasedJobs, SweepReport
from challenge.services.task_queue import TaskName

# As many packed submissions are open on a worker at once.
MOST = 30


class PixelComparisonJobs(LeasedJobs[PixelComparison]):
    """Pixel comparisons as leased jobs."""

    model = PixelComparison
    states = RunState
    active = RunState.RUNNING
    transitions = RUN_TRANSITIONS
    lease_setting = "LEASE_S"
    task = TaskName.COMPARE_PIXELS


jobs = PixelComparisonJobs()


@dataclass(frozen=True)
class Claim:
    """A comparison taken by a worker; ``attempt`` goes into every later call."""

    comparison_id: int
    attempt: int
    phase_id: int
    submission_ids: tuple[str, ...]

    @property
    def label(self) -> str:
        """The comparison in logs."""
        return f"pixel comparison {self.comparison_id}"


def request(
    *,
    phase: Phase,
    actor: User,
    best: int = 20,
    chosen: Sequence[UUID] = (),
    now: datetime | None = None,
) -> PixelComparison:
    """Ask for a comparison of the lines of the ``best`` teams, and of ``chosen`` submissions.

    Raises what `roles.require` raises for ``Act.VERDICTS``; Refusal ``comparison-size-invalid``
    where they are more than ``MOST``, ``comparison-submission-unknown`` for one that is not of the
    phase, ``comparison-too-few`` for fewer than two teams, Conflict ``comparison-open`` while one
    has not ended, ``phase-not-ready`` for a phase without labels or a task.
    """
    now = now or timezone.now()
    roles.require(actor, Act.VERDICTS, phase.challenge)
    if not 0 <= best <= MOST or len(set(chosen)) > MOST:
        raise refuse("comparison-size-invalid", found=max(best, len(set(chosen))), allowed=MOST)
    if phase.ground_truth_id is None or phase.task_spec_id is None:
        raise refuse("phase-not-ready")
    with transaction.atomic():
        Phase.objects.select_for_update(of=("self",)).get(pk=phase.pk)
        if selector.open_comparison(phase) is not None:
            raise refuse("comparison-open")
        wanted = _wanted(phase, best=best, chosen=list(dict.fromkeys(chosen)))
        row = jobs.enqueue(
            phase=phase,
            created_by=actor,
            actor=actor,
            submissions=[str(one.pk) for one in wanted],
            now=now,
        )
        audit.record(
            "comparison.request",
            actor=actor,
            challenge=phase.challenge,
            target=phase,
            now=now,
            submissions=row.submissions,
        )
    return row


def cancel(*, row: PixelComparison, actor: User, now: datetime | None = None) -> None:
    """End a comparison without a result. Raises NotAllowed, Conflict ``illegal-move``."""
    now = now or timezone.now()
    roles.require(actor, Act.VERDICTS, row.phase.challenge)
    with transaction.atomic():
        jobs.transition(jobs.lock(row.pk), RunState.CANCELLED, now=now, actor=actor)
        audit.record(
            "comparison.cancel",
            actor=actor,
            challenge=row.phase.challenge,
            target=row.phase,
            now=now,
        )


def claim(
    *, worker: str, exclude: Collection[int] = (), now: datetime | None = None
) -> Claim | None:
    """Take the comparison that waits longest (``exclude`` left out), or None."""
    now = now or database_clock.now()
    with transaction.atomic():
        waiting = jobs.claimable().exclude(pk__in=exclude).order_by("queued_at", "pk")
        row = waiting.select_for_update(skip_locked=True, of=("self",)).first()
        if row is None:
            return None
        jobs.start_attempt(row, worker=worker, now=now, done=0, total=0)
    return Claim(row.pk, row.attempt, row.phase_id, tuple(row.submissions))


def heartbeat(comparison_id: int, *, attempt: int, stage: str, done: int, total: int) -> bool:
    """Renew the lease and record the progress; False: the attempt is over."""
    now = database_clock.now()
    return jobs.renew(
        comparison_id, attempt=attempt, now=now, stage=stage[:32], done=done, total=total
    )


def complete(comparison_id: int, *, attempt: int, result: dict[str, Any]) -> None:
    """Store what was found. Raises Conflict ``late-worker``."""
    with transaction.atomic():
        row = jobs.lock_attempt(comparison_id, attempt=attempt)
        jobs.transition(row, RunState.SUCCEEDED, now=database_clock.now(), result=result)


def return_to_queue(
    comparison_id: int, *, attempt: int, code: str, now: datetime | None = None
) -> bool:
    """Queue a comparison again whose archives are out of reach now; True: it waits.

    An hour after the first time it fails with ``code``. Raises Conflict ``late-worker``.
    """
    with transaction.atomic():
        row = jobs.lock_attempt(comparison_id, attempt=attempt)
        return jobs.return_to_queue(row, code=code, now=now or database_clock.now())


def mark_failed(comparison_id: int, *, attempt: int, code: str) -> None:
    """Write that we are at fault. Raises Conflict ``late-worker``."""
    with transaction.atomic():
        row = jobs.lock_attempt(comparison_id, attempt=attempt)
        now = database_clock.now()
        jobs.transition(row, RunState.FAILED, now=now, reason=code, error_code=code[:64])


def sweep(*, now: datetime | None = None) -> SweepReport:
    """Queue the comparisons of lost workers again and notify workers while any waits."""
    return jobs.sweep(now=now or database_clock.now())


def _wanted(phase: Phase, *, best: int, chosen: list[UUID]) -> list[Submission]:
    """Return the submissions to compare, the best first, then those that were chosen."""
    found = {one.pk: one for one in selector.best(phase, count=best)}
    rows = Submission.objects.select_related("entry").filter(entry__phase=phase, pk__in=chosen)
    added = {one.pk: one for one in rows}
    for pk in chosen:
        if pk not in added:
            raise refuse("comparison-submission-unknown", submission=str(pk))
        found.setdefault(pk, added[pk])
    if len(found) > MOST:
        raise refuse("comparison-size-invalid", found=len(found), allowed=MOST)
    if len({one.entry.team_id for one in found.values()}) < 2:
        raise refuse("comparison-too-few")
    return list(found.values())
