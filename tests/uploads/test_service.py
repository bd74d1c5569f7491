"""Uploads below the protocol: finishing once, taking once, sweeping, full disks, object stores."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread, Timer
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.db import connection, transaction
from django.utils import timezone

from challenge.errors import Refusal
from challenge.models import Phase, Submission, Upload, User
from challenge.services import archives, submissions, upload_parts, uploads
from challenge.services.submissions import MethodFacts
from tests import factories
from tests.live_site import LiveSite
from tests.uploads.conftest import Tus

BODY = os.urandom(200_000)
SHA256 = hashlib.sha256(BODY).hexdigest()


@pytest.fixture(autouse=True)
def _folders(tmp_path: Path, settings: Any) -> None:
    settings.UPLOADS_DIR = tmp_path / "parts"
    settings.UPLOAD_RESERVE_BYTES = 0


@pytest.fixture
def ada(db: None) -> User:
    return factories.make_user("ada")


def declare(user: User, length: int = len(BODY)) -> Upload:
    return uploads.create(user=user, length_bytes=length, original_name="a/b\x00\\p.zip")


def fill(upload: Upload, body: bytes = BODY) -> Upload:
    uploads.receive(upload=upload, stream=io.BytesIO(body), offset_bytes=0, length_bytes=len(body))
    return upload


def refused(code: str) -> Any:
    return pytest.raises(Refusal, check=lambda refusal: refusal.code == code)


def test_it_works(ada: User) -> None:
    upload = fill(declare(ada))
    taken = uploads.take(user=ada, upload_id=upload.id)
    assert (taken.sha256, taken.bytes, taken.original_name) == (SHA256, len(BODY), "p.zip")
    with default_storage.open(taken.name) as stored:
        assert stored.read() == BODY


def test_nothing_is_copied_where_a_second_name_will_do(ada: User) -> None:
    upload = fill(declare(ada))
    inode = upload_parts.part_path(upload.id).stat().st_ino
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


def test_what_is_not_complete_cannot_be_taken(ada: User) -> None:
    upload = declare(ada)
    fill(upload, BODY[:1000])
    with refused("upload-incomplete"):
        uploads.take(user=ada, upload_id=upload.id)


def test_what_is_being_stored_elsewhere_is_not_ready(ada: User) -> None:
    upload = fill(declare(ada))
    with upload_parts.locked(upload.id), refused("upload-not-ready"):
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


def test_what_was_submitted_counts_no_more(ada: User, settings: Any) -> None:
    settings.UPLOAD_USER_COUNT = 1
    phase = factories.make_phase(opens_at=timezone.now(), closes_at=None)
    team = factories.make_team(phase.challenge, members=[ada])
    upload = fill(declare(ada))
    archive = uploads.take(user=ada, upload_id=upload.id)
    factories.submit(team, phase, at=timezone.now(), archive=archive, upload=upload)
    declare(ada)
    with refused("upload-used"):
        uploads.take(user=ada, upload_id=upload.id)


def test_an_archive_stays_with_its_submission_when_the_upload_goes(ada: User) -> None:
    phase = factories.make_phase(opens_at=timezone.now(), closes_at=None)
    team = factories.make_team(phase.challenge, members=[ada])
    upload = fill(declare(ada))
    archive = uploads.take(user=ada, upload_id=upload.id)
    factories.submit(team, phase, at=timezone.now(), archive=archive, upload=upload)
    uploads.sweep(now=timezone.now() + timedelta(days=30))
    assert not Upload.objects.exists()
    with archives.open_local(archive.name) as path:
        assert path.read_bytes() == BODY


class Elsewhere:
    """Submits an upload in a thread of its own and commits when told to."""

    def __init__(self, user: User, upload: Upload, phase: Phase) -> None:
        self.is_written, self.may_commit = Event(), Event()
        self._what = {"user": user, "upload": upload, "phase": phase}
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
                submit_upload(**self._what)
                self.is_written.set()
                assert self.may_commit.wait(10)
        finally:
            connection.close()


def submit_upload(**what: Any) -> Submission:
    return submissions.submit_upload(
        **what, method=MethodFacts(method_name="m"), now=factories.NOON
    )


@pytest.mark.django_db(transaction=True)
def test_an_upload_deleted_while_it_is_submitted_leaves_its_archive() -> None:
    phase = factories.make_phase()
    team = factories.make_team(phase.challenge)
    user = factories.captain_of(team)
    upload = uploads.finish(fill(declare(user)))
    with Elsewhere(user, upload, phase):
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
    with Elsewhere(user, upload, phase), refused("upload-used"):
        submit_upload(user=user, upload=upload, phase=other)
    assert Submission.objects.get().entry.phase == phase


@pytest.mark.django_db(transaction=True)
def test_an_upload_that_went_meanwhile_is_not_submitted() -> None:
    phase = factories.make_phase()
    user = factories.captain_of(factories.make_team(phase.challenge))
    upload = uploads.finish(fill(declare(user)))
    archive = uploads.take(user=user, upload_id=upload.id)
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
    swept = uploads.sweep(now=now)
    assert (swept.expired, swept.finished) == (2, 1)
    assert not Path(archive).exists()
    assert list(Path(upload_parts.part_path(half.id).parent).iterdir()) == []
    assert Upload.objects.get().sha256 == SHA256


def test_the_sweep_leaves_alone_what_is_being_written(ada: User) -> None:
    upload = declare(ada)
    Upload.objects.update(expires_at=timezone.now())
    with upload_parts.locked(upload.id):
        assert uploads.sweep().expired == 0
    assert uploads.sweep().expired == 1


def test_parts_that_nobody_knows_go_after_a_day(ada: User) -> None:
    upload = declare(ada)
    part = upload_parts.part_path(upload.id)
    Upload.objects.all().delete()
    assert uploads.sweep().orphans == 0
    assert uploads.sweep(now=timezone.now() + timedelta(days=2)).orphans == 1
    assert not part.exists()


def test_an_object_store_gets_the_same_bytes(ada: User, settings: Any, s3: str) -> None:
    settings.STORAGES = settings.STORAGES | {
        "default": {
            "BACKEND": "storages.backends.s3.S3Storage",
            "OPTIONS": {
                "bucket_name": "archives",
                "endpoint_url": s3,
                "access_key": "a",
                "secret_key": "b",
                "region_name": "us-east-1",
                "file_overwrite": False,
            },
        }
    }
    body = os.urandom(11_000_000)  # more than one part of a multipart upload
    upload = declare(ada, len(body))
    fill(upload, body)
    taken = uploads.take(user=ada, upload_id=upload.id)
    assert taken.sha256 == hashlib.sha256(body).hexdigest()
    with archives.open_local(taken.name) as path:
        assert path.read_bytes() == body
    uploads.terminate(Upload.objects.get())
    with refused("archive-missing"):
        archives.open_stored(taken.name)


@pytest.fixture
def s3() -> Iterator[str]:
    import boto3  # type: ignore[import-untyped]
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    client = boto3.client(
        "s3",
        endpoint_url=url,
        aws_access_key_id="a",
        aws_secret_access_key="b",
        region_name="us-east-1",
    )
    client.create_bucket(Bucket="archives")
    client.close()
    yield url
    server.stop()


@pytest.mark.django_db(transaction=True)
@pytest.mark.timeout(60)
def test_a_full_disk_keeps_what_fitted_and_says_507(
    tmp_path: Path, token: str, person: User
) -> None:
    """On a real file system of two megabytes, seen by the server alone."""
    unshare = shutil.which("unshare")
    assert unshare, "unshare (util-linux) is needed"
    parts = tmp_path / "small"
    parts.mkdir()
    mount = f'mount -t tmpfs -o size=2m tmpfs {parts} && exec "$@"'
    site = LiveSite(
        tmp_path,
        environment={"UPLOADS_DIR": str(parts)},
        prefix=(unshare, "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh"),
    )
    site.start()
    try:
        tus = Tus(site, token)
        response = tus.request("POST", "/api/v1/uploads", Upload_Length="3000000")
        assert response.status == 507  # declared more than there is
        first, second = tus.create(1_800_000), tus.create(1_800_000)
        body = bytes(1_800_000)
        assert tus.patch(first, body[:1_500_000], offset=0) == 204
        assert tus.patch(second, body, offset=0) == 507  # the disk is full in the middle
        kept = tus.offset(second)
        assert 0 < kept < 600_000
        assert tus.request("DELETE", first).status == 204
        assert tus.patch(second, body[kept:], offset=kept) == 204
    finally:
        site.stop()
