"""The practice kit on the desk: published from a zip, replaced, withdrawn, refused in words."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from playwright.sync_api import Browser, expect
from pytest_django.live_server_helper import LiveServer

from challenge.models import AuditEvent, Phase, PracticeKit, TaskSpec
from challenge.rules.roles import Role
from challenge.services.challenges import kits
from scoring.engine.task.examples import abc_spec
from tests import factories
from tests.challenges.test_kits import tiff
from tests.web.browser import open_page
from tests.web.conftest import Visit
from tests.web.looks import LOOKS, find_faults, sign_in_as

pytestmark = pytest.mark.django_db(transaction=True)
ADDRESS = "/challenges/kits/desk/phases/practice/kit/"
PATCHES = ("a1", "a2")


@pytest.fixture
def phase() -> Phase:
    challenge = factories.make_challenge("kits")
    spec = abc_spec(patch_height_px=8, patch_width_px=8)
    task = TaskSpec.objects.create(
        challenge=challenge, version=1, digest=spec.digest, data=spec.to_json()
    )
    return factories.make_phase(
        challenge, "practice", truth=False, task_spec=task, labels_public=True,
        public_patches=[[patch, "D", "Z"] for patch in PATCHES],
    )  # fmt: skip


def packed(*patches: str, value: int = 1, side_px: int = 8) -> SimpleUploadedFile:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for patch in patches:
            image = np.full((3, side_px, side_px), value, np.uint8)
            archive.writestr(f"any/folder/IMG_{patch}.tif", tiff(image))
    return SimpleUploadedFile("images.zip", data.getvalue())


def test_an_owner_publishes_replaces_and_withdraws_a_kit(phase: Phase, visit: Visit) -> None:
    owner = factories.make_organiser(phase.challenge)
    client = visit(owner)
    assert "No kit yet." in client.get(ADDRESS).content.decode()
    stored = []
    for value in (1, 2):
        sent = {"act": "publish", "source": packed(*PATCHES, value=value)}
        answer = client.post(ADDRESS, sent, follow=True)
        assert "The kit is published." in answer.content.decode()
        stored.append(PracticeKit.objects.get().stored_name)
        assert PracticeKit.objects.get().image_count == len(PATCHES)
    assert [default_storage.exists(name) for name in stored] == [False, True]
    sent = {"act": "publish", "source": packed(*PATCHES, value=2)}
    assert "published already" in client.post(ADDRESS, sent, follow=True).content.decode()
    answer = client.post(ADDRESS, {"act": "remove"}, follow=True)
    assert "The kit is withdrawn." in answer.content.decode()
    assert not PracticeKit.objects.exists()
    assert not default_storage.exists(stored[1])
    actions = AuditEvent.objects.filter(actor=owner).order_by("pk")
    assert [one.action for one in actions if one.action.startswith("kit.")] == [
        "kit.publish", "kit.publish", "kit.remove",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (None, "This field is required."),
        (SimpleUploadedFile("notes.txt", b"no zip"), "notes.txt is neither a folder nor a zip"),
        (packed("a1"), "images.zip lacks the images of 1 of the phase&#x27;s 2 patches"),
        (packed(*PATCHES, side_px=9), "needed is a TIFF of 8 × 8 px"),
    ],
)
def test_a_source_that_does_not_do_is_refused_beside_its_field(
    phase: Phase, visit: Visit, source: Any, words: str
) -> None:
    client = visit(factories.make_organiser(phase.challenge))
    sent = {"act": "publish"} | ({"source": source} if source else {})
    answer = client.post(ADDRESS, sent)
    assert answer.status_code == 422
    assert words in answer.content.decode()
    assert not PracticeKit.objects.exists()


def test_a_kit_that_would_be_too_large_is_refused(
    phase: Phase, visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kits, "MAX_SENT_BYTES", 100)
    client = visit(factories.make_organiser(phase.challenge))
    answer = client.post(ADDRESS, {"act": "publish", "source": packed(*PATCHES)})
    assert answer.status_code == 422
    assert "The kit would be larger than" in answer.content.decode()


def test_the_limit_is_of_the_kit_too_and_not_of_the_zip_alone(phase: Phase, tmp_path: Path) -> None:
    path = tmp_path / "images.zip"
    path.write_bytes(packed(*PATCHES).read())
    with pytest.raises(Exception, match="The kit would be larger"):
        kits.publish(phase=phase, source=path, actor=None, limit_bytes=300)


def test_a_judge_reads_and_changes_nothing(phase: Phase, visit: Visit) -> None:
    judge = factories.make_organiser(phase.challenge, role=Role.JUDGE)
    client = visit(judge)
    html = client.get(ADDRESS).content.decode()
    assert "Check and publish" not in html
    sent = {"act": "publish", "source": packed(*PATCHES)}
    assert client.post(ADDRESS, sent).status_code == 403
    assert client.post(ADDRESS, {"act": "remove"}).status_code == 403


@pytest.mark.parametrize(("width_px", "language", "theme"), LOOKS)
def test_the_page_has_no_violation_no_overflow_and_no_complaint(
    live_server: LiveServer, browser: Browser, phase: Phase,
    width_px: int, language: str, theme: str,
) -> None:  # fmt: skip
    owner = factories.make_organiser(phase.challenge)
    context, page, complaints = open_page(
        browser, live_server.url, width_px=width_px, language=language, theme=theme
    )
    sign_in_as(owner, context, site=live_server.url)
    page.goto(ADDRESS)
    faults = find_faults(page, "without a kit", width_px=width_px)
    file = {"name": "images.zip", "mimeType": "application/zip", "buffer": packed(*PATCHES).read()}
    page.locator("input[type=file]").set_input_files([file])
    page.locator("button[value=publish]").click()
    expect(page.locator("button[value=remove]")).to_be_attached()
    faults += find_faults(page, "with a kit", width_px=width_px)
    assert faults == []
    assert complaints == []
