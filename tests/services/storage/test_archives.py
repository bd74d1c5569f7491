"""Archives: streamed, hashed, swept when nobody names them."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import boto3
import pytest
from django.core.files.storage import default_storage
from django.test import override_settings
from django.utils import timezone
from moto import mock_aws

from challenge.errors import Refusal
from challenge.services.storage import archives
from tests.factories import make_archive, make_phase, make_team, submit

pytestmark = pytest.mark.django_db


class Counted(io.BytesIO):
    """A stream that remembers the largest piece that was asked of it."""

    largest_bytes = 0

    def read(self, size: int | None = -1) -> bytes:
        self.largest_bytes = max(self.largest_bytes, size if size and size > 0 else 1 << 62)
        return super().read(size)


def test_a_stream_is_stored_in_pieces_and_hashed() -> None:
    content = os.urandom(3 * archives.CHUNK_BYTES + 17)
    stream = Counted(content)
    found = archives.store(stream, original_name="p.zip", limit_bytes=1 << 30)
    assert stream.largest_bytes <= archives.CHUNK_BYTES
    assert (found.bytes, found.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    with archives.open_local(found.name) as path:
        assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("content", "code"), [(b"", "archive-empty"), (b"x" * 11, "archive-too-large")]
)
def test_refused_bytes_are_not_stored(content: bytes, code: str) -> None:
    before = names()
    with pytest.raises(Refusal) as refused:
        archives.store(io.BytesIO(content), original_name="p.zip", limit_bytes=10)
    assert refused.value.code == code
    assert names() == before


def test_exactly_the_limit_is_taken() -> None:
    found = archives.store(io.BytesIO(b"x" * 10), original_name="p.zip", limit_bytes=10)
    assert found.bytes == 10


def test_a_missing_archive_is_reported() -> None:
    with pytest.raises(Refusal) as refused, archives.open_local("archives/gone.zip"):
        raise AssertionError("opened what is not there")
    assert refused.value.code == "archive-missing"


def test_what_a_submission_names_is_never_deleted() -> None:
    phase = make_phase()
    archive = make_archive(b"bytes")
    submit(make_team(phase.challenge), phase, archive=archive)
    archives.delete(archive.name)
    assert default_storage.exists(archive.name)
    assert archives.sweep_orphans(now=timezone.now() + timedelta(days=9)) >= 0
    assert default_storage.exists(archive.name)


def test_orphans_are_swept_after_a_day() -> None:
    orphan = make_archive(b"bytes")
    archives.sweep_orphans()
    assert default_storage.exists(orphan.name)
    assert archives.sweep_orphans(now=timezone.now() + timedelta(days=3)) >= 1
    assert not default_storage.exists(orphan.name)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="archives")
        storage = {
            "BACKEND": "storages.backends.s3.S3Storage",
            "OPTIONS": {"bucket_name": "archives", "region_name": "us-east-1"},
        }
        with override_settings(STORAGES={"default": storage}):
            yield


@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")
def test_an_object_store_does_as_well(bucket: None) -> None:
    content = os.urandom(2 * archives.CHUNK_BYTES + 5)
    found = archives.store(io.BytesIO(content), original_name="p.zip", limit_bytes=1 << 30)
    assert found.sha256 == hashlib.sha256(content).hexdigest()
    with archives.open_local(found.name) as path:
        assert path.read_bytes() == content
        folder: Path = path.parent
    assert not folder.exists()
    with pytest.raises(Refusal), archives.open_local("archives/gone.zip"):
        raise AssertionError("opened what is not there")
    archives.delete(found.name)
    assert not default_storage.exists(found.name)
    with pytest.raises(Refusal):
        archives.store(io.BytesIO(content), original_name="p.zip", limit_bytes=10)


def test_an_object_store_that_does_not_answer_is_no_missing_archive(bucket: None) -> None:
    options = {
        "bucket_name": "archives",
        "region_name": "us-east-1",
        "endpoint_url": "http://127.0.0.1:9",
    }
    storage = {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": options}
    with (
        override_settings(STORAGES={"default": storage}),
        pytest.raises(Refusal) as refused,
        archives.open_local("archives/2026-01-01/a.zip"),
    ):
        raise AssertionError("opened what cannot be reached")
    assert refused.value.code == "archive-unreachable"


def names() -> set[str]:
    found: set[str] = set()
    if default_storage.exists("archives"):
        for day in default_storage.listdir("archives")[0]:
            found |= set(default_storage.listdir(f"archives/{day}")[1])
    return found
