"""Multipart uploads below the protocol: expiry, orphans, kills, a store that is away or forgets."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from django.utils import timezone

from challenge.models import Upload, User
from challenge.services.storage import archives, multipart, parts, upload_sweep, uploads
from tests import s3_server
from tests.helpers import refused
from tests.live_site import free_port
from tests.s3_server import S3Server
from tests.services.storage.conftest import append, declare, fill

pytestmark = pytest.mark.filterwarnings(s3_server.QUIET)
MIB = 2**20
PART = 5 * MIB
SIZE = 23_000_000  # four parts and a rest
BODY = os.urandom(SIZE)
SHA256 = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def in_s3(settings: Any, s3: S3Server) -> S3Server:
    """This process stores in S3."""
    settings.STORAGES = s3.storages
    settings.UPLOAD_PART_BYTES = PART
    return s3


def half_sent(user: User) -> Upload:
    upload = declare(user, SIZE)
    append(upload, BODY[: 2 * PART], offset=0)
    return upload


def test_expiry_aborts_the_multipart_upload(ada: User, in_s3: S3Server) -> None:
    half_sent(ada)
    assert in_s3.parts() == [PART, PART]
    Upload.objects.update(expires_at=timezone.now())
    assert upload_sweep.sweep().expired == 1
    assert in_s3.incomplete() == []


def test_orphaned_multipart_uploads_are_aborted_and_no_others(ada: User, in_s3: S3Server) -> None:
    kept, lost = half_sent(ada), half_sent(ada)
    Upload.objects.filter(pk=lost.pk).delete()  # as when an account is deleted
    key = f"site/{archives.FOLDER}/2026-01-01/{'0' * 32}.zip"  # of a form post that was killed
    in_s3.client.create_multipart_upload(Bucket=s3_server.BUCKET, Key=key)
    other = in_s3.client.create_multipart_upload(Bucket=s3_server.BUCKET, Key="another/thing.zip")
    soon = timezone.now() + timedelta(days=2)
    Upload.objects.update(expires_at=soon + timedelta(days=9))
    assert upload_sweep.sweep(now=soon).aborted == 2
    left = {upload["Key"] for upload in in_s3.incomplete()}
    assert left == {"another/thing.zip", f"site/{multipart.load_state(kept.id).name}"}
    append(kept, BODY[2 * PART :], offset=2 * PART)
    assert uploads.archive_of(user=ada, upload_id=kept.id).sha256 == SHA256
    assert other["UploadId"]


def test_a_multipart_upload_started_twice_is_aborted_a_day_after_the_upload_was_stored(
    ada: User, in_s3: S3Server
) -> None:
    upload = fill(declare(ada, SIZE), BODY)
    state = multipart.load_state(upload.id)
    assert state is not None
    # As when a process was killed before it could write the state file.
    in_s3.client.create_multipart_upload(Bucket=s3_server.BUCKET, Key=f"site/{state.name}")
    uploads.finish(upload)
    soon = timezone.now() + timedelta(days=2)
    Upload.objects.update(expires_at=soon + timedelta(days=9))
    assert upload_sweep.sweep(now=soon).aborted == 1
    assert (in_s3.incomplete(), in_s3.objects()) == ([], [f"site/{state.name}"])


def test_a_kill_between_the_store_and_the_row_loses_nothing(
    ada: User, in_s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = fill(declare(ada, SIZE), BODY)

    class Killed(BaseException):
        """What SIGKILL is to a program."""

    def die(*_args: object, **_more: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Upload, "save", die)
        with pytest.raises(Killed):
            uploads.finish(upload)
    again = Upload.objects.get(pk=upload.pk)
    assert (again.archive, len(in_s3.objects())) == ("", 1)
    # The object is whole and no row names it yet: no sweep may take it.
    assert archives.sweep_orphans(now=timezone.now() + timedelta(days=3)) == 0
    assert uploads.finish(again).sha256 == SHA256
    assert in_s3.objects() == [f"site/{again.archive}"]


def test_while_the_store_does_not_answer_parts_wait_on_the_disk(
    ada: User, in_s3: S3Server, settings: Any
) -> None:
    upload = half_sent(ada)
    settings.STORAGES = s3_server.storages_at(f"http://127.0.0.1:{free_port()}")  # no server
    assert append(upload, BODY[2 * PART :], offset=2 * PART) == SIZE
    with refused("upload-not-ready"):
        uploads.finish(upload)
    assert in_s3.parts() == [PART, PART]
    settings.STORAGES = in_s3.storages
    assert uploads.archive_of(user=ada, upload_id=upload.id).sha256 == SHA256


class NoSuchUploadHandler(BaseHTTPRequestHandler):
    """Answers as S3 does for a multipart upload that was aborted (moto's server breaks on it)."""

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        body = b"<Error><Code>NoSuchUpload</Code><Message>gone</Message></Error>"
        self.send_response(404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


@pytest.fixture
def store_without_uploads() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), NoSuchUploadHandler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_store_without_the_parts_ends_the_upload(
    ada: User, in_s3: S3Server, settings: Any, store_without_uploads: str
) -> None:
    upload = half_sent(ada)
    settings.STORAGES = s3_server.storages_at(
        store_without_uploads
    )  # a rule of the bucket aborted it
    with refused("upload-expired"):
        append(upload, BODY[2 * PART :], offset=2 * PART)
    with refused("upload-expired"):
        uploads.offset_bytes(upload)


def test_holes_without_a_state_file_are_never_read_as_zeros(
    ada: User, in_s3: S3Server, settings: Any
) -> None:
    upload = half_sent(ada)
    multipart.delete_state(upload.id)
    with refused("upload-expired"):
        append(upload, BODY[2 * PART :], offset=2 * PART)
    upload = half_sent(ada)
    # The storage was changed to a folder: what is in S3 cannot be read.
    settings.STORAGES = settings.STORAGES | {
        "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"}
    }
    append(upload, BODY[2 * PART :], offset=2 * PART)
    with refused("upload-expired"):
        uploads.finish(upload)


def test_an_upload_needs_free_space_for_some_parts_only(
    ada: User, in_s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "free_bytes", lambda: 4 * PART)
    declare(ada, 100 * PART)
    monkeypatch.setattr(parts, "free_bytes", lambda: 4 * PART - 1)
    with refused("upload-disk-full"):
        declare(ada, 100 * PART)


def test_an_object_store_gets_the_same_bytes(ada: User, in_s3: S3Server) -> None:
    archive = uploads.archive_of(user=ada, upload_id=fill(declare(ada, SIZE), BODY).id)
    assert archive.sha256 == SHA256
    with archives.open_local(archive.name) as path:
        assert path.read_bytes() == BODY
    uploads.terminate(Upload.objects.get())
    with refused("archive-missing"), archives.open_local(archive.name):
        raise AssertionError("opened what was deleted")
