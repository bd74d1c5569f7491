"""Scores of a re-score, written before the phase is locked and switched on under its lock.

A score card may have a hundred kilobytes: ten thousand of them take minutes to write, while nobody
could submit. So they are written in short transactions first, without an evaluation, which hides
them from every reader; the publication adds the evaluations and ties both together (decision 445).
A batch belongs to one attempt. Whatever ends an attempt leaves at most scores that nobody sees,
until the sweep removes them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import islice
from typing import TypeVar
from uuid import UUID, uuid4

from django.db import connection, transaction
from django.db.models import Max

from challenge.models import Evaluation, GroundTruth, Rescore, Score, StagedScore, TaskSpec, User
from challenge.rules.lifecycle import RescoreState, State
from challenge.services.submissions import evaluations
from challenge.services.submissions import scores as score_rows
from challenge.services.submissions.rescoring import FromEvidence
from scoring.engine.truth.split import CountedZones

T = TypeVar("T")

log = logging.getLogger(__name__)

STAGED_AT_ONCE = 50
PUBLISHED_AT_ONCE = 1000
# How long a command, which has no lease, may take for a publication.
COMMAND_MAY_TAKE = timedelta(days=1)
_COMMAND = "command"


def batch_of(rescore_id: int, attempt: int) -> str:
    """Return the name of the batch that an attempt at a re-score stages."""
    return f"{rescore_id}:{attempt}"


def command_batch() -> str:
    """Return a name for the batch of a command."""
    return f"{_COMMAND}:{uuid4().hex}"


def stage(
    found: Iterable[FromEvidence],
    *,
    batch: str,
    ground_truth: GroundTruth,
    zones: CountedZones,
    now: datetime,
) -> int:
    """Write scores that nobody sees yet, :data:`STAGED_AT_ONCE` in a transaction; returns how many.

    As many score cards are in memory at once.
    """
    staged = 0
    for some in _some(found, STAGED_AT_ONCE):
        with transaction.atomic():
            rows = Score.objects.bulk_create(
                score_rows.build(
                    None,
                    ground_truth,
                    card=one.card,
                    zones=zones,
                    evidence_name=one.evidence_name,
                    now=now,
                )
                for one in some
            )
            StagedScore.objects.bulk_create(
                StagedScore(score=row, submission_id=one.submission_id, batch=batch, staged_at=now)
                for row, one in zip(rows, some, strict=True)
            )
        staged += len(some)
    return staged


def publish(
    batch: str,
    *,
    ground_truth: GroundTruth,
    task_spec: TaskSpec,
    worker: str,
    actor: User | None,
    now: datetime,
) -> list[UUID]:
    """Give a batch its evaluations, queued, claimed and scored at once; returns the submissions.

    The caller is in a transaction, holds the phase, and recomputes its ranks. No card is touched.
    """
    staged = StagedScore.objects.filter(batch=batch)
    rows = list(staged.order_by("score").values_list("score", "submission"))
    last = Evaluation.objects.filter(
        submission__in=staged.values("submission"), ground_truth=ground_truth, task_spec=task_spec
    ).order_by()
    revisions = dict(last.values_list("submission").annotate(last=Max("revision")))
    for some in _some(rows, PUBLISHED_AT_ONCE):
        made = evaluations.jobs.insert_ended(
            (
                {
                    "submission_id": submission,
                    "ground_truth": ground_truth,
                    "task_spec": task_spec,
                    "revision": revisions.get(submission, 0) + 1,
                    "priority": Evaluation.Priority.RESCORE,
                }
                for _score, submission in some
            ),
            State.SCORED,
            worker=worker,
            now=now,
            actor=actor,
            reason="from evidence",
        )
        _tie([score for score, _submission in some], [one.pk for one in made], now=now)
    staged.delete()
    return [submission for _score, submission in rows]


@contextmanager
def discarded(batch: str) -> Iterator[None]:
    """Remove what is left of a batch when the block ends, however it does."""
    try:
        yield
    finally:
        discard(batch)


def discard(batch: str) -> None:
    """Remove what is staged in a batch."""
    Score.objects.filter(evaluation__isnull=True, staged__batch=batch).delete()


def sweep(*, now: datetime) -> int:
    """Remove staged scores whose attempt is over, and those that lost their submission."""
    left = Score.objects.filter(evaluation__isnull=True)
    if not left.exists():
        return 0
    running = Rescore.objects.filter(state=RescoreState.RUNNING.value)
    alive = [batch_of(*key) for key in running.values_list("pk", "attempt")]
    by_command = StagedScore.objects.filter(
        batch__startswith=f"{_COMMAND}:", staged_at__gt=now - COMMAND_MAY_TAKE
    )
    kept = StagedScore.objects.filter(batch__in=alive) | by_command
    over = left.exclude(pk__in=kept.values("score"))
    removed, _by_model = over.delete()
    if removed:
        log.info("removed staged scores of re-scores that ended")
    return removed


def _some(rows: Iterable[T], count: int) -> Iterator[list[T]]:
    remaining = iter(rows)
    while some := list(islice(remaining, count)):
        yield some


def _tie(scores: list[int], made: list[int], *, now: datetime) -> None:
    """Name the evaluation of each score, in one statement."""
    table = connection.ops.quote_name(Score._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {table} SET evaluation_id = made.evaluation, created_at = %s "
            "FROM unnest(%s::bigint[], %s::bigint[]) AS made (score, evaluation) "
            "WHERE id = made.score",
            [now, scores, made],
        )
