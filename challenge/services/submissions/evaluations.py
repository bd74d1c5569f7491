"""Every transition of an evaluation's state: claim, heartbeat, verdict, cancel, requeue, sweep.

The state machine is that of :mod:`challenge.services.leased_jobs`. Here is what is particular to
evaluations: fair claims, the quota ledger that moves with the state (hence locks in one order,
Entry before Evaluation), the score, and the notifications of a result.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Case, Count, IntegerField, Value, When
from django.utils import timezone

from challenge.errors import refuse
from challenge.models import Entry, Evaluation, GroundTruth, Score, Submission, TaskSpec, User
from challenge.rules.lifecycle import FINISHED_STATES, TRANSITIONS, QuotaMove, State
from challenge.rules.quota import Reason
from challenge.rules.roles import Act
from challenge.selectors import rescores, roles
from challenge.services import audit, database_clock, phase_lock
from challenge.services.challenges import splits
from challenge.services.leaderboard import ranks
from challenge.services.leased_jobs import LeasedJobs, SweepReport
from challenge.services.notifications import mails, webhooks
from challenge.services.storage import archives
from challenge.services.submissions import pictures, quota, scores
from challenge.services.task_queue import TaskName
from scoring.engine.metrics.card import ScoreCard
from scoring.engine.truth.split import CountedZones

CLAIM_LOCK = 0x666C6169_72  # serialises claims, so that fairness sees the claims before it


class EvaluationJobs(LeasedJobs[Evaluation]):
    """Evaluations as leased jobs."""

    model = Evaluation
    states = State
    active = State.SCORING
    transitions = TRANSITIONS
    lease_setting = "LEASE_S"
    task = TaskName.SCORE

    def lock(self, pk: int) -> Evaluation:
        """Lock the entry, then the evaluation, whose ``submission.entry`` is the locked row."""
        entry = lock_entry(
            Evaluation.objects.values_list("submission__entry", flat=True).get(pk=pk)
        )
        evaluation = (
            Evaluation.objects.select_for_update(of=("self",))
            .select_related("submission")
            .get(pk=pk)
        )
        evaluation.submission.entry = entry
        return evaluation

    def after_transition(self, job: Evaluation, old: State, *, now: datetime) -> None:
        """Write the quota ledger and queue the notifications of a live evaluation.

        Re-scores do neither. Where the ledger is written the entry is locked: by ``lock``, or by
        the caller.
        """
        if job.priority != Evaluation.Priority.LIVE:
            return
        new = State(job.state)
        submission = job.submission
        match TRANSITIONS[old, new].quota:
            case QuotaMove.CONSUMED:
                quota.consume(submission.entry, submission=submission, now=now)
            case QuotaMove.REFUNDED:
                quota.refund(
                    submission.entry, submission=submission, now=now, reason=Reason(new.value)
                )
            case QuotaMove.RESERVED:
                quota.reserve(
                    submission.entry, submission=submission, now=now, reason=Reason.REQUEUED
                )
        if new in FINISHED_STATES:
            queue_notifications(job, now=now)


jobs = EvaluationJobs()


@dataclass(frozen=True)
class Claim:
    """A queued evaluation taken by a worker, with all that scoring needs.

    ``task`` is the task specification's JSON; ``attempt`` goes into every later call; ``label``
    names the submission in logs. ``zones`` are those the score counts; ``split_commitment`` names
    their list, where the ground truth is split.
    """

    evaluation_id: int
    attempt: int
    submission_id: UUID
    archive: str
    archive_bytes: int
    archive_sha256: str
    task: dict[str, Any]
    task_digest: str
    truth_store: str
    truth_digest: str
    split_commitment: str
    zones: CountedZones
    label: str


def enqueue(
    *,
    submission: Submission,
    ground_truth: GroundTruth,
    task_spec: TaskSpec,
    priority: int = Evaluation.Priority.LIVE,
    revision: int = 1,
    actor: User | None = None,
    reason: str = "",
    now: datetime,
) -> Evaluation:
    """Queue one evaluation and notify workers on commit. The caller is in a transaction."""
    return jobs.enqueue(
        submission=submission,
        ground_truth=ground_truth,
        task_spec=task_spec,
        revision=revision,
        priority=priority,
        actor=actor,
        reason=reason,
        now=now,
    )


def claim(
    *,
    worker: str,
    label_files: Collection[str] | None = None,
    exclude: Collection[int] = (),
    now: datetime | None = None,
) -> Claim | None:
    """Take the fairest queued evaluation, or None where none waits (``exclude`` left out).

    ``label_files`` names the files of labels that the worker has: it takes nothing that needs more.
    Fair: the team with fewer running first, then live before re-scores, then age
    (:mod:`challenge.rules.fairness`). Claims follow one another under an advisory lock held for
    the few milliseconds of this transaction; rows locked by a cancel or a sweep are skipped.
    """
    now = now or database_clock.now()
    queued = jobs.claimable().exclude(pk__in=exclude)
    if label_files is not None:
        queued = queued.filter(splits.scorable_with(label_files))
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [CLAIM_LOCK])
        running = (
            jobs.running().order_by().values_list("submission__entry__team").annotate(Count("pk"))
        )
        counts = [When(submission__entry__team=team, then=Value(count)) for team, count in running]
        fairest = (
            queued.annotate(running=Case(*counts, default=Value(0), output_field=IntegerField()))
            .order_by("running", "priority", "queued_at", "pk")
            .select_for_update(skip_locked=True, of=("self",))
            .first()
        )
        if fairest is None:
            return None
        jobs.start_attempt(fairest, worker=worker, now=now, patches_done=0, patches_total=0)
    evaluation = Evaluation.objects.select_related(
        "submission__entry__phase__challenge", "ground_truth", "task_spec"
    ).get(pk=fairest.pk)
    submission = evaluation.submission
    return Claim(
        evaluation_id=evaluation.pk,
        attempt=evaluation.attempt,
        submission_id=submission.pk,
        archive=submission.archive,
        archive_bytes=submission.archive_bytes,
        archive_sha256=submission.archive_sha256,
        task=evaluation.task_spec.data,
        task_digest=evaluation.task_spec.digest,
        truth_store=evaluation.ground_truth.store_name,
        truth_digest=evaluation.ground_truth.digest,
        split_commitment=evaluation.ground_truth.split_commitment,
        zones=splits.counted_zones(evaluation.ground_truth, phase=submission.entry.phase),
        label=f"{submission.entry.phase} #{submission.number}",
    )


def heartbeat(
    evaluation_id: int,
    *,
    attempt: int,
    stage: str = "",
    patches_done: int = 0,
    patches_total: int = 0,
    now: datetime | None = None,
) -> bool:
    """Renew the lease and record the progress; False: the attempt is over, stop."""
    return jobs.renew(
        evaluation_id,
        attempt=attempt,
        now=now or database_clock.now(),
        stage=stage[:32],
        patches_done=patches_done,
        patches_total=patches_total,
    )


def complete_scored(
    evaluation_id: int,
    *,
    attempt: int,
    card: ScoreCard,
    zones: CountedZones = CountedZones.ALL,
    evidence_name: str = "",
    now: datetime | None = None,
) -> Score:
    """Write score, state, ledger and event in one transaction, then the phase's ranks.

    Raises Conflict ``late-worker`` when the attempt is over, or when the phase's scores no longer
    count the ``zones`` of this card: its lease runs out, and another attempt counts the others.
    What was scored under labels or a task that no longer count, or while others are to replace
    them, is queued under those, too.
    """
    now = now or database_clock.now()
    with transaction.atomic():
        of_phase = Evaluation.objects.values_list("submission__entry__phase", flat=True)
        phase_lock.share(of_phase.get(pk=evaluation_id))
        evaluation = jobs.lock_attempt(evaluation_id, attempt=attempt)
        phase = evaluation.submission.entry.phase
        if zones is not splits.counted_zones(evaluation.ground_truth, phase=phase):
            raise refuse("late-worker", attempt=attempt)
        score = scores.create(
            evaluation, card=card, zones=zones, evidence_name=evidence_name, now=now
        )
        jobs.transition(evaluation, State.SCORED, now=now)
        pictures.request(evaluation, now=now)
        if evaluation.priority == Evaluation.Priority.LIVE:
            for truth_id, task_id in rescores.wanted_besides(evaluation, phase):
                jobs.enqueue(
                    submission=evaluation.submission,
                    ground_truth_id=truth_id,
                    task_spec_id=task_id,
                    priority=Evaluation.Priority.RESCORE,
                    reason="re-score",
                    now=now,
                )
    ranks.recompute(phase=evaluation.submission.entry.phase, compare=True, now=now)
    return score


def complete_rejected(
    evaluation_id: int,
    *,
    attempt: int,
    problems: Sequence[Mapping[str, Any]],
    more: int = 0,
    now: datetime | None = None,
) -> None:
    """Record the participant's mistakes; the quota is refunded.

    ``problems`` are the score engine's ``Problem.to_json()``, ``more`` counts those not listed.
    Raises Conflict ``late-worker`` when the attempt is over.
    """
    now = now or database_clock.now()
    listed = [dict(problem) for problem in problems]
    code = str(listed[0]["code"]) if listed else ""
    with transaction.atomic():
        jobs.transition(
            jobs.lock_attempt(evaluation_id, attempt=attempt),
            State.REJECTED,
            now=now,
            reason=code,
            error_code=code[:64],
            problems=listed,
            problems_more=more,
        )


def mark_failed(
    evaluation_id: int, *, attempt: int, code: str, now: datetime | None = None
) -> None:
    """Record that the scorer itself failed: our fault, the quota is refunded.

    It is not tried again by itself (the same bytes would fail again); an organiser may queue it
    again. Raises Conflict ``late-worker`` when the attempt is over.
    """
    now = now or database_clock.now()
    with transaction.atomic():
        evaluation = jobs.lock_attempt(evaluation_id, attempt=attempt)
        jobs.transition(evaluation, State.FAILED, now=now, reason=code, error_code=code)


def notify_workers() -> bool:
    """Send the task name where an evaluation waits; False: none does, or the broker is away."""
    return jobs.notify_workers()


def sweep(*, now: datetime | None = None) -> SweepReport:
    """Queue the evaluations of lost workers again and notify workers while any waits.

    The third loss fails an evaluation and refunds it.
    """
    return jobs.sweep(now=now or database_clock.now())


def cancel(
    *,
    submission: Submission,
    actor: User,
    live_only: bool = False,
    reason: str = "",
    now: datetime | None = None,
) -> None:
    """Cancel a submission's queued evaluations; the quota is refunded.

    ``live_only`` leaves re-scores queued. Raises Conflict ``illegal-move`` when none is queued.
    """
    now = now or timezone.now()
    with transaction.atomic():
        entry = lock_entry(submission.entry_id)
        queued = jobs.queued().filter(submission=submission)
        if live_only:
            queued = queued.filter(priority=Evaluation.Priority.LIVE)
        waiting = list(
            queued.select_for_update(of=("self",)).select_related("submission").order_by("pk")
        )
        if not waiting:
            last = Evaluation.objects.filter(submission=submission).first()
            raise refuse(
                "illegal-move",
                state=last.state if last else "",
                wanted=State.CANCELLED.value,
            )
        for evaluation in waiting:
            evaluation.submission.entry = entry
            jobs.transition(
                evaluation,
                State.CANCELLED,
                now=now,
                actor=actor,
                reason=reason or Reason.CANCELLED,
            )


def requeue_failed(
    *, evaluation_id: int, actor: User | None, now: datetime | None = None
) -> Evaluation:
    """Queue a failed evaluation again with three fresh attempts; its quota is reserved again.

    Raises Conflict ``illegal-move`` when it is not failed, Gone ``archive-removed``, and what
    `roles.require` raises for who may not (``Act.RESCORE``; ``actor`` None is the operator).
    """
    now = now or timezone.now()
    with transaction.atomic():
        of_phase = Evaluation.objects.values_list("submission__entry__phase", flat=True)
        phase_lock.share(of_phase.get(pk=evaluation_id))
        evaluation = jobs.lock(evaluation_id)
        submission = evaluation.submission
        if actor is not None:
            roles.require(actor, Act.RESCORE, submission.entry.phase.challenge)
        if submission.archive_removed_at is not None:
            raise archives.removed_refusal(submission)
        jobs.requeue(evaluation, now=now, actor=actor, reason=Reason.REQUEUED, patches_done=0)
        audit.record(
            "evaluation.requeue",
            actor=actor,
            challenge=submission.entry.phase.challenge,
            target=submission.pk,
            now=now,
        )
    return evaluation


def queue_notifications(evaluation: Evaluation, *, now: datetime) -> None:
    """Queue mail and webhooks about a finished live evaluation, in the finishing transaction."""
    if evaluation.submission.mail_on_result:
        mails.notify_workers_on_commit()
    if webhooks.enqueue_result(evaluation, now=now):
        webhooks.notify_workers_on_commit()


def lock_entry(entry_id: int) -> Entry:
    """Return an entry locked until the transaction ends, with phase, challenge and team."""
    return (
        Entry.objects.select_for_update(of=("self",))
        .select_related("phase__challenge", "team")
        .get(pk=entry_id)
    )
