"""Scoring a phase's submissions again: through the queue, or in seconds from kept evidence.

Evidence holds counts per label, so any reduction, scored set or policy can be applied to it; other
labels need the archives. From evidence runs where EVIDENCE_DIR is (a worker's machine). The
preview writes nothing: it says whose rank would change before anything is published.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from challenge.errors import refuse
from challenge.models import (
    Evaluation,
    GroundTruth,
    Phase,
    RankLine,
    Score,
    Submission,
    TaskSpec,
    User,
)
from challenge.rules import disclosure, ranking
from challenge.rules.lifecycle import OPEN_STATES, State
from challenge.rules.ranking import Candidate
from challenge.rules.roles import Act
from challenge.selectors import disqualifications, roles, scores
from challenge.services import audit
from challenge.services.challenges import phases, splits
from challenge.services.leaderboard import ranks
from challenge.services.submissions import evaluations
from challenge.services.submissions import scores as score_rows
from scoring.engine.metrics import card_builder, evidence
from scoring.engine.metrics.card import ScoreCard
from scoring.engine.metrics.evidence import Evidence, EvidenceError
from scoring.engine.task import specification as specs
from scoring.engine.task.specification import TaskSpec as TaskSpecification
from scoring.engine.truth.split import CountedZones


@dataclass(frozen=True)
class Change:
    """One team's line before and after, as the board may show it; None: not on it."""

    team: str
    miou_before: float | None
    miou_after: float | None
    rank_before: int | None
    rank_after: int | None

    @property
    def moves(self) -> bool:
        return self.rank_before != self.rank_after


@dataclass(frozen=True)
class Preview:
    """What a re-scoring would do. ``missing`` have no readable evidence: their archives remain."""

    phase: Phase
    task_spec: TaskSpec
    cards: Mapping[UUID, tuple[ScoreCard, str]]
    changes: Sequence[Change]
    missing: Sequence[Submission] = field(default_factory=list)


def enqueue(
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
    left out. Returns what was queued; raises Conflict ``nothing-to-rescore`` when that is nothing,
    and what `roles.require` raises (``Act.RESCORE``; ``actor`` None is the operator's command).
    """
    now = now or timezone.now()
    if actor is not None:
        roles.require(actor, Act.RESCORE, phase.challenge)
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
                queued.append(
                    evaluations.requeue_failed(evaluation_id=last.pk, actor=actor, now=now)
                )
                continue
            if last is not None and not force:
                continue
            queued.append(
                evaluations.enqueue(
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
            submissions=[str(evaluation.submission_id) for evaluation in queued],
            ground_truth=str(truth),
            task_spec=str(task),
            force=force,
        )
    return queued


def preview(
    *, phase: Phase, task_spec: TaskSpec | None = None, now: datetime | None = None
) -> Preview:
    """Score a phase's submissions anew from their evidence, without writing anything.

    ``task_spec`` defaults to the challenge's newest. Ranks are those of ``now``: under the
    disclosed step while labels are hidden, by chosen submissions once the phase is closed. Cards
    count the zones that the phase's scores count. Raises Conflict ``phase-not-ready`` without
    labels, Refusal ``wrong-challenge``, SplitError where the list of zones is not here.
    """
    task = task_spec or phase.challenge.task_specs.order_by("-version").first()
    if phase.ground_truth is None or task is None:
        raise refuse("phase-not-ready")
    if task.challenge_id != phase.challenge_id:
        raise refuse("wrong-challenge")
    spec = specs.from_json(task.data)
    cards: dict[UUID, tuple[ScoreCard, str]] = {}
    missing: list[Submission] = []
    submissions = {
        submission.pk: submission
        for submission in Submission.objects.filter(
            entry__phase=phase, evaluations__state=State.SCORED.value
        ).select_related("entry__team")
    }
    names = _evidence_names(phase)
    for pk, submission in submissions.items():
        name = names.get(pk)
        try:
            if not name:
                raise FileNotFoundError("no evidence was kept")
            cards[pk] = (_card(phase, evidence.load(folder() / name), spec=spec), name)
        except (EvidenceError, OSError):
            missing.append(submission)
    return Preview(
        phase=phase,
        task_spec=task,
        cards=cards,
        changes=_changes(phase, submissions, cards, now=now or timezone.now()),
        missing=missing,
    )


def publish(
    preview: Preview, *, actor: User | None, worker: str = "evidence", now: datetime | None = None
) -> int:
    """Record a preview's scores and make its task the one that counts; returns how many scores.

    Submissions without evidence are queued with their archives; they return to the board one by
    one as they are scored. Earlier scores stay recorded.
    """
    now = now or timezone.now()
    phase = preview.phase
    assert phase.ground_truth is not None
    with transaction.atomic():
        for pk, (card, name) in preview.cards.items():
            record_from_evidence(
                submission=Submission.objects.get(pk=pk),
                ground_truth=phase.ground_truth,
                task_spec=preview.task_spec,
                card=card,
                zones=splits.counted_zones(phase.ground_truth, phase=phase),
                evidence_name=name,
                worker=worker,
                actor=actor,
                now=now,
            )
        archived = [
            submission for submission in preview.missing if submission.archive_removed_at is None
        ]
        if archived:
            enqueue(
                phase=phase,
                submissions=archived,
                task_spec=preview.task_spec,
                force=True,
                actor=actor,
                now=now,
            )
        audit.record(
            "phase.rescore-from-evidence",
            actor=actor,
            challenge=phase.challenge,
            target=phase,
            now=now,
            scores=len(preview.cards),
            submissions=[str(pk) for pk in preview.cards],
            queued=len(archived),
            task_spec=str(preview.task_spec),
            moves=[change.team for change in preview.changes if change.moves],
        )
    phases.publish_truth(phase=phase, actor=actor, task_spec=preview.task_spec, now=now)
    ranks.recompute(phase=phase, compare=True, now=now)
    return len(preview.cards)


def record_from_evidence(
    *,
    submission: Submission,
    ground_truth: GroundTruth,
    task_spec: TaskSpec,
    card: ScoreCard,
    zones: CountedZones,
    evidence_name: str,
    worker: str,
    actor: User | None,
    now: datetime | None = None,
) -> Score:
    """Record a score computed from kept evidence: queued, claimed and scored in one transaction.

    No worker can see the row before it is scored. Ranks are the caller's to recompute.
    """
    now = now or timezone.now()
    jobs = evaluations.jobs
    with transaction.atomic():
        last = Evaluation.objects.filter(
            submission=submission, ground_truth=ground_truth, task_spec=task_spec
        ).aggregate(last=Max("revision"))["last"]
        evaluation = jobs.insert(
            submission=submission,
            ground_truth=ground_truth,
            task_spec=task_spec,
            revision=(last or 0) + 1,
            priority=Evaluation.Priority.RESCORE,
            reason="from evidence",
            actor=actor,
            now=now,
        )
        jobs.start_attempt(evaluation, worker=worker, now=now)
        score = score_rows.create(
            evaluation,
            card=card,
            zones=zones,
            evidence_name=evidence_name,
            now=now,
        )
        jobs.transition(evaluation, State.SCORED, now=now, actor=actor)
    return score


def pending(*, phase: Phase, ground_truth: GroundTruth, task_spec: TaskSpec) -> int:
    """Count the submissions on the board that have no end yet under another truth or task.

    Those without an archive any more are none of the board's best, and are not waited for.
    """
    finished = Evaluation.objects.filter(
        ground_truth=ground_truth, task_spec=task_spec, finished_at__isnull=False
    )
    return (
        Submission.objects.filter(
            pk__in=scores.current(phase).values("evaluation__submission"),
            archive_removed_at__isnull=True,
        )
        .exclude(pk__in=finished.values("submission"))
        .count()
    )


def _card(phase: Phase, found: Evidence, *, spec: TaskSpecification) -> ScoreCard:
    truth = phase.ground_truth
    assert truth is not None
    zones = splits.counted_zones(truth, phase=phase)
    if zones is CountedZones.ALL:
        return card_builder.build(found, spec=spec)
    return card_builder.build_counted(found, splits.load(truth), zones=zones, spec=spec)


def folder() -> Path:
    """Return where evidence is kept. Raises FileNotFoundError where that is not known."""
    if settings.EVIDENCE_DIR is None:
        raise FileNotFoundError("EVIDENCE_DIR is not set: run this on a worker's machine")
    return Path(settings.EVIDENCE_DIR)


def _evidence_names(phase: Phase) -> dict[UUID, str]:
    """Return the newest evidence of each submission under the phase's present labels."""
    rows = (
        Score.objects.filter(
            evaluation__submission__entry__phase=phase,
            evaluation__ground_truth=phase.ground_truth_id,
        )
        .exclude(evidence_name="")
        .order_by("evaluation__pk")
        .values_list("evaluation__submission_id", "evidence_name")
    )
    return dict(rows)


def _changes(
    phase: Phase,
    submissions: Mapping[UUID, Submission],
    cards: Mapping[UUID, tuple[ScoreCard, str]],
    *,
    now: datetime,
) -> list[Change]:
    policy, truth = ranks.policy_of(phase, now=now), phase.ground_truth
    assert truth is not None
    public = ranks.public_mious(phase)
    before = {
        line.entry_id: line for line in RankLine.objects.filter(phase=phase, rank__isnull=False)
    }
    not_ranked = set(roles.entries_of_organisers(phase).values_list("pk", flat=True))
    standing = set(
        disqualifications.standing(Submission.objects.filter(pk__in=cards)).values_list(
            "pk", flat=True
        )
    )
    candidates = [
        Candidate(
            entry=submissions[pk].entry_id,
            submission=pk,
            miou=disclosure.disclose_miou(
                card["miou"], score_rows.round_card(truth, card)["miou"], policy=policy
            ),
            created_at=submissions[pk].created_at,
            chosen=submissions[pk].is_final,
            public_miou=public.get(pk),
        )
        for pk, (card, _name) in cards.items()
        if pk in standing
        and not submissions[pk].is_baseline
        and submissions[pk].entry_id not in not_ranked
    ]
    order = ranks.final_order(phase, candidates, now=now)
    numbers = ranking.competition_ranks([candidate.miou or 0.0 for candidate in order])
    after = {
        candidate.entry: (rank, candidate.miou)
        for rank, candidate in zip(numbers, order, strict=True)
    }
    teams = {submission.entry_id: submission.entry.team.name for submission in submissions.values()}
    changes = []
    for entry_id, name in teams.items():
        line = before.get(entry_id)
        rank, miou = after.get(entry_id, (None, None))
        changes.append(
            Change(
                team=name,
                miou_before=line.miou if line else None,
                miou_after=miou,
                rank_before=line.rank if line else None,
                rank_after=rank,
            )
        )
    return sorted(changes, key=lambda change: (change.rank_after or 1 << 30, change.team))
