"""A re-score's scores are written before the phase is locked, seen by nobody, and switched on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from challenge.models import Phase, Rescore, Score, StagedScore, Submission, TaskSpec, User
from challenge.selectors import queue
from challenge.services.submissions import (
    rescore_previews,
    rescore_publication,
    rescores,
    staged_scores,
)
from tests.factories import make_team, submit
from tests.helpers import refused
from tests.races import Act, Hold, hold
from tests.services.submissions.test_rescores import ask, folder, owner, phase, task, work
from tests.services.submissions.test_rescoring import board

pytestmark = pytest.mark.django_db(transaction=True)

__all__ = ["folder", "hold", "owner", "phase", "task"]


class Killed(BaseException):
    """As if the process had ended."""


def confirmed(phase: Phase, task: TaskSpec, owner: User) -> tuple[Rescore, rescores.Claim]:
    """A re-score that its owner confirmed and a worker has."""
    row = work(ask(phase, task, owner))
    rescores.confirm(row=row, actor=owner, digest=row.digest)
    claim = rescores.claim(worker="w")
    assert claim is not None
    return row, claim


def test_a_process_that_ends_in_between_publishes_nothing_and_is_swept(
    phase: Phase, task: TaskSpec, owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    row, claim = confirmed(phase, task, owner)
    before = (
        board(phase),
        rescore_previews.inputs_of(phase, ground_truth=row.ground_truth, task_spec=task),
    )

    def die(*_args: Any, **_more: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(rescore_publication, "publish", die)
        patched.setattr(staged_scores, "discard", lambda _batch: None)
        with pytest.raises(Killed):
            rescores.work(claim, worker="w")
    assert StagedScore.objects.count() == 2
    assert Score.objects.filter(evaluation__isnull=True).count() == 2
    assert before == (
        board(phase),
        rescore_previews.inputs_of(phase, ground_truth=row.ground_truth, task_spec=task),
    )
    assert queue.verify().faults == []
    staged_scores.sweep(now=timezone.now())
    assert StagedScore.objects.count() == 2, "its lease has not run out"
    rescores.sweep(now=timezone.now() + timedelta(hours=1))
    assert not Score.objects.filter(evaluation__isnull=True).exists()
    assert work(row).state == "published"
    assert Score.objects.count() == 4
    assert not StagedScore.objects.exists()


def test_what_a_command_left_is_swept_after_a_day(phase: Phase, task: TaskSpec) -> None:
    made = rescore_previews.preview(phase=phase, task_spec=task)
    rescore_publication.stage(made, batch=staged_scores.command_batch())
    staged_scores.sweep(now=timezone.now())
    assert StagedScore.objects.count() == 2
    staged_scores.sweep(now=timezone.now() + timedelta(days=2))
    assert Score.objects.count() == 2
    assert not StagedScore.objects.exists()


def test_submissions_are_taken_while_scores_are_staged_and_make_the_preview_stale(
    phase: Phase, task: TaskSpec, hold: Hold
) -> None:
    made = rescore_previews.preview(phase=phase, task_spec=task)
    publication = Act(lambda: rescore_publication.publish(made, actor=None))
    hold(publication, rescore_publication, "_switch").reach()
    assert StagedScore.objects.count() == 2
    sending = Act(lambda: submit(make_team(phase.challenge), phase))
    assert not sending.waits()
    assert sending.end() == "done"


def test_under_the_lock_no_card_is_written(
    phase: Phase, task: TaskSpec, owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = rescore_previews.preview(phase=phase, task_spec=task)
    batch = staged_scores.command_batch()
    rescore_publication.stage(made, batch=batch)
    with CaptureQueriesContext(connection) as queries:
        assert rescore_publication.publish(made, actor=owner, batch=batch) == 2
    assert not [q["sql"] for q in queries if "confusion" in q["sql"]]
    assert sum("UPDATE" in q["sql"] and "made.score" in q["sql"] for q in queries) == 1
    assert not StagedScore.objects.exists()


def test_evidence_or_submissions_that_are_gone_make_it_stale(
    phase: Phase, task: TaskSpec, folder: Any
) -> None:
    made = rescore_previews.preview(phase=phase, task_spec=task)
    batch = staged_scores.command_batch()
    rescore_publication.stage(made, batch=batch)
    StagedScore.objects.filter(submission=Submission.objects.all()[0]).delete()
    with refused("rescore-stale"):
        rescore_publication.publish(made, actor=None, batch=batch)
    (folder / "narrow").unlink()
    with refused("rescore-stale"):
        rescore_publication.publish(made, actor=None)
    assert not StagedScore.objects.exclude(batch=batch).exists()
    staged_scores.sweep(now=timezone.now())
    assert Score.objects.filter(evaluation__isnull=True).count() == 1, "one lost its submission"
