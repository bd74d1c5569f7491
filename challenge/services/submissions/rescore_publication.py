"""The publication of a re-score: its scores are staged first, then switched on under the lock."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from challenge.errors import refuse
from challenge.models import User
from challenge.services import audit, phase_lock
from challenge.services.challenges import phases, splits
from challenge.services.leaderboard import ranks
from challenge.services.submissions import rescoring, staged_scores
from challenge.services.submissions.rescore_previews import Preview, card_of, inputs_of
from challenge.services.submissions.rescoring import FromEvidence
from scoring.engine.metrics import evidence
from scoring.engine.metrics.evidence import EvidenceError
from scoring.engine.task import specification as specs


def stage(preview: Preview, *, batch: str, now: datetime | None = None) -> None:
    """Write a preview's scores where nobody sees them yet, a few at a time: no lock is held.

    Raises Conflict ``rescore-stale`` where evidence is not what the preview saw.
    """
    now = now or timezone.now()
    phase, truth = preview.phase, preview.ground_truth
    spec = specs.from_json(preview.task_spec.data)

    def made() -> Iterator[FromEvidence]:
        for pk, values in preview.cards.items():
            try:
                found = evidence.load(rescoring.folder() / values.evidence_name)
            except (EvidenceError, OSError) as error:
                raise refuse("rescore-stale") from error
            card = card_of(phase, found, spec=spec)
            if card["miou"] != values.miou:
                raise refuse("rescore-stale")
            yield FromEvidence(pk, card, values.evidence_name)

    zones = splits.counted_zones(truth, phase=phase)
    staged_scores.stage(made(), batch=batch, ground_truth=truth, zones=zones, now=now)


def publish(
    preview: Preview,
    *,
    actor: User | None,
    worker: str = "evidence",
    batch: str = "",
    partial: bool = False,
    now: datetime | None = None,
) -> int:
    """Switch to a preview's scores, labels and task; returns how many scores were recorded.

    ``batch`` is where :func:`stage` wrote them; without one they are staged first. The switch is
    one transaction under the phase's lock. Submissions without evidence that decide nothing are
    queued with their archives. Earlier scores stay recorded. ``partial``, which an operator's
    command alone asks for, queues those that decide a line, too: until they are scored the board is
    without them. Raises Conflict ``rescore-evidence-missing`` where one that decides a line has no
    evidence otherwise, ``rescore-stale`` where something changed since the preview, and what
    :func:`phases.publish_truth` raises.
    """
    now = now or timezone.now()
    if preview.blocking and not (partial and actor is None):
        raise refuse("rescore-evidence-missing", count=len(preview.blocking))
    if batch:
        return _switch(preview, batch=batch, actor=actor, worker=worker, now=now)
    batch = staged_scores.command_batch()
    with staged_scores.discarded(batch):
        stage(preview, batch=batch, now=now)
        return _switch(preview, batch=batch, actor=actor, worker=worker, now=now)


def _switch(preview: Preview, *, batch: str, actor: User | None, worker: str, now: datetime) -> int:
    truth, task = preview.ground_truth, preview.task_spec
    with transaction.atomic():
        phase = phase_lock.take(preview.phase.pk)
        if inputs_of(phase, ground_truth=truth, task_spec=task) != preview.inputs:
            raise refuse("rescore-stale")
        published = staged_scores.publish(
            batch, ground_truth=truth, task_spec=task, worker=worker, actor=actor, now=now
        )
        if len(published) != len(preview.cards):  # a submission is gone, and its score with it
            raise refuse("rescore-stale")
        phases.publish_truth(phase=phase, actor=actor, ground_truth=truth, task_spec=task, now=now)
        queued = rescoring.carry_out(rescoring.plan(phase=phase), phase=phase, actor=actor, now=now)
        audit.record(
            "phase.rescore-publish",
            actor=actor,
            challenge=phase.challenge,
            target=phase,
            now=now,
            scores=len(published),
            submissions=[str(pk) for pk in published],
            queued=len(queued),
            left_behind=[str(submission.pk) for submission in preview.blocking],
            ground_truth=str(truth),
            task_spec=str(task),
            moves=[change.team for change in preview.changes if change.moves],
        )
    ranks.recompute(phase=phase, compare=True, now=now)
    return len(published)
