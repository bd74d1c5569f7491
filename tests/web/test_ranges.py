"""A submission's archive comes back in ranges, from a folder and from an object store."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.urls import reverse

from challenge.models import Phase, Submission
from challenge.services.storage import object_store
from tests import factories, s3_server
from tests.s3_server import BUCKET, S3Server, s3, s3_process
from tests.web.conftest import Visit

__all__ = ["s3", "s3_process"]  # fixtures

pytestmark = pytest.mark.filterwarnings(s3_server.QUIET)
BODY = bytes(range(256)) * 40_000


@pytest.fixture
def store(s3: S3Server, settings: Any) -> S3Server:
    """Archives are stored in a bucket of a real server."""
    settings.STORAGES = s3.storages
    return s3


@pytest.fixture
def submission(phase: Phase) -> Submission:
    team = factories.make_team(phase.challenge, "Larch")
    return factories.submit(team, phase, archive=factories.make_archive(BODY))


def ask(visit: Visit, submission: Submission, wanted: str | None) -> Any:
    headers = {} if wanted is None else {"Range": wanted}
    address = reverse("web:submission-archive", args=[submission.pk])
    return visit(submission.submitted_by).get(address, headers=headers)


@pytest.mark.parametrize(
    ("wanted", "first", "end"),
    [
        (None, 0, len(BODY)),
        ("bytes=0-99", 0, 100),
        ("bytes=1500000-1500999", 1_500_000, 1_501_000),
        (f"bytes={len(BODY) - 22}-", len(BODY) - 22, len(BODY)),
        (f"bytes=5000000-{len(BODY) * 2}", 5_000_000, len(BODY)),
    ],
)
def test_a_store_is_asked_for_the_wanted_bytes_alone(
    store: S3Server, submission: Submission, visit: Visit, wanted: str | None, first: int, end: int
) -> None:
    fetched: list[int] = []
    client = object_store.configured_store()._client  # type: ignore[union-attr]
    note = lambda parsed, **_: fetched.append(parsed["ContentLength"])  # noqa: E731
    client.meta.events.register("after-call.s3.GetObject", note)
    try:
        answer = ask(visit, submission, wanted)
        assert b"".join(answer.streaming_content) == BODY[first:end]
    finally:
        client.meta.events.unregister("after-call.s3.GetObject", note)
    assert fetched == [end - first]
    assert answer.status_code == (200 if wanted is None else 206)


def test_a_missing_archive_is_reported_before_the_first_byte(
    store: S3Server, submission: Submission, visit: Visit
) -> None:
    default_storage.delete(submission.archive)
    assert ask(visit, submission, "bytes=0-9").status_code == 409


def test_a_store_that_does_not_answer_is_reported(
    store: S3Server, submission: Submission, visit: Visit
) -> None:
    store.client.delete_object(Bucket=BUCKET, Key=f"site/{submission.archive}")
    store.client.delete_bucket(Bucket=BUCKET)
    try:
        answer = ask(visit, submission, "bytes=0-9")
        assert answer.status_code == 503
        assert "cannot be reached" in answer.content.decode()
    finally:
        store.client.create_bucket(Bucket=BUCKET)
