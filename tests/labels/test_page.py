"""The desk's page of labels: who may what, what it shows, and sealing in a real browser."""

from __future__ import annotations

import os
from pathlib import Path

from django.core.files.storage import default_storage
from django.test import Client
from django.urls import reverse
from playwright.sync_api import Browser, Page, expect
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from challenge.models import GroundTruth, LabelJob, Upload, User
from challenge.rules.lifecycle import LabelState
from challenge.rules.roles import Role
from challenge.services.labels import keys
from challenge.workers import labels as worker
from tests.factories import make_organiser
from tests.labels.world import CANARY, LabelsWorld, masks_zip, other_mask, sealed_masks, upload
from tests.splits.world import PATCHES
from tests.web.browser import open_page
from tests.web.looks import LOOKS, find_faults, sign_in_as


def address() -> str:
    return reverse("web:desk-labels", args=["tiny"])


def act(name: str) -> str:
    return reverse("web:desk-labels-act", args=["tiny", name])


def test_the_page_shows_the_key_and_what_became_of_what_was_sent(
    world: LabelsWorld, client: Client
) -> None:
    client.force_login(world.owner)
    assert "No labels worker" in client.get(address()).content.decode()
    row = keys.announce(keys.labels_key())
    world.send_masks({"MSK_000001.tif": other_mask()})
    worker.install_labels()
    waiting = world.send_masks()
    text = client.get(address()).content.decode()
    assert row.public_key in text
    assert row.fingerprint[:4] + " " + row.fingerprint[4:8] in text
    assert "MSK_000001.tif: This mask has values that are no label of the task." in text
    assert "219" not in text
    client.cookies["django_language"] = "fr"
    french = client.get(address()).content.decode()
    assert "Ce masque a des valeurs" in french
    client.post(act("cancel"), {"job": waiting.pk})
    waiting.refresh_from_db()
    assert waiting.state == LabelState.CANCELLED


def test_owners_alone_send_labels_and_observers_read(world: LabelsWorld, client: Client) -> None:
    keys.announce(keys.labels_key())
    row = upload(world.owner, world.phase, sealed_masks(masks_zip(), uploader="x"))
    for role in (Role.EDITOR, Role.JUDGE, Role.OBSERVER):
        client.force_login(make_organiser(world.phase.challenge, role=role))
        assert "data-seal" not in client.get(address()).content.decode()
        sent = client.post(act("install"), {"upload": row.pk, "phase": "test"})
        assert sent.status_code == 403
    assert not LabelJob.objects.exists()
    client.force_login(world.owner)
    assert "data-seal" in client.get(address()).content.decode()
    client.post(act("install"), {"upload": row.pk, "phase": "test"})
    assert LabelJob.objects.get().created_by == world.owner


def test_owners_without_a_second_factor_are_told_so(
    world: LabelsWorld, client: Client, settings: Settings
) -> None:
    settings.SECOND_FACTOR_REQUIRED = True
    client.force_login(world.owner)
    assert "data-seal" not in client.get(address()).content.decode()


def test_masks_are_sealed_in_the_browser_and_installed(
    world: LabelsWorld, live_server: LiveServer, browser: Browser, tmp_path: Path
) -> None:
    keys.announce(keys.labels_key())
    masks = tmp_path / "masks.zip"
    # Several segments, none of which compresses away.
    masks.write_bytes(masks_zip({"__MACOSX/noise": bytes(range(256)) * 9000}))
    world.send_masks({"MSK_000001.tif": other_mask()})
    worker.install_labels()
    faults: list[str] = []
    for width_px, language, theme in LOOKS:
        context, page, complaints = open_page(
            browser, live_server.url, width_px=width_px, language=language, theme=theme
        )
        sign_in_as(User.objects.get(pk=world.owner.pk), context, site=live_server.url)
        page.goto(address())
        if not GroundTruth.objects.exists():
            _seal_and_send(page, masks)
            assert worker.install_labels() == 1
            page.goto(address())
        for details in page.locator("main details").all():
            details.locator("summary").click()
        faults += find_faults(page, f"{address()} {language}", width_px=width_px)
        if folder := os.environ.get("LABELS_PICTURES"):
            page.screenshot(path=f"{folder}/labels-{width_px}-{language}.png", full_page=True)
        faults += complaints
        context.close()
    job = LabelJob.objects.first()
    assert job is not None
    assert (job.state, job.patches, job.error_code) == (LabelState.INSTALLED, len(PATCHES), "")
    assert faults == []


def _seal_and_send(page: Page, masks: Path) -> None:
    """Choose the zip, send it, and look at what the server got."""
    page.locator("input[name=masks]").set_input_files(masks)
    page.locator("[data-send]").click()
    page.locator("li", has_text="masks.zip").locator("nth=1").wait_for()
    upload = Upload.objects.get()
    arrived = Path(default_storage.path(upload.archive)).read_bytes()
    assert arrived.startswith(b"FLAIRSL1")
    assert len(arrived) > masks.stat().st_size
    assert CANARY not in arrived


def test_what_is_no_zip_is_told_at_once_and_nothing_is_sent(
    world: LabelsWorld, live_server: LiveServer, browser: Browser, tmp_path: Path
) -> None:
    keys.announce(keys.labels_key())
    context, page, _complaints = open_page(
        browser, live_server.url, width_px=1440, language="en", theme="light"
    )
    sign_in_as(User.objects.get(pk=world.owner.pk), context, site=live_server.url)
    page.goto(address())
    page.locator("input[name=masks]").set_input_files(
        {"name": "masks.7z", "mimeType": "application/zip", "buffer": b"7z" + CANARY}
    )
    page.locator("[data-send]").click()
    expect(page.locator("[data-status]")).to_contain_text("neither a zip nor sealed")
    context.close()
    # What was sealed on another computer is sent as it is.
    context, page, _complaints = open_page(
        browser, live_server.url, width_px=1440, language="en", theme="light"
    )
    sign_in_as(User.objects.get(pk=world.owner.pk), context, site=live_server.url)
    page.goto(address())
    offline = tmp_path / "masks.sealed"
    offline.write_bytes(sealed_masks(masks_zip(), uploader=world.owner.username))
    page.locator("input[name=masks]").set_input_files(offline)
    page.locator("[data-send]").click()
    page.locator("li", has_text="masks.sealed").first.wait_for()
    assert worker.install_labels() == 1
    assert LabelJob.objects.get().state == LabelState.INSTALLED
    context.close()
