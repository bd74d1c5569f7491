"""Scoring a phase's submissions again through the queue, and recording scores from kept evidence.

Whoever asks for it first sees how many submissions are queued and what follows: the confirmation
is bound to both. The preview of other labels or another task, and its publication:
:mod:`challenge.services.submissions.rescore_previews`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from challenge.errors import refuse
from challenge.models import Evaluation, GroundTruth, Phase, Score, Submission, TaskSpec, User
from challenge.rules import digests
from challenge.rules.lifecycle import OPEN_STATES, State
from challenge.rules.roles import Act
from challenge.selectors import roles, scores
from challenge.services import audit
from challenge.services.submissions import evaluations
from challenge.services.submissions import scores as score_rows
from scoring.engine.metrics.card import ScoreCard
from scoring.engine.truth.split import CountedZones

RECORDED_AT_ONCE = 200


@dataclass(frozen=True)
class Plan:
    """What queueing would do: ``fresh`` get another evaluation, ``failed`` are queued again.

    ``fresh`` are pairs of a submission and the revision; ``left`` counts the submissions that
    stay as they are: scored already, waiting, or without an archive. ``confirmation`` is bound to
    all of it.
    """

    ground_truth: GroundTruth
    task_spec: TaskSpec
    fresh: Sequence[tuple[Submission, int]] = field(default_factory=list)
    failed: Sequence[Evaluation] = field(default_factory=list)
    left: int = 0

    @property
    def count(self) -> int:
        return len(self.fresh) + len(self.failed)

    @property
    def confirmation(self) -> str:
        return digests.of_json(
            {
                "labels": self.ground_truth.pk,
                "task": self.task_spec.pk,
                "fresh": sorted([str(one.pk), revision] for one, revision in self.fresh),
                "failed": sorted(one.pk for one in self.failed),
                "left": self.left,
            }
        )


@dataclass(frozen=True)
class FromEvidence:
    """A score card that was computed from the kept evidence of a submission."""

    submission_id: UUID
    card: ScoreCard
    evidence_name: str


def plan(
    *,
    phase: Phase,
    submissions: Iterable[Submission] | None = None,
    ground_truth: GroundTruth | None = None,
    task_spec: TaskSpec | None = None,
    force: bool = False,
    failed_only: bool = False,
) -> Plan:
    """Return what :func:`enqueue` would do with the same arguments; three queries, no write.

    ``failed_only`` takes nothing but what failed. Raises Conflict ``phase-not-ready`` without
    labels or task, Refusal ``wrong-challenge``.
    """
    truth = ground_truth or phase.ground_truth
    task = task_spec or phase.task_spec
    if truth is None or task is None:
        raise refuse("phase-not-ready")
    if truth.challenge_id != phase.challenge_id or task.challenge_id != phase.challenge_id:
        raise refuse("wrong-challenge")
    all_of_phase = Submission.objects.filter(entry__phase=phase)
    if submissions is not None:
        all_of_phase = all_of_phase.filter(pk__in=[submission.pk for submission in submissions])
    kept = all_of_phase.filter(archive_removed_at__isnull=True)
    wanted = kept.order_by("created_at", "entry", "number")
    latest: dict[UUID, Evaluation] = {}
    for evaluation in Evaluation.objects.filter(
        submission__in=wanted, ground_truth=truth, task_spec=task
    ).order_by("revision"):
        latest[evaluation.submission_id] = evaluation
    fresh: list[tuple[Submission, int]] = []
    failed: list[Evaluation] = []
    for submission in wanted:
        last = latest.get(submission.pk)
        if last is not None and last.state == State.FAILED:
            failed.append(last)
        elif failed_only or (last is not None and State(last.state) in OPEN_STATES):
            continue
        elif last is None or force:
            fresh.append((submission, last.revision + 1 if last else 1))
    left = all_of_phase.count() - len(fresh) - len(failed)
    return Plan(truth, task, fresh, failed, left)


def enqueue(
    *,
    phase: Phase,
    submissions: Iterable[Submission] | None = None,
    ground_truth: GroundTruth | None = None,
    task_spec: TaskSpec | None = None,
    force: bool = False,
    failed_only: bool = False,
    actor: User | None,
    confirmed: str = "",
    now: datetime | None = None,
) -> list[Evaluation]:
    """Queue submissions of a phase for scoring under a truth and a task (default: the phase's).

    Behind live submissions of equally busy teams; earlier scores stay, and nothing is charged. A
    submission already scored or waiting under both is left alone unless ``force`` (a new engine)
    asks for a further revision; a failed one is queued again, one whose archive was removed is
    left out. ``confirmed`` is the confirmation of the :func:`plan` that a person saw; ``actor``
    None is the operator's command, which confirms nothing. Returns what was queued; raises
    Conflict ``nothing-to-rescore`` when that is nothing, ``rescore-unconfirmed`` and
    ``rescore-confirmation-stale`` (with the count and the present confirmation), and what
    `roles.require` raises (``Act.RESCORE``).
    """
    if actor is not None:
        roles.require(actor, Act.RESCORE, phase.challenge)
    with transaction.atomic():
        Phase.objects.select_for_update(of=("self",)).get(pk=phase.pk)
        asked = plan(
            phase=phase,
            submissions=submissions,
            ground_truth=ground_truth,
            task_spec=task_spec,
            force=force,
            failed_only=failed_only,
        )
        if asked.count == 0:
            raise refuse("nothing-to-rescore")
        if actor is not None and confirmed != asked.confirmation:
            counts = {"count": asked.count, "left": asked.left}
            if confirmed:
                raise refuse(
                    "rescore-confirmation-stale", **counts, confirmation=asked.confirmation
                )
            raise refuse("rescore-unconfirmed", **counts, confirmation=asked.confirmation)
        return carry_out(asked, phase=phase, force=force, actor=actor, now=now)


def carry_out(
    asked: Plan, *, phase: Phase, actor: User | None, force: bool = False, now: datetime | None
) -> list[Evaluation]:
    """Queue what a plan says. The caller is in a transaction, asked who may, and holds the phase.

    An empty plan queues nothing and leaves no line in the trail.
    """
    now = now or timezone.now()
    queued = [
        evaluations.requeue_failed(evaluation_id=evaluation.pk, actor=actor, now=now)
        for evaluation in asked.failed
    ]
    queued += [
        evaluations.enqueue(
            submission=submission,
            ground_truth=asked.ground_truth,
            task_spec=asked.task_spec,
            priority=Evaluation.Priority.RESCORE,
            revision=revision,
            actor=actor,
            reason="re-score",
            now=now,
        )
        for submission, revision in asked.fresh
    ]
    if queued:
        audit.record(
            "phase.rescore",
            actor=actor,
            challenge=phase.challenge,
            target=phase,
            now=now,
            evaluations=len(queued),
            submissions=[str(evaluation.submission_id) for evaluation in queued],
            ground_truth=str(asked.ground_truth),
            task_spec=str(asked.task_spec),
            force=force,
        )
    return queued


def record_from_evidence(
    found: Iterable[FromEvidence],
    *,
    ground_truth: GroundTruth,
    task_spec: TaskSpec,
    zones: CountedZones,
    worker: str,
    actor: User | None,
    now: datetime | None = None,
) -> int:
    """Record scores computed from kept evidence, each queued, claimed and scored at once.

    Written in bulk (five queries for :data:`RECORDED_AT_ONCE` scores), for the caller holds the
    phase meanwhile, and recomputes its ranks. No worker can see a row before it is scored. Returns
    how many were recorded.
    """
    now = now or timezone.now()
    recorded = 0
    with transaction.atomic():
        remaining = iter(found)
        while some := list(islice(remaining, RECORDED_AT_ONCE)):
            keys = [one.submission_id for one in some]
            last = Evaluation.objects.filter(
                submission__in=keys, ground_truth=ground_truth, task_spec=task_spec
            ).order_by()
            revisions = dict(last.values_list("submission").annotate(last=Max("revision")))
            made = evaluations.jobs.insert_ended(
                (
                    {
                        "submission_id": key,
                        "ground_truth": ground_truth,
                        "task_spec": task_spec,
                        "revision": revisions.get(key, 0) + 1,
                        "priority": Evaluation.Priority.RESCORE,
                    }
                    for key in keys
                ),
                State.SCORED,
                worker=worker,
                now=now,
                actor=actor,
                reason="from evidence",
            )
            Score.objects.bulk_create(
                score_rows.build(
                    evaluation,
                    ground_truth,
                    card=one.card,
                    zones=zones,
                    evidence_name=one.evidence_name,
                    now=now,
                )
                for evaluation, one in zip(made, some, strict=True)
            )
            recorded += len(made)
    return recorded


def pending(*, phase: Phase, ground_truth: GroundTruth, task_spec: TaskSpec) -> list[Submission]:
    """Return the submissions on the board without a verdict under another truth or task.

    One that failed has none. Those without an archive any more are none of the board's best, and
    are not waited for.
    """
    ended = Evaluation.objects.filter(
        ground_truth=ground_truth,
        task_spec=task_spec,
        state__in=(State.SCORED.value, State.REJECTED.value),
    )
    on_board = scores.current(phase).values("evaluation__submission")
    return list(
        Submission.objects.filter(pk__in=on_board, archive_removed_at__isnull=True)
        .exclude(pk__in=ended.values("submission"))
        .select_related("entry__team")
        .order_by("created_at", "pk")
    )


def folder() -> Path:
    """Return where evidence is kept. Raises FileNotFoundError where that is not known."""
    if settings.EVIDENCE_DIR is None:
        raise FileNotFoundError("EVIDENCE_DIR is not set: run this on a worker's machine")
    return Path(settings.EVIDENCE_DIR)
