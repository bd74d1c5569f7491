"""Evaluations that go back to the queue: their worker could not score them, or its scorer died."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from django.db import transaction
from django.db.models import Count

from challenge.rules.lifecycle import State
from challenge.services import database_clock
from challenge.services.challenges import splits
from challenge.services.submissions import evaluations


def return_to_queue(
    evaluation_id: int, *, attempt: int, code: str, now: datetime | None = None
) -> bool:
    """Return a claim that this worker cannot serve: no labels here, no way to the archives.

    That says nothing about the archive, so the attempt is not counted. True: it waits again. After
    ``RETURNED_FOR`` of such returns it fails with ``code`` instead. Raises Conflict
    ``late-worker`` when the attempt is over.
    """
    now = now or database_clock.now()
    with transaction.atomic():
        evaluation = evaluations.jobs.lock_attempt(evaluation_id, attempt=attempt)
        return evaluations.jobs.return_to_queue(evaluation, code=code, now=now)


def retry_once(evaluation_id: int, *, attempt: int, code: str, now: datetime | None = None) -> bool:
    """Queue an evaluation again whose scorer was killed; the second time it fails with ``code``.

    The kernel ends processes for want of memory, whoever took it. True: it waits again. Raises
    Conflict ``late-worker`` when the attempt is over.
    """
    now = now or database_clock.now()
    with transaction.atomic():
        evaluation = evaluations.jobs.lock_attempt(evaluation_id, attempt=attempt)
        retried = evaluation.events.filter(
            to_state=State.QUEUED.value, reason=code, at__gte=evaluation.queued_at
        ).exists()
        if retried:
            evaluations.jobs.transition(
                evaluation, State.FAILED, now=now, reason=code, error_code=code
            )
        else:
            evaluations.jobs.transition(evaluation, State.QUEUED, now=now, reason=code)
    return not retried


def labels_not_in(label_files: Collection[str]) -> dict[str, int]:
    """Return how many queued evaluations wait for labels not all of whose files are named."""
    waiting = (
        evaluations.jobs.queued()
        .exclude(splits.scorable_with(label_files))
        .order_by()
        .values_list("ground_truth__store_name")
        .annotate(Count("pk"))
    )
    return dict(waiting)
