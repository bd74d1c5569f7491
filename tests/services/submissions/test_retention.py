"""Which archives stay and which go, how much room a team has, and what evidence is swept."""

from __future__ import annotations

import io
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.core.files.storage import default_storage
from django.utils import timezone

from challenge.models import AuditEvent, Evaluation, Phase, Submission, Team, Upload
from challenge.rules import retention as rule
from challenge.rules.disclosure import Viewer
from challenge.services.storage import archives, limits, uploads
from challenge.services.submissions import (
    disqualifications,
    evaluations,
    receipts,
    rescoring,
    retention,
    submissions,
)
from tests import factories
from tests.factories import (
    NOON,
    captain_of,
    give_score,
    make_archive,
    make_organiser,
    make_phase,
    make_team,
)
from tests.helpers import refused

pytestmark = pytest.mark.django_db
CLOSE = NOON + timedelta(days=30)
LATER = CLOSE + timedelta(days=90)
KEPT = timedelta(days=90)


@pytest.fixture(autouse=True)
def _no_evidence(settings: Any) -> None:
    settings.EVIDENCE_DIR = None


@pytest.fixture
def phase() -> Phase:
    return make_phase(closes_at=CLOSE, invalid_daily_limit=None)


def submit(team: Team, phase: Phase, **more: Any) -> Submission:
    return factories.submit(team, phase, archive=make_archive(b"1234567890"), **more)


def reject(submission: Submission, *, at: datetime) -> None:
    claim = evaluations.claim(worker="w", now=at)
    assert claim is not None
    assert claim.submission_id == submission.pk
    problem: dict[str, Any] = {"code": "c", "message": "m", "file": None, "params": {}}
    evaluations.complete_rejected(claim.evaluation_id, attempt=1, problems=[problem], now=at)


def is_there(submission: Submission) -> bool:
    submission.refresh_from_db()
    found = default_storage.exists(submission.archive)
    return found and submission.archive_removed_at is None


def sweep(now: datetime, run: Any) -> retention.Removed:
    """What a sweep did, its files deleted as after a commit."""
    with run(execute=True):
        return retention.sweep(now=now)


@pytest.mark.parametrize(
    ("closes_at", "now", "before"),
    [
        (CLOSE, CLOSE + KEPT - timedelta(seconds=1), None),
        (CLOSE, CLOSE + KEPT, CLOSE + KEPT),
        (None, NOON, NOON - KEPT),
    ],
)
def test_retention_counts_from_the_close_or_the_submission(
    closes_at: datetime | None, now: datetime, before: datetime | None
) -> None:
    assert rule.removable_before(closes_at=closes_at, kept_days=90, now=now) == before


def test_archives_that_decide_nothing_are_removed_ninety_days_after_the_close(
    phase: Phase, team: Team, django_capture_on_commit_callbacks: Any
) -> None:
    run = django_capture_on_commit_callbacks
    Phase.objects.update(finals_limit=1)
    best, worse, chosen, banned = (submit(team, phase) for _turn in range(4))
    for submission, miou in ((best, 0.9), (worse, 0.4), (chosen, 0.5), (banned, 0.95)):
        give_score(submission, miou)
    submissions.choose_final(submission=chosen, actor=captain_of(team), chosen=True, now=NOON)
    organiser = factories.make_user("olga")
    make_organiser(phase.challenge, organiser)
    disqualifications.disqualify(submission=banned, actor=organiser, reason="no", now=NOON)
    rivals = submit(make_team(phase.challenge), phase)
    give_score(rivals, 0.3)
    before = sweep(LATER - timedelta(seconds=1), run)
    assert before.archives == 0
    swept = sweep(LATER, run)
    assert (swept.archives, swept.archive_bytes) == (1, 10)
    assert [is_there(one) for one in (best, worse, chosen, banned, rivals)] == [
        True,
        False,
        True,
        True,
        True,
    ]
    event = AuditEvent.objects.get(action="phase.remove-archives")
    assert (event.data["archives"], event.data["submissions"]) == (1, [str(worse.pk)])
    assert sweep(LATER, run).archives == 0  # a second time there is nothing to do


def test_a_choice_keeps_no_archive_where_the_best_counts(
    phase: Phase, team: Team, django_capture_on_commit_callbacks: Any
) -> None:
    best, chosen = submit(team, phase), submit(team, phase)
    give_score(best, 0.9)
    give_score(chosen, 0.4)
    Submission.objects.filter(pk=chosen.pk).update(is_final=True)  # as earlier releases allowed
    sweep(LATER, django_capture_on_commit_callbacks)
    assert [is_there(best), is_there(chosen)] == [True, False]


def test_score_and_receipt_outlive_the_archive(
    phase: Phase, team: Team, django_capture_on_commit_callbacks: Any
) -> None:
    best, worse = submit(team, phase), submit(team, phase)
    give_score(best, 0.9)
    give_score(worse, 0.4)
    sweep(LATER, django_capture_on_commit_callbacks)
    worse.refresh_from_db()
    receipt = receipts.sign(worse, viewer=Viewer.OWNER, now=LATER)["receipt"]
    assert (receipt["miou"], receipt["archive_sha256"]) == (0.4, worse.archive_sha256)
    with refused("archive-removed"):
        archives.read_range(worse, first=0, end=1)


def test_rejected_and_withdrawn_ones_go_after_a_week_in_an_open_phase(
    phase: Phase, team: Team, django_capture_on_commit_callbacks: Any
) -> None:
    run = django_capture_on_commit_callbacks
    rejected = submit(team, phase)
    reject(rejected, at=NOON)
    withdrawn = submit(team, phase)
    submissions.cancel(submission=withdrawn, actor=captain_of(team), now=NOON)
    waiting = submit(team, phase)
    assert sweep(NOON + timedelta(days=6), run).archives == 0
    assert sweep(NOON + timedelta(days=8), run).archives == 2
    assert [is_there(one) for one in (rejected, withdrawn, waiting)] == [False, False, True]


def test_archives_of_failed_evaluations_stay_while_they_can_be_queued_again(
    phase: Phase, team: Team, django_capture_on_commit_callbacks: Any
) -> None:
    failed = submit(team, phase)
    claim = evaluations.claim(worker="w", now=NOON)
    assert claim is not None
    evaluations.mark_failed(claim.evaluation_id, attempt=1, code="scorer-killed", now=NOON)
    sweep(LATER - timedelta(days=1), django_capture_on_commit_callbacks)
    assert is_there(failed)
    sweep(LATER, django_capture_on_commit_callbacks)
    assert not is_there(failed)
    with refused("archive-removed"):
        evaluations.requeue_failed(evaluation_id=claim.evaluation_id, actor=None, now=LATER)


def test_in_a_phase_without_an_end_old_ones_go(
    team: Team, phase: Phase, django_capture_on_commit_callbacks: Any
) -> None:
    Phase.objects.update(closes_at=None, archives_kept_days=10)
    old, best = submit(team, phase), submit(team, phase)
    young = submit(team, phase, at=NOON + timedelta(days=5))
    for submission, miou in ((old, 0.4), (best, 0.9), (young, 0.5)):
        give_score(submission, miou)
    sweep(NOON + timedelta(days=11), django_capture_on_commit_callbacks)
    assert [is_there(one) for one in (old, best, young)] == [False, True, True]


def test_a_kill_between_row_and_file_leaves_an_orphan_that_is_swept(
    phase: Phase, team: Team
) -> None:
    best, worse = submit(team, phase), submit(team, phase)
    give_score(best, 0.9)
    give_score(worse, 0.4)
    retention.sweep(now=LATER)  # the file's deletion waits for a commit that never comes here
    assert default_storage.exists(worse.archive)
    archives.sweep_orphans(now=timezone.now() + timedelta(days=3))
    assert not default_storage.exists(worse.archive)
    assert default_storage.exists(best.archive)


def test_a_re_score_leaves_out_what_has_no_archive(
    phase: Phase, team: Team, django_capture_on_commit_callbacks: Any
) -> None:
    best, worse = submit(team, phase), submit(team, phase)
    give_score(best, 0.9)
    give_score(worse, 0.4)
    sweep(LATER, django_capture_on_commit_callbacks)
    labels = factories.make_truth(phase.challenge)
    queued = rescoring.enqueue(phase=phase, ground_truth=labels, actor=None, now=LATER)
    assert [one.submission_id for one in queued] == [best.pk]
    give_score(best, 0.8, at=LATER)
    assert phase.task_spec is not None
    pending = rescoring.pending(phase=phase, ground_truth=labels, task_spec=phase.task_spec)
    assert pending == []  # nothing waits for what nobody can score


def test_what_is_scored_again_is_not_taken_away(
    phase: Phase, team: Team, django_capture_on_commit_callbacks: Any
) -> None:
    best, worse = submit(team, phase), submit(team, phase)
    give_score(best, 0.9)
    give_score(worse, 0.4)
    rescoring.enqueue(phase=phase, force=True, actor=None, now=LATER)
    assert sweep(LATER, django_capture_on_commit_callbacks).archives == 0
    assert is_there(worse)


def test_a_team_frees_its_own_space(
    phase: Phase, team: Team, django_capture_on_commit_callbacks: Any
) -> None:
    best, worse = submit(team, phase), submit(team, phase)
    give_score(best, 0.9)
    ada = captain_of(team)
    with refused("archive-needed"):
        retention.remove_archive(submission=worse, actor=ada)  # it waits
    give_score(worse, 0.4)
    with refused("archive-needed"):
        retention.remove_archive(submission=best, actor=ada)  # it is on the board
    with refused("not-found"):
        retention.remove_archive(submission=worse, actor=factories.make_user("eve"))
    used = limits.storage_use(team).kept_bytes
    with django_capture_on_commit_callbacks(execute=True):
        retention.remove_archive(submission=worse, actor=ada)
    assert limits.storage_use(team).kept_bytes == used - 10
    assert not is_there(worse)
    with refused("archive-removed"):
        retention.remove_archive(submission=worse, actor=ada)


def test_a_teams_archives_have_a_limit(phase: Phase, team: Team) -> None:
    phase.challenge.team_archives_bytes = 25
    phase.challenge.save()
    submit(team, phase)
    submit(team, phase)
    before = Submission.objects.count()
    with refused("team-archives-full") as caught:
        submit(team, phase)
    assert caught.value.status == 413
    assert caught.value.params == {"found_bytes": 30, "allowed_bytes": 25}
    assert Submission.objects.count() == before
    submit(make_team(phase.challenge), phase)  # another team has its own


def test_the_limit_is_reported_before_the_first_byte(
    phase: Phase, team: Team, settings: Any, tmp_path: Path
) -> None:
    settings.UPLOADS_DIR, settings.UPLOAD_RESERVE_BYTES = tmp_path, 0
    phase.challenge.team_archives_bytes = 25
    phase.challenge.save()
    submit(team, phase)
    ada = captain_of(team)
    mate = factories.make_user("mate")
    team.memberships.create(user=mate, challenge=phase.challenge, role="member")
    mate.registrations.create(challenge=phase.challenge, terms_version="1", accepted_at=NOON)
    first = uploads.create(user=mate, length_bytes=10, metadata={"phase": str(phase)})
    with refused("team-archives-full"):  # what a team mate is sending counts too
        uploads.create(user=ada, length_bytes=10, metadata={"phase": str(phase)})
    with refused("team-archives-full"):  # clients that do not say what it is for, too
        uploads.create(user=ada, length_bytes=10)
    uploads.terminate(first)
    uploads.create(user=ada, length_bytes=10)
    elsewhere = make_phase(factories.make_challenge("xyz"))
    make_team(elsewhere.challenge, members=[ada])
    uploads.create(user=ada, length_bytes=100)  # for the other challenge, perhaps
    with refused("team-archives-full"):
        uploads.create(user=ada, length_bytes=100, metadata={"phase": str(phase)})
    uploads.create(user=factories.register(factories.make_user("guest")), length_bytes=100)
    assert Upload.objects.count() == 3


def test_ones_own_upload_does_not_count_twice(
    phase: Phase, team: Team, settings: Any, tmp_path: Path
) -> None:
    settings.UPLOADS_DIR, settings.UPLOAD_RESERVE_BYTES = tmp_path, 0
    phase.challenge.team_archives_bytes = 10
    phase.challenge.save()
    ada = captain_of(team)
    upload = uploads.create(user=ada, length_bytes=10, metadata={"phase": str(phase)})
    uploads.receive(
        upload=upload, stream=io.BytesIO(b"1234567890"), offset_bytes=0, length_bytes=10
    )
    submissions.submit_upload(
        user=ada, phase=phase, upload=upload, method=submissions.MethodFacts("m"), now=NOON
    )
    assert limits.storage_use(team).used_bytes == 10
    with refused("team-archives-full"):
        submissions.precheck(user=ada, phase=phase, now=NOON)


def test_evidence_of_lost_attempts_is_swept(
    phase: Phase, team: Team, settings: Any, tmp_path: Path
) -> None:
    settings.EVIDENCE_DIR = tmp_path
    scored, waiting = submit(team, phase), submit(team, phase)
    first = Evaluation.objects.get(submission=scored)
    second = Evaluation.objects.get(submission=waiting)
    named = f"{scored.pk}-{first.pk}-2.evidence"
    give_score(scored, 0.4)
    first.score.evidence_name = named
    first.score.save()
    lost = f"{scored.pk}-{first.pk}-1.evidence"
    half = f".{scored.pk}-{first.pk}-1.evidence.0123456789abcdef"
    running = f"{waiting.pk}-{second.pk}-1.evidence"
    unknown = f"{uuid4()}-999999-1.evidence"
    for name in (named, lost, half, running, unknown, "readme.txt"):
        (tmp_path / name).write_bytes(b"x")
    assert retention.sweep_evidence() == 0  # all of them are young
    tomorrow = timezone.now() + timedelta(days=2)
    assert retention.sweep_evidence(now=tomorrow) == 2
    assert {path.name for path in tmp_path.iterdir()} == {named, running, unknown, "readme.txt"}


def test_the_sweep_of_files_does_it_all(phase: Phase, team: Team, settings: Any) -> None:
    from challenge.workers import maintenance

    best, worse = submit(team, phase), submit(team, phase)
    give_score(best, 0.9)
    give_score(worse, 0.4)
    Phase.objects.update(
        opens_at=timezone.now() - timedelta(days=200), closes_at=timezone.now() - KEPT
    )
    assert maintenance.sweep_files()["removed"] == 1
    assert b"".join(archives.read_range(best, first=0, end=10)) == b"1234567890"
