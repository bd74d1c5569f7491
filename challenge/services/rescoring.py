"""Re-scoring a phase from kept evidence: seconds instead of a pass over every archive.

Runs where EVIDENCE_DIR is (a worker's machine). The preview writes nothing: it says who would move
before anything is published. Evidence holds counts per label, so any reduction, scored set or
policy can be applied; other labels need the archives (evaluations.enqueue_rescore).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
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
from challenge.rules import ranking
from challenge.rules.lifecycle import State
from challenge.rules.ranking import Candidate
from challenge.services import audit, evaluations, phases, ranks
from scoring.engine import evidence
from scoring.engine import spec as specs
from scoring.engine.evidence import EvidenceError


@dataclass(frozen=True)
class Change:
    """One team's line before and after; None: not on the board."""

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
    cards: Mapping[UUID, tuple[dict[str, Any], str]]
    changes: Sequence[Change]
    missing: Sequence[Submission] = field(default_factory=list)


def preview(*, phase: Phase, task_spec: TaskSpec | None = None) -> Preview:
    """Score a phase's submissions anew from their evidence, without writing anything.

    ``task_spec`` defaults to the challenge's newest. Raises Conflict ``phase-not-ready`` without
    labels, Refusal ``wrong-challenge``.
    """
    task = task_spec or phase.challenge.task_specs.order_by("-version").first()
    if phase.ground_truth is None or task is None:
        raise refuse("phase-not-ready")
    if task.challenge_id != phase.challenge_id:
        raise refuse("wrong-challenge")
    spec = specs.from_json(task.data)
    cards: dict[UUID, tuple[dict[str, Any], str]] = {}
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
            cards[pk] = (evidence.rescore(_folder() / name, spec=spec), name)
        except (EvidenceError, OSError):
            missing.append(submission)
    return Preview(
        phase=phase,
        task_spec=task,
        cards=cards,
        changes=_changes(phase, submissions, cards),
        missing=missing,
    )


def publish(
    found: Preview, *, actor: User | None, worker: str = "evidence", now: datetime | None = None
) -> int:
    """Record a preview's scores and make its task the one that counts; returns how many scores.

    Submissions without evidence are queued with their archives; they return to the board one by
    one as they are scored. Earlier scores stay recorded.
    """
    now = now or timezone.now()
    phase = found.phase
    assert phase.ground_truth is not None
    with transaction.atomic():
        for pk, (card, name) in found.cards.items():
            evaluations.record_rescored(
                submission=Submission.objects.get(pk=pk),
                ground_truth=phase.ground_truth,
                task_spec=found.task_spec,
                card=card,
                evidence_name=name,
                worker=worker,
                actor=actor,
                now=now,
            )
        archived = [one for one in found.missing if one.archive_removed_at is None]
        if archived:
            evaluations.enqueue_rescore(
                phase=phase,
                submissions=archived,
                task_spec=found.task_spec,
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
            scores=len(found.cards),
            queued=len(archived),
            task_spec=str(found.task_spec),
            moves=[change.team for change in found.changes if change.moves],
        )
    phases.publish_truth(phase=phase, actor=actor, task_spec=found.task_spec, now=now)
    ranks.recompute(phase=phase, compare=True, now=now)
    return len(found.cards)


def pending(*, phase: Phase, ground_truth: GroundTruth, task_spec: TaskSpec) -> int:
    """Count the submissions on the board that have no end yet under another truth or task.

    Those without an archive any more are none of the board's best, and are not waited for.
    """
    finished = Evaluation.objects.filter(
        ground_truth=ground_truth, task_spec=task_spec, finished_at__isnull=False
    )
    return (
        Submission.objects.filter(
            entry__phase=phase,
            archive_removed_at__isnull=True,
            evaluations__state=State.SCORED.value,
            evaluations__ground_truth=phase.ground_truth_id,
            evaluations__task_spec=phase.task_spec_id,
        )
        .exclude(pk__in=finished.values("submission"))
        .distinct()
        .count()
    )


def _folder() -> Path:
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
    cards: Mapping[UUID, tuple[dict[str, Any], str]],
) -> list[Change]:
    before = {
        line.entry_id: line for line in RankLine.objects.filter(phase=phase, rank__isnull=False)
    }
    candidates = [
        Candidate(
            entry=submissions[pk].entry_id,
            submission=pk,
            miou=card["miou"],
            created_at=submissions[pk].created_at,
            chosen=submissions[pk].is_final,
        )
        for pk, (card, _name) in cards.items()
        if submissions[pk].disqualified_at is None and not submissions[pk].is_baseline
    ]
    best = ranking.best_per_entry(candidates, chosen_only=phase.finals_limit is not None)
    numbers = ranking.competition_ranks([one.miou or 0.0 for one in best])
    after = {one.entry: (rank, one.miou) for rank, one in zip(numbers, best, strict=True)}
    teams = {one.entry_id: one.entry.team.name for one in submissions.values()}
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
