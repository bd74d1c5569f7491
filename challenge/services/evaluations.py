"""Every move of an evaluation's state (design, section 5). Nothing else assigns ``state``.

The row is the queue. A claim takes attempt + 1 and a lease; heartbeats renew it; every write of a
worker carries its attempt, so that a worker that was given up is refused. Locks are taken in one
order, Entry before Evaluation, wherever the quota's ledger moves with the state.

Longer than other files on purpose: the whole state machine is read in one place, and only here is
``_move`` within reach.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Case, Count, IntegerField, Max, Min, Value, When
from django.utils import timezone

from challenge.errors import refuse
from challenge.models import (
    Entry,
    Evaluation,
    EvaluationEvent,
    GroundTruth,
    Phase,
    Score,
    Submission,
    TaskSpec,
    User,
)
from challenge.rules.lifecycle import MOVES, OPEN_STATES, QuotaMove, State, after_lost_lease
from challenge.rules.quota import Reason
from challenge.services import archives, audit, dispatch, mails, quota, ranks, webhooks

log = logging.getLogger(__name__)

CLAIM_LOCK = 0x666C6169_72  # serialises claims, so that fairness sees the claims before it
WORKER_LOST = "worker-lost"
GIVEN_BACK_FOR = timedelta(hours=1)


@dataclass(frozen=True)
class Claim:
    """A queued evaluation taken by a worker, with all that scoring needs.

    ``task`` is the task specification's JSON; ``attempt`` goes into every later call.
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
    where: str


@dataclass
class SweepReport:
    """What a sweep found and did."""

    requeued: list[int] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)
    waiting: int = 0
    phases_ranked: list[int] = field(default_factory=list)


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
    """Put one evaluation into the queue and ring on commit. The caller is in a transaction."""
    evaluation = Evaluation.objects.create(
        submission=submission,
        ground_truth=ground_truth,
        task_spec=task_spec,
        revision=revision,
        priority=priority,
        state=State.QUEUED.value,
        queued_at=now,
    )
    _note(evaluation, "", State.QUEUED, now=now, actor=actor, reason=reason)
    dispatch.ring(dispatch.Bell.SCORE)
    return evaluation


def claim(
    *, worker: str, but_not: Collection[int] = (), now: datetime | None = None
) -> Claim | None:
    """Take the fairest queued evaluation, or None where nothing waits (``but_not`` left out).

    Fair: the team with fewer running first, then live before re-scores, then age
    (:mod:`challenge.rules.fairness`). Claims follow one another under an advisory lock held for
    the few milliseconds of this transaction; rows locked by a cancel or a sweep are skipped.
    """
    now = now or timezone.now()
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [CLAIM_LOCK])
        running = (
            Evaluation.objects.filter(state=State.SCORING.value)
            .order_by()
            .values_list("submission__entry__team")
            .annotate(Count("pk"))
        )
        turns = [When(submission__entry__team=team, then=Value(count)) for team, count in running]
        fairest = (
            Evaluation.objects.filter(state=State.QUEUED.value)
            .exclude(pk__in=but_not)
            .annotate(running=Case(*turns, default=Value(0), output_field=IntegerField()))
            .order_by("running", "priority", "queued_at", "pk")
            .select_for_update(skip_locked=True, of=("self",))
            .first()
        )
        if fairest is None:
            return None
        _take(fairest, worker=worker, now=now)
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
        where=f"{submission.entry.phase} #{submission.number}",
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
    """Renew the lease and note the progress; False: given up, the worker must stop."""
    now = now or timezone.now()
    moved = Evaluation.objects.filter(
        pk=evaluation_id, state=State.SCORING.value, attempt=attempt
    ).update(
        lease_until=now + _lease(),
        stage=stage[:32],
        patches_done=patches_done,
        patches_total=patches_total,
    )
    return moved == 1


def complete_scored(
    evaluation_id: int,
    *,
    attempt: int,
    card: Mapping[str, Any],
    evidence_name: str = "",
    now: datetime | None = None,
) -> Score:
    """Write score, state, ledger and event in one transaction, then the phase's ranks.

    ``card`` is the engine's score card. Raises Conflict ``late-worker`` when the attempt is over.
    """
    now = now or timezone.now()
    with transaction.atomic():
        evaluation, entry = _lock_attempt(evaluation_id, attempt=attempt)
        score = _write_score(evaluation, card=card, evidence_name=evidence_name, now=now)
        _move(evaluation, State.SCORED, entry=entry, now=now, stage="")
        _tell(evaluation, now=now)
    ranks.recompute(phase=entry.phase, compare=True, now=now)
    return score


def complete_rejected(
    evaluation_id: int,
    *,
    attempt: int,
    problems: Sequence[Mapping[str, Any]],
    more: int = 0,
    now: datetime | None = None,
) -> None:
    """Record the participant's mistakes; the place is refunded.

    ``problems`` are the engine's ``Problem.to_json()``, ``more`` counts those not listed. Raises
    Conflict ``late-worker`` when the attempt is over.
    """
    now = now or timezone.now()
    with transaction.atomic():
        evaluation, entry = _lock_attempt(evaluation_id, attempt=attempt)
        listed = [dict(problem) for problem in problems]
        _move(
            evaluation,
            State.REJECTED,
            entry=entry,
            now=now,
            reason=str(listed[0]["code"]) if listed else "",
            stage="",
            error_code=str(listed[0]["code"])[:64] if listed else "",
            problems=listed,
            problems_more=more,
        )
        _tell(evaluation, now=now)


def complete_broken(
    evaluation_id: int, *, attempt: int, code: str, now: datetime | None = None
) -> None:
    """Record that the scorer itself broke: failed at once, our fault, the place is refunded.

    A verdict is not tried again by itself (the same bytes would break it again); an organiser may
    queue it again. Raises Conflict ``late-worker`` when the attempt is over.
    """
    now = now or timezone.now()
    with transaction.atomic():
        evaluation, entry = _lock_attempt(evaluation_id, attempt=attempt)
        _move(
            evaluation, State.FAILED, entry=entry, now=now, reason=code, stage="", error_code=code
        )
        _tell(evaluation, now=now)


def ring_again() -> bool:
    """Ring where something still waits; False when nothing does or the ring was lost."""
    waiting = Evaluation.objects.filter(state=State.QUEUED.value).exists()
    return waiting and dispatch.send(dispatch.Bell.SCORE)


def release(evaluation_id: int, *, attempt: int, reason: str, now: datetime | None = None) -> bool:
    """Give a claim back (a worker that shuts down); False when it was no longer ours."""
    now = now or timezone.now()
    with transaction.atomic():
        evaluation = (
            Evaluation.objects.select_for_update()
            .filter(pk=evaluation_id, state=State.SCORING.value, attempt=attempt)
            .first()
        )
        if evaluation is None:
            return False
        _move(evaluation, State.QUEUED, now=now, reason=reason, stage="")
        dispatch.ring(dispatch.Bell.SCORE)
    return True


def give_back(evaluation_id: int, *, attempt: int, code: str, now: datetime | None = None) -> bool:
    """Return a claim that this worker cannot serve: no labels here, no way to the archives.

    That says nothing about the archive and costs no attempt. True: it waits again. After
    ``GIVEN_BACK_FOR`` of such returns it fails with ``code`` instead. Raises Conflict
    ``late-worker`` when the attempt is over.
    """
    now = now or timezone.now()
    with transaction.atomic():
        evaluation, entry = _lock_attempt(evaluation_id, attempt=attempt)
        first = evaluation.events.filter(
            to_state=State.QUEUED.value, reason=code, at__gte=evaluation.queued_at
        ).aggregate(first=Min("at"))["first"]
        if first is None or now - first < GIVEN_BACK_FOR:
            uncounted = evaluation.attempts_before + 1
            _move(
                evaluation, State.QUEUED, now=now, reason=code, stage="", attempts_before=uncounted
            )
            return True
        _move(
            evaluation, State.FAILED, entry=entry, now=now, reason=code, stage="", error_code=code
        )
        _tell(evaluation, now=now)
    return False


def cancel(
    *,
    submission: Submission,
    actor: User,
    live_only: bool = False,
    reason: str = "",
    now: datetime | None = None,
) -> None:
    """Take a submission's waiting evaluations out of the queue; the place is refunded.

    ``live_only`` leaves re-scores waiting. Raises Conflict ``illegal-move`` when nothing waits any
    more.
    """
    now = now or timezone.now()
    with transaction.atomic():
        entry = _lock_entry(submission.entry_id)
        queued = Evaluation.objects.filter(submission=submission, state=State.QUEUED.value)
        if live_only:
            queued = queued.filter(priority=Evaluation.Priority.LIVE)
        waiting = list(queued.select_for_update().order_by("pk"))
        if not waiting:
            last = Evaluation.objects.filter(submission=submission).first()
            raise refuse(
                "illegal-move",
                state=last.state if last else "",
                wanted=State.CANCELLED.value,
            )
        for evaluation in waiting:
            _move(
                evaluation,
                State.CANCELLED,
                entry=entry,
                now=now,
                actor=actor,
                reason=reason or Reason.CANCELLED,
            )


def requeue_failed(
    *, evaluation_id: int, actor: User | None, now: datetime | None = None
) -> Evaluation:
    """Queue a failed evaluation again, with three fresh attempts. Its place is reserved again.

    Raises Conflict ``illegal-move`` when it is not failed, Gone ``archive-removed``.
    """
    now = now or timezone.now()
    with transaction.atomic():
        evaluation, entry = _lock(evaluation_id)
        if evaluation.submission.archive_removed_at is not None:
            raise archives.removed(evaluation.submission)
        _move(
            evaluation,
            State.QUEUED,
            entry=entry,
            now=now,
            actor=actor,
            reason=Reason.REQUEUED,
            error_code="",
            queued_at=now,
            started_at=None,
            finished_at=None,
            attempts_before=evaluation.attempt,
            patches_done=0,
        )
        audit.record(
            "evaluation.requeue",
            actor=actor,
            challenge=entry.phase.challenge,
            target=evaluation.submission_id,
            now=now,
        )
        dispatch.ring(dispatch.Bell.SCORE)
    return evaluation


def enqueue_rescore(
    *,
    phase: Phase,
    submissions: Iterable[Submission] | None = None,
    ground_truth: GroundTruth | None = None,
    task_spec: TaskSpec | None = None,
    force: bool = False,
    actor: User | None,
    now: datetime | None = None,
) -> list[Evaluation]:
    """Queue submissions of a phase for scoring under a truth and a task (default: the phase's).

    Behind live submissions of equally busy teams; earlier scores stay, and nothing is charged. A
    submission already scored or waiting under both is left alone unless ``force`` (a new engine)
    asks for a further revision; a failed one is queued again, one whose archive was removed is
    left out. Returns what was queued; raises Conflict ``nothing-to-rescore`` when that is nothing.
    """
    now = now or timezone.now()
    truth = ground_truth or phase.ground_truth
    task = task_spec or phase.task_spec
    if truth is None or task is None:
        raise refuse("phase-not-ready")
    if truth.challenge_id != phase.challenge_id or task.challenge_id != phase.challenge_id:
        raise refuse("wrong-challenge")
    queued: list[Evaluation] = []
    with transaction.atomic():
        wanted = Submission.objects.filter(
            entry__phase=phase, archive_removed_at__isnull=True
        ).order_by("created_at")
        if submissions is not None:
            wanted = wanted.filter(pk__in=[submission.pk for submission in submissions])
        latest: dict[UUID, Evaluation] = {}
        for evaluation in Evaluation.objects.filter(
            submission__in=wanted, ground_truth=truth, task_spec=task
        ).order_by("revision"):
            latest[evaluation.submission_id] = evaluation
        for submission in wanted:
            last = latest.get(submission.pk)
            if last is not None and State(last.state) in OPEN_STATES:
                continue
            if last is not None and last.state == State.FAILED:
                queued.append(requeue_failed(evaluation_id=last.pk, actor=actor, now=now))
                continue
            if last is not None and not force:
                continue
            queued.append(
                enqueue(
                    submission=submission,
                    ground_truth=truth,
                    task_spec=task,
                    priority=Evaluation.Priority.RESCORE,
                    revision=last.revision + 1 if last else 1,
                    actor=actor,
                    reason="re-score",
                    now=now,
                )
            )
        if not queued:
            raise refuse("nothing-to-rescore")
        audit.record(
            "phase.rescore",
            actor=actor,
            challenge=phase.challenge,
            target=phase,
            now=now,
            evaluations=len(queued),
            ground_truth=str(truth),
            task_spec=str(task),
            force=force,
        )
    return queued


def record_rescored(
    *,
    submission: Submission,
    ground_truth: GroundTruth,
    task_spec: TaskSpec,
    card: Mapping[str, Any],
    evidence_name: str,
    worker: str,
    actor: User | None,
    now: datetime | None = None,
) -> Score:
    """Record a score computed from kept evidence, as a whole life in one transaction.

    No worker can see the row before it is scored. Ranks are the caller's to recompute.
    """
    now = now or timezone.now()
    with transaction.atomic():
        last = Evaluation.objects.filter(
            submission=submission, ground_truth=ground_truth, task_spec=task_spec
        ).aggregate(last=Max("revision"))["last"]
        evaluation = Evaluation.objects.create(
            submission=submission,
            ground_truth=ground_truth,
            task_spec=task_spec,
            revision=(last or 0) + 1,
            priority=Evaluation.Priority.RESCORE,
            state=State.QUEUED.value,
            queued_at=now,
        )
        _note(evaluation, "", State.QUEUED, now=now, actor=actor, reason="from evidence")
        _take(evaluation, worker=worker, now=now)
        score = _write_score(evaluation, card=card, evidence_name=evidence_name, now=now)
        _move(evaluation, State.SCORED, now=now, actor=actor)
    return score


def sweep(*, now: datetime | None = None) -> SweepReport:
    """Make true what a lost worker, message or broker left undone.

    Expired leases go back into the queue (the third loss fails the evaluation and refunds it),
    the bell rings again while anything waits, stale ranks are recomputed, unsent news rung for.
    """
    now = now or timezone.now()
    report = SweepReport()
    expired = Evaluation.objects.filter(state=State.SCORING.value, lease_until__lt=now)
    for pk in expired.order_by("lease_until").values_list("pk", flat=True):
        with transaction.atomic():
            evaluation, entry = _lock(pk)
            lease = evaluation.lease_until
            if evaluation.state != State.SCORING or lease is None or lease >= now:
                continue
            attempts = evaluation.attempt - evaluation.attempts_before
            if after_lost_lease(attempts) is State.QUEUED:
                _move(evaluation, State.QUEUED, now=now, reason=WORKER_LOST, stage="")
                report.requeued.append(pk)
            else:
                _move(
                    evaluation,
                    State.FAILED,
                    entry=entry,
                    now=now,
                    reason=WORKER_LOST,
                    stage="",
                    error_code=WORKER_LOST,
                )
                _tell(evaluation, now=now)
                report.failed.append(pk)
    report.waiting = Evaluation.objects.filter(state=State.QUEUED.value).count()
    if report.waiting:
        dispatch.ring(dispatch.Bell.SCORE)
    for phase in ranks.stale_phases(now=now):
        ranks.recompute(phase=phase, compare=True, now=now)
        report.phases_ranked.append(phase.pk)
    if mails.is_due():
        dispatch.ring(dispatch.Bell.SEND_MAIL)
    if webhooks.is_due(now=now):
        dispatch.ring(dispatch.Bell.DELIVER_WEBHOOKS)
    return report


def _lease() -> timedelta:
    return timedelta(seconds=settings.LEASE_S)


def _lock_entry(entry_id: int) -> Entry:
    return (
        Entry.objects.select_for_update(of=("self",))
        .select_related("phase__challenge", "team")
        .get(pk=entry_id)
    )


def _lock(evaluation_id: int) -> tuple[Evaluation, Entry]:
    """Lock the entry, then the evaluation."""
    entry_id = Evaluation.objects.values_list("submission__entry", flat=True).get(pk=evaluation_id)
    entry = _lock_entry(entry_id)
    evaluation = (
        Evaluation.objects.select_for_update(of=("self",))
        .select_related("submission")
        .get(pk=evaluation_id)
    )
    return evaluation, entry


def _lock_attempt(evaluation_id: int, *, attempt: int) -> tuple[Evaluation, Entry]:
    """Lock for a worker's last word; refuse a worker whose attempt is over."""
    evaluation, entry = _lock(evaluation_id)
    if evaluation.state != State.SCORING or evaluation.attempt != attempt:
        raise refuse("late-worker", attempt=attempt)
    return evaluation, entry


def _take(evaluation: Evaluation, *, worker: str, now: datetime) -> None:
    _move(
        evaluation,
        State.SCORING,
        now=now,
        attempt=evaluation.attempt + 1,
        started_at=now,
        lease_until=now + _lease(),
        worker=worker[:120],
        stage="",
        patches_done=0,
        patches_total=0,
    )


def _move(
    evaluation: Evaluation,
    new: State,
    *,
    now: datetime,
    entry: Entry | None = None,
    actor: User | None = None,
    reason: str = "",
    **columns: Any,
) -> None:
    """Make one legal move on a locked row: state, columns, event, and the ledger where it counts.

    ``entry`` is locked whenever the move touches the ledger. Re-scores never touch it.
    """
    old = State(evaluation.state)
    move = MOVES.get((old, new))
    if move is None:
        raise refuse("illegal-move", state=old.value, wanted=new.value)
    if new is not State.SCORING:
        columns.setdefault("lease_until", None)
    if new not in OPEN_STATES:
        columns.setdefault("finished_at", now)
    columns["state"] = new.value
    for name, value in columns.items():
        setattr(evaluation, name, value)
    evaluation.save(update_fields=list(columns))
    _note(evaluation, old.value, new, now=now, actor=actor, reason=reason)
    if move.quota is not None and evaluation.priority == Evaluation.Priority.LIVE:
        if entry is None:
            raise ValueError(f"the move {old} to {new} needs the entry's lock")
        submission = evaluation.submission
        if move.quota is QuotaMove.CONSUMED:
            quota.consume(entry, submission=submission, now=now)
        elif move.quota is QuotaMove.REFUNDED:
            quota.refund(entry, submission=submission, now=now, reason=Reason(new.value))
        else:
            quota.reserve(entry, submission=submission, now=now, reason=Reason.REQUEUED)


def _note(
    evaluation: Evaluation,
    old: str,
    new: State,
    *,
    now: datetime,
    actor: User | None = None,
    reason: str = "",
) -> None:
    EvaluationEvent.objects.create(
        evaluation=evaluation,
        from_state=old,
        to_state=new.value,
        attempt=evaluation.attempt,
        at=now,
        actor=actor,
        worker=evaluation.worker if new is not State.QUEUED else "",
        reason=reason[:200],
    )


def _write_score(
    evaluation: Evaluation, *, card: Mapping[str, Any], evidence_name: str, now: datetime
) -> Score:
    low, high = (card.get("intervals") or {}).get("miou") or (None, None)
    keys = {line["id"]: line["key"] for line in evaluation.task_spec.data.get("classes", [])}
    return Score.objects.create(
        evaluation=evaluation,
        miou=card["miou"],
        overall_accuracy=card.get("overall_accuracy"),
        mean_f1=card.get("mean_f1"),
        miou_low=low,
        miou_high=high,
        class_ious={
            keys.get(line["id"], str(line["id"])): line["iou"]
            for line in card["classes"]
            if line.get("scored", True)
        },
        card=dict(card),
        engine_version=card["engine_version"],
        content_digest=card.get("content_digest", ""),
        evidence_name=evidence_name,
        seconds=card.get("seconds", 0.0),
        created_at=now,
    )


def _tell(evaluation: Evaluation, *, now: datetime) -> None:
    """Queue the news of a finished live evaluation, in the transaction that finished it."""
    if evaluation.priority != Evaluation.Priority.LIVE:
        return
    if evaluation.submission.mail_on_result:
        dispatch.ring(dispatch.Bell.SEND_MAIL)
    if webhooks.enqueue_result(evaluation, now=now):
        dispatch.ring(dispatch.Bell.DELIVER_WEBHOOKS)
