"""Uploads below the protocol: limits, finishing once, submitting once, sweeping."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from threading import Event, Thread, Timer
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.db import connection, transaction
from django.utils import timezone

from challenge.models import Phase, Submission, Upload, User
from challenge.services.storage import archives, parts, upload_sweep, uploads
from challenge.services.submissions import submissions
from challenge.services.submissions.submissions import MethodFacts
from tests import factories
from tests.helpers import refused
from tests.services.storage.conftest import BODY, SHA256, declare, fill


def test_it_works(ada: User) -> None:
    upload = fill(declare(ada))
    archive = uploads.archive_of(user=ada, upload_id=upload.id)
    assert (archive.sha256, archive.bytes, archive.original_name) == (SHA256, len(BODY), "p.zip")
    with default_storage.open(archive.name) as stored:
        assert stored.read() == BODY


def test_a_folder_as_storage_gets_a_hard_link(ada: User) -> None:
    upload = fill(declare(ada))
    inode = parts.part_path(upload.id).stat().st_ino
    uploads.finish(upload)
    assert Path(default_storage.path(upload.archive)).stat().st_ino == inode


def test_finishing_twice_stores_once(ada: User) -> None:
    upload = fill(declare(ada))
    first = uploads.finish(upload).archive
    assert uploads.finish(Upload.objects.get(pk=upload.pk)).archive == first


def test_a_kill_between_storage_and_row_loses_nothing(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = fill(declare(ada))

    class Killed(BaseException):
        """What SIGKILL is to a program."""

    def die(*_args: object, **_more: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Upload, "save", die)
        with pytest.raises(Killed):
            uploads.finish(upload)
    again = Upload.objects.get(pk=upload.pk)
    assert again.archive == ""
    assert uploads.finish(again).sha256 == SHA256


def test_an_incomplete_upload_has_no_archive(ada: User) -> None:
    upload = declare(ada)
    fill(upload, BODY[:1000])
    with refused("upload-incomplete"):
        uploads.archive_of(user=ada, upload_id=upload.id)


def test_an_upload_that_another_process_stores_is_not_ready(ada: User) -> None:
    upload = fill(declare(ada))
    with parts.locked(upload.id), refused("upload-not-ready"):
        uploads.finish(upload, wait_s=0.1)


def test_number_and_bytes_of_unsubmitted_uploads_are_limited(ada: User, settings: Any) -> None:
    settings.UPLOAD_USER_COUNT = 3
    for _turn in range(3):
        last = declare(ada)
    with refused("upload-count"):
        declare(ada)
    uploads.terminate(last)
    settings.UPLOAD_USER_BYTES = 2 * len(BODY) + 10
    with refused("upload-quota"):
        declare(ada, 11)
    declare(ada, 10)


def test_submitted_uploads_do_not_count_against_the_limits(ada: User, settings: Any) -> None:
    settings.UPLOAD_USER_COUNT = 1
    phase = factories.make_phase(opens_at=timezone.now(), closes_at=None)
    team = factories.make_team(phase.challenge, members=[ada])
    upload = fill(declare(ada))
    archive = uploads.archive_of(user=ada, upload_id=upload.id)
    factories.submit(team, phase, at=timezone.now(), archive=archive, upload=upload)
    declare(ada)
    with refused("upload-used"):
        uploads.archive_of(user=ada, upload_id=upload.id)


def test_an_archive_stays_with_its_submission_when_the_upload_goes(ada: User) -> None:
    phase = factories.make_phase(opens_at=timezone.now(), closes_at=None)
    team = factories.make_team(phase.challenge, members=[ada])
    upload = fill(declare(ada))
    archive = uploads.archive_of(user=ada, upload_id=upload.id)
    factories.submit(team, phase, at=timezone.now(), archive=archive, upload=upload)
    upload_sweep.sweep(now=timezone.now() + timedelta(days=30))
    assert not Upload.objects.exists()
    with archives.open_local(archive.name) as path:
        assert path.read_bytes() == BODY


class SubmissionInThread:
    """Submits an upload in a thread of its own; commits 0.5 s after the block was entered."""

    def __init__(self, user: User, upload: Upload, phase: Phase) -> None:
        self.is_written, self.may_commit = Event(), Event()
        self._arguments = {"user": user, "upload": upload, "phase": phase}
        self._thread = Thread(target=self._work)

    def __enter__(self) -> None:
        self._thread.start()
        assert self.is_written.wait(10)
        Timer(0.5, self.may_commit.set).start()

    def __exit__(self, *_: object) -> None:
        self._thread.join(10)

    def _work(self) -> None:
        try:
            with transaction.atomic():
                submit_upload(**self._arguments)
                self.is_written.set()
                assert self.may_commit.wait(10)
        finally:
            connection.close()


def submit_upload(**arguments: Any) -> Submission:
    return submissions.submit_upload(
        **arguments, method=MethodFacts(method_name="m"), now=factories.NOON
    )


@pytest.mark.django_db(transaction=True)
def test_an_upload_deleted_while_it_is_submitted_leaves_its_archive() -> None:
    phase = factories.make_phase()
    team = factories.make_team(phase.challenge)
    user = factories.captain_of(team)
    upload = uploads.finish(fill(declare(user)))
    with SubmissionInThread(user, upload, phase):
        uploads.terminate(upload)
    submission = Submission.objects.get()
    assert submission.upload is None
    assert not Upload.objects.exists()
    with default_storage.open(submission.archive) as stored:
        assert stored.read() == BODY


@pytest.mark.django_db(transaction=True)
def test_an_upload_submitted_to_two_phases_at_once_is_used_once() -> None:
    phase = factories.make_phase()
    other = factories.make_phase(phase.challenge, "other")
    team = factories.make_team(phase.challenge)
    user = factories.captain_of(team)
    upload = uploads.finish(fill(declare(user)))
    with SubmissionInThread(user, upload, phase), refused("upload-used"):
        submit_upload(user=user, upload=upload, phase=other)
    assert Submission.objects.get().entry.phase == phase


@pytest.mark.django_db(transaction=True)
def test_an_upload_deleted_meanwhile_is_not_submitted() -> None:
    phase = factories.make_phase()
    user = factories.captain_of(factories.make_team(phase.challenge))
    upload = uploads.finish(fill(declare(user)))
    archive = uploads.archive_of(user=user, upload_id=upload.id)
    uploads.terminate(Upload.objects.get(pk=upload.pk))
    with refused("upload-expired"):
        submissions.submit(
            user=user,
            phase=phase,
            archive=archive,
            upload=upload,
            method=MethodFacts(method_name="m"),
            now=factories.NOON,
        )


def test_the_sweep_deletes_what_expired_and_finishes_what_was_left(ada: User) -> None:
    now = timezone.now()
    old, half, kept = fill(declare(ada)), declare(ada), fill(declare(ada))
    uploads.finish(old)
    archive = default_storage.path(old.archive)
    Upload.objects.filter(pk__in=[old.pk, half.pk]).update(expires_at=now)
    Upload.objects.filter(pk=kept.pk).update(completed_at=now - timedelta(hours=1))
    swept = upload_sweep.sweep(now=now)
    assert (swept.expired, swept.finished) == (2, 1)
    assert not Path(archive).exists()
    assert list(Path(parts.part_path(half.id).parent).iterdir()) == []
    assert Upload.objects.get().sha256 == SHA256


def test_the_sweep_skips_an_upload_that_is_being_written(ada: User) -> None:
    upload = declare(ada)
    Upload.objects.update(expires_at=timezone.now())
    with parts.locked(upload.id):
        assert upload_sweep.sweep().expired == 0
    assert upload_sweep.sweep().expired == 1


def test_part_files_without_a_row_are_removed_after_a_day(ada: User) -> None:
    upload = declare(ada)
    part = parts.part_path(upload.id)
    Upload.objects.all().delete()
    assert upload_sweep.sweep().orphans == 0
    assert upload_sweep.sweep(now=timezone.now() + timedelta(days=2)).orphans == 1
    assert not part.exists()


@pytest.mark.parametrize("act", [uploads.terminate, uploads.offset_bytes, uploads.finish, fill])
def test_an_upload_that_another_request_deleted_is_gone(ada: User, act: Any) -> None:
    upload = declare(ada)
    uploads.terminate(Upload.objects.get(pk=upload.pk))
    if act is uploads.terminate:
        act(upload)
    else:
        with refused("upload-expired"):
            act(upload)


@pytest.mark.django_db
def test_only_who_takes_part_in_a_challenge_may_upload() -> None:
    guest = factories.make_user("guest")
    with refused("upload-not-registered"):
        declare(guest)
    challenge = factories.make_challenge(approval_required=True)
    factories.register(guest, challenge)
    with refused("upload-not-registered"):
        declare(guest)
    guest.registrations.update(state="approved")
    declare(guest)
    organiser = factories.make_user("olga")
    factories.make_organiser(challenge, organiser)
    declare(organiser)
