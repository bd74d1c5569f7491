"""Files that come with a form: nobody fills the disk through a page that wants none."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from challenge.models import Phase, Submission
from challenge.uploads import form_files
from tests.factories import captain_of, make_phase, make_team

pytestmark = pytest.mark.django_db
TWO_MIB = b"PK" + b"\0" * (2 * form_files.MIB)


@pytest.fixture
def phase() -> Phase:
    return make_phase(closes_at=None)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes each chunk brought to a temporary file."""
    found: list[int] = []
    write = form_files.FormFileHandler.receive_data_chunk

    def count(self: Any, raw_data: bytes, start: int) -> None:
        found.append(len(raw_data))
        write(self, raw_data, start)

    monkeypatch.setattr(form_files.FormFileHandler, "receive_data_chunk", count)
    return found


def post(client: Client, url: str) -> int:
    file = SimpleUploadedFile("p.zip", TWO_MIB)
    return client.post(url, {"archive": file, "method_name": "m"}).status_code


def submit_url(phase: Phase) -> str:
    return reverse("web:submit", args=[phase.challenge.slug, phase.slug])


@pytest.mark.parametrize("name", ["account_login", "account_signup", "web:preferences"])
def test_a_page_without_a_file_field_refuses_an_anonymous_file(
    client: Client, written: list[int], name: str
) -> None:
    assert post(client, reverse(name)) == 413
    assert written == []


def test_the_submit_page_refuses_an_anonymous_file(phase: Phase, written: list[int]) -> None:
    strict = Client(enforce_csrf_checks=True)
    assert post(strict, submit_url(phase)) == 403
    strict.get(reverse("account_login"))  # gives the cookie; the token would be in the body
    assert post(strict, submit_url(phase)) == 413
    assert written == []


def test_a_participant_does(client: Client, phase: Phase, written: list[int]) -> None:
    client.force_login(captain_of(make_team(phase.challenge)))
    assert post(client, submit_url(phase)) == 302
    assert sum(written) == len(TWO_MIB)
    assert Submission.objects.get().archive_bytes == len(TWO_MIB)


def test_not_onto_a_full_disk(
    client: Client, phase: Phase, written: list[int], settings: Any
) -> None:
    client.force_login(captain_of(make_team(phase.challenge)))
    settings.UPLOAD_RESERVE_BYTES = 2**62
    assert post(client, submit_url(phase)) == 413
    assert written == []
    assert not Submission.objects.exists()


def test_a_disk_that_fills_meanwhile_ends_it(
    client: Client, phase: Phase, written: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    client.force_login(captain_of(make_team(phase.challenge)))
    monkeypatch.setattr(form_files, "CHECK_SPACE_EVERY_BYTES", 2**17)
    free = iter([2**40, int(settings.UPLOAD_RESERVE_BYTES) - 1])
    monkeypatch.setattr(
        form_files.shutil, "disk_usage", lambda _folder: type("Usage", (), {"free": next(free)})
    )
    assert post(client, submit_url(phase)) == 413
    assert sum(written) < len(TWO_MIB)
    assert not Submission.objects.exists()
