"""Copying each team's best submission of a settled phase into another phase of the challenge.

The copy shares the archive in storage, keeps name, date and method, and is scored under the other
phase's labels like a re-score: nothing is charged to a quota, nobody is mailed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime

from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from challenge.errors import Refusal, refuse
from challenge.models import Evaluation, Phase, RankLine, Submission, User
from challenge.rules.lifecycle import OPEN_STATES
from challenge.rules.roles import Act
from challenge.selectors import phase_disclosure, phases, roles
from challenge.services import audit
from challenge.services.submissions import evaluations
from challenge.services.teams import teams

FACTS = (
    *("method_name", "method_description", "external_data", "code_url", "paper_url"),
    *("baseline_seconds", "method_seconds", "hardware"),
)


@dataclass(frozen=True)
class CopyPlan:
    """What would be copied, best first; what is left out, and what stands against it all.

    ``copied_before``: the team has a submission of the same bytes in the other phase.
    ``without_archive``: the archive was removed.
    """

    submissions: list[Submission] = field(default_factory=list)
    copied_before: list[Submission] = field(default_factory=list)
    without_archive: list[Submission] = field(default_factory=list)
    obstacles: list[Refusal] = field(default_factory=list)

    @property
    def digest(self) -> str:
        """The digest of what would be copied (SHA-256, hex): what is confirmed."""
        listed = "\n".join(str(submission.pk) for submission in self.submissions)
        return hashlib.sha256(listed.encode()).hexdigest()


def plan(*, source: Phase, target: Phase, now: datetime | None = None) -> CopyPlan:
    """Return what copying the ranked submissions of ``source`` into ``target`` would do."""
    now = now or timezone.now()
    lines = (
        RankLine.objects.filter(phase=source, rank__isnull=False)
        .select_related("submission__entry__team")
        .order_by("rank", "submission__created_at")
    )
    ranked = [line.submission for line in lines]
    there = set(
        Submission.objects.filter(entry__phase=target).values_list(
            "entry__team_id", "archive_sha256"
        )
    )
    found = CopyPlan(obstacles=_obstacles(source, target, now=now))
    for submission in ranked:
        if (submission.entry.team_id, submission.archive_sha256) in there:
            found.copied_before.append(submission)
        elif submission.archive_removed_at is not None:
            found.without_archive.append(submission)
        else:
            found.submissions.append(submission)
    if not found.submissions and not found.obstacles:
        found.obstacles.append(refuse("copy-nothing"))
    return found


def copy_best(
    *, source: Phase, target: Phase, actor: User, confirmed: str, now: datetime | None = None
) -> list[Submission]:
    """Copy the ranked submissions of ``source`` into ``target`` and queue them for scoring.

    ``confirmed`` is the digest of the plan that the actor saw. Raises what `roles.require` raises
    for ``Act.FINALS``, each obstacle of the plan, and Conflict ``copy-changed-meanwhile`` where
    other submissions would be copied now.
    """
    now = now or timezone.now()
    roles.require(actor, Act.FINALS, source.challenge)
    with transaction.atomic():
        # Shared with who submits, against the settlement and another copying.
        for pk in sorted({source.pk, target.pk}):
            Phase.objects.select_for_update(of=("self",)).get(pk=pk)
        source.refresh_from_db()
        target.refresh_from_db()
        found = plan(source=source, target=target, now=now)
        for obstacle in found.obstacles:
            raise obstacle
        if found.digest != confirmed:
            raise refuse("copy-changed-meanwhile")
        copies = [_copy(one, target=target, actor=actor, now=now) for one in found.submissions]
        audit.record(
            "phase.copy-best",
            actor=actor,
            challenge=source.challenge,
            target=target,
            now=now,
            source=str(source),
            submissions=[str(copy.pk) for copy in copies],
        )
    return copies


def _copy(submission: Submission, *, target: Phase, actor: User, now: datetime) -> Submission:
    assert target.ground_truth is not None
    assert target.task_spec is not None
    entry = teams.lock_entry(team=submission.entry.team, phase=target)
    last = entry.submissions.aggregate(last=Max("number"))["last"]
    copy = Submission.objects.create(
        entry=entry,
        number=(last or 0) + 1,
        submitted_by=submission.submitted_by,
        created_at=submission.created_at,
        archive=submission.archive,
        archive_sha256=submission.archive_sha256,
        archive_bytes=submission.archive_bytes,
        original_name=submission.original_name,
        **{name: getattr(submission, name) for name in FACTS},
    )
    evaluations.enqueue(
        submission=copy,
        ground_truth=target.ground_truth,
        task_spec=target.task_spec,
        priority=Evaluation.Priority.RESCORE,
        actor=actor,
        reason=f"copy of {submission.pk}",
        now=now,
    )
    return copy


def _obstacles(source: Phase, target: Phase, *, now: datetime) -> list[Refusal]:
    if source.pk == target.pk or source.challenge_id != target.challenge_id:
        return [refuse("copy-same-phase")]
    found = []
    waiting = Evaluation.objects.filter(
        submission__entry__phase=source, state__in=OPEN_STATES
    ).count()
    if waiting:
        found.append(refuse("result-waits", n=waiting))
    if not phase_disclosure.is_settled(source, now=now):
        found.append(refuse("copy-source-not-settled"))
    if target.ground_truth is None or target.task_spec is None:
        found.append(refuse("phase-not-ready"))
    elif {patch for patch, *_rest in phases.expected_patches(source)} != {
        patch for patch, *_rest in phases.expected_patches(target)
    }:
        found.append(refuse("copy-other-patches"))
    if target.settlement_recorded:
        found.append(refuse("copy-target-settled"))
    return found
