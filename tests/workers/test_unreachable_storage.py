"""Workers without labels, archives unreachable or damaged: nothing is lost, nobody is blamed."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import default_storage

from challenge.models import Evaluation, Phase, Submission
from challenge.services.submissions import evaluations, quota, retries
from challenge.workers import scoring
from tests.factories import NOON, make_archive, make_phase, make_team, submit
from tests.workers.real import make_real_phase, make_zip

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("running_servers"),
]
PATCHES = 2


@pytest.fixture
def labels(tmp_path: Path, settings: Any) -> Path:
    settings.LABELS_DIR = tmp_path / "labels"
    settings.EVIDENCE_DIR = tmp_path / "evidence"
    settings.SCORER_WORKERS = 1
    return tmp_path / "labels"


@pytest.fixture
def phase(labels: Path) -> Phase:
    return make_real_phase(labels, patches=PATCHES)


def hand_in(phase: Phase) -> Submission:
    archive = make_archive(make_zip(patches=PATCHES))
    return submit(make_team(phase.challenge), phase, archive=archive, at=phase.opens_at)


def states() -> list[str]:
    return list(Evaluation.objects.order_by("pk").values_list("state", flat=True))


def test_an_unreachable_archive_delays_no_other_submission(phase: Phase) -> None:
    first, second = hand_in(phase), hand_in(phase)
    path = Path(default_storage.path(first.archive))
    path.rename(path.with_suffix(".away"))
    assert scoring.score() == 2
    assert states() == ["queued", "scored"]
    path.with_suffix(".away").rename(path)
    assert scoring.score() == 1
    assert first.evaluations.get().state == second.evaluations.get().state == "scored"


def test_bytes_that_storage_changed_are_not_the_participants_fault(phase: Phase) -> None:
    submission = hand_in(phase)
    path = Path(default_storage.path(submission.archive))
    path.write_bytes(path.read_bytes()[:-1000])
    assert scoring.score() == 1
    evaluation = submission.evaluations.get()
    assert (evaluation.state, evaluation.error_code) == ("failed", "archive-altered")
    entry = submission.entry
    assert quota.view(team=entry.team, phase=phase, now=submission.created_at).invalid_today == 0


def test_what_stays_out_of_reach_fails_after_an_hour() -> None:
    phase = make_phase()
    submission = submit(make_team(phase.challenge), phase)
    later = NOON + timedelta(hours=5)  # the queue was long: that is not counted
    for minutes, waits in ((0, True), (30, True), (59, True), (61, False)):
        now = later + timedelta(minutes=minutes)
        claim = evaluations.claim(worker="w", now=now)
        assert claim is not None
        code = "archive-unreachable"
        given = retries.return_to_queue(
            claim.evaluation_id, attempt=claim.attempt, code=code, now=now
        )
        assert given is waits
    evaluation = submission.evaluations.get()
    assert (evaluation.state, evaluation.error_code) == ("failed", "archive-unreachable")
    assert [line.move for line in submission.quota_lines.all()] == ["reserved", "refunded"]
    # An organiser's second try has its own hour, and its three attempts.
    again = now + timedelta(hours=1)
    evaluations.requeue_failed(evaluation_id=evaluation.pk, actor=None, now=again)
    claim = evaluations.claim(worker="w", now=again)
    assert claim is not None
    assert retries.return_to_queue(claim.evaluation_id, attempt=claim.attempt, code=code, now=again)
