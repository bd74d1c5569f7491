"""What other labels or another task would do to a phase's ranks.

Evidence holds counts per label, so any reduction, scored set or policy can be applied to it; other
labels need the archives, whose scores are then taken as they were recorded. Runs where
EVIDENCE_DIR is (a worker's machine). The preview writes nothing; its publication:
:mod:`challenge.services.submissions.rescore_publication`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Exists, OuterRef
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
    TeamDisqualification,
)
from challenge.rules import digests, disclosure, ranking
from challenge.rules.lifecycle import State
from challenge.rules.ranking import Candidate
from challenge.selectors import disqualifications, phase_disclosure, roles
from challenge.services.challenges import splits
from challenge.services.leaderboard import ranks
from challenge.services.submissions import rescoring
from challenge.services.submissions import scores as score_rows
from scoring.engine.metrics import card_builder, evidence
from scoring.engine.metrics.card import ScoreCard
from scoring.engine.metrics.evidence import Evidence, EvidenceError
from scoring.engine.task import specification as specs
from scoring.engine.task.specification import TaskSpec as TaskSpecification
from scoring.engine.truth.split import CountedZones
from scoring.engine.version import ENGINE_VERSION

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class CardValues:
    """What ranks need of a score card, and the evidence that it is made of.

    ``miou`` in full precision, ``rounded`` as it leaves while the labels are hidden.
    """

    miou: float | None
    rounded: float | None
    evidence_name: str


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
    """What a re-score would do.

    ``cards`` are what evidence gives, ``recorded`` are scores that are there already. ``missing``
    have neither; ``blocking`` are those among them that decide a line of the board or were chosen
    as final: publishing would drop them. ``inputs`` is the digest of what it was made of.
    """

    phase: Phase
    ground_truth: GroundTruth
    task_spec: TaskSpec
    inputs: str
    cards: Mapping[UUID, CardValues]
    recorded: Mapping[UUID, Score]
    changes: Sequence[Change]
    missing: Sequence[Submission] = field(default_factory=list)
    blocking: Sequence[Submission] = field(default_factory=list)

    @property
    def digest(self) -> str:
        """What confirms this preview and no other: what it was made of and all that it found."""
        return digests.of_json(
            {
                "inputs": self.inputs,
                "engine": ENGINE_VERSION,
                "cards": {str(pk): card.miou for pk, card in self.cards.items()},
                "recorded": {str(pk): score.pk for pk, score in self.recorded.items()},
                "changes": [vars(change) for change in self.changes],
                "missing": sorted(str(submission.pk) for submission in self.missing),
            }
        )


def inputs_of(phase: Phase, *, ground_truth: GroundTruth, task_spec: TaskSpec) -> str:
    """Return the digest of all that a preview depends on in the database (four queries).

    It changes with a submission scored since, a verdict, a choice, other labels, the settlement.
    """
    row = Phase.objects.get(pk=phase.pk)
    scored = (
        Score.objects.filter(evaluation__submission__entry__phase=phase)
        .order_by("pk")
        .values_list(
            "pk",
            "evaluation__submission_id",
            "evaluation__submission__is_final",
            "evaluation__submission__disqualified_at",
        )
    )
    stopped = TeamDisqualification.objects.filter(
        team__entries__phase=phase, lifted_at__isnull=True
    ).order_by("team")
    return digests.of_json(
        {
            "counting": [row.ground_truth_id, row.task_spec_id, row.counted_zones],
            "wanted": [ground_truth.pk, task_spec.pk],
            "phase": [row.frozen_at, row.finals_limit, phase_disclosure.is_settled(row)],
            "scores": list(scored),
            "stopped": list(stopped.values_list("team", flat=True)),
        }
    )


def preview(
    *,
    phase: Phase,
    ground_truth: GroundTruth | None = None,
    task_spec: TaskSpec | None = None,
    now: datetime | None = None,
    on_progress: OnProgress | None = None,
) -> Preview:
    """Rank a phase by other labels or another task, without writing anything.

    ``ground_truth`` defaults to the phase's, ``task_spec`` to the challenge's newest. Under the
    phase's labels scores are made of evidence; where that is missing, and under other labels, the
    scores that were recorded under both count. Ranks are those of ``now``: under the disclosed
    step while labels are hidden, by chosen submissions once the phase is settled. Cards count the
    zones that the phase's scores count. ``on_progress`` gets (submissions done, in all). Raises
    Conflict ``phase-not-ready`` without labels, Refusal ``wrong-challenge``, SplitError where the
    list of zones is not here, FileNotFoundError without EVIDENCE_DIR.
    """
    truth = ground_truth or phase.ground_truth
    task = task_spec or phase.challenge.task_specs.order_by("-version").first()
    if phase.ground_truth is None or truth is None or task is None:
        raise refuse("phase-not-ready")
    if truth.challenge_id != phase.challenge_id or task.challenge_id != phase.challenge_id:
        raise refuse("wrong-challenge")
    inputs = inputs_of(phase, ground_truth=truth, task_spec=task)
    spec = specs.from_json(task.data)
    cards: dict[UUID, CardValues] = {}
    submissions = {
        submission.pk: submission
        for submission in Submission.objects.filter(
            entry__phase=phase, evaluations__state=State.SCORED.value
        ).select_related("entry__team")
    }
    recorded = _recorded(phase, truth=truth, task=task)
    names = _evidence_names(phase) if truth.pk == phase.ground_truth_id else {}
    for done, pk in enumerate(submissions, start=1):
        # What has no readable evidence is counted as missing below.
        if name := names.get(pk):
            with contextlib.suppress(EvidenceError, OSError):
                card = card_of(phase, evidence.load(rescoring.folder() / name), spec=spec)
                rounded = score_rows.round_card(truth, card)["miou"]
                cards[pk] = CardValues(card["miou"], rounded, name)
        if on_progress is not None:
            on_progress(done, len(submissions))
    recorded = {pk: score for pk, score in recorded.items() if pk not in cards}
    ended = _rejected(phase, truth=truth, task=task)
    missing = [
        submission
        for pk, submission in submissions.items()
        if pk not in cards and pk not in recorded and pk not in ended
    ]
    deciding = set(RankLine.objects.filter(phase=phase).values_list("submission", flat=True))
    return Preview(
        phase=phase,
        ground_truth=truth,
        task_spec=task,
        inputs=inputs,
        cards=cards,
        recorded=recorded,
        changes=_changes(phase, submissions, _values(cards, recorded), now=now),
        missing=missing,
        blocking=[one for one in missing if one.pk in deciding or one.is_final],
    )


def card_of(phase: Phase, found: Evidence, *, spec: TaskSpecification) -> ScoreCard:
    """Return the score card that evidence gives under a task, of the zones that count now."""
    truth = phase.ground_truth
    assert truth is not None
    zones = splits.counted_zones(truth, phase=phase)
    if zones is CountedZones.ALL:
        return card_builder.build(found, spec=spec)
    return card_builder.build_counted(found, splits.load(truth), zones=zones, spec=spec)


def _recorded(phase: Phase, *, truth: GroundTruth, task: TaskSpec) -> dict[UUID, Score]:
    """Return the last score of each submission under both, which counts the zones that count."""
    zones = phase.counted_zones
    if truth.pk != phase.ground_truth_id:
        zones = splits.counted_zones(truth, phase=phase).value
    rows = (
        Score.objects.filter(
            counted_zones=zones,
            evaluation__state=State.SCORED.value,
            evaluation__submission__entry__phase=phase,
            evaluation__ground_truth=truth,
            evaluation__task_spec=task,
        )
        .select_related("evaluation")
        .defer("card")
        .order_by("evaluation__revision")
    )
    return {score.evaluation.submission_id: score for score in rows}


def _rejected(phase: Phase, *, truth: GroundTruth, task: TaskSpec) -> set[UUID]:
    """Return the submissions whose archive is at fault under both: they have no score there."""
    rejected = Evaluation.objects.filter(
        submission=OuterRef("pk"),
        ground_truth=truth,
        task_spec=task,
        state=State.REJECTED.value,
    )
    rows = Submission.objects.filter(Exists(rejected), entry__phase=phase)
    return set(rows.values_list("pk", flat=True))


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


def _values(
    cards: Mapping[UUID, CardValues],
    recorded: Mapping[UUID, Score],
) -> dict[UUID, tuple[float | None, Any]]:
    """Return each submission's mIoU in full precision and as a rounded value."""
    values: dict[UUID, tuple[float | None, Any]] = {
        pk: (score.miou, score.rounded_miou) for pk, score in recorded.items()
    }
    values |= {pk: (card.miou, card.rounded) for pk, card in cards.items()}
    return values


def _changes(
    phase: Phase,
    submissions: Mapping[UUID, Submission],
    values: Mapping[UUID, tuple[float | None, Any]],
    *,
    now: datetime | None,
) -> list[Change]:
    now = now or timezone.now()
    policy = ranks.policy_of(phase, now=now)
    public = ranks.public_mious(phase)
    before = {
        line.entry_id: line for line in RankLine.objects.filter(phase=phase, rank__isnull=False)
    }
    not_ranked = set(roles.entries_of_organisers(phase).values_list("pk", flat=True))
    standing = set(
        disqualifications.standing(Submission.objects.filter(pk__in=values)).values_list(
            "pk", flat=True
        )
    )
    candidates = [
        Candidate(
            entry=submissions[pk].entry_id,
            submission=pk,
            miou=disclosure.disclose_miou(miou, rounded, policy=policy),
            created_at=submissions[pk].created_at,
            chosen=submissions[pk].is_final,
            public_miou=public.get(pk),
        )
        for pk, (miou, rounded) in values.items()
        if pk in standing
        and miou is not None
        and not submissions[pk].is_baseline
        and not phase_disclosure.is_after_freeze(phase, submissions[pk].created_at)
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
