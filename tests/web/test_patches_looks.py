"""Pictures of patches in a browser: axe, width, console, zoom and slider by keyboard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, expect
from pytest_django.live_server_helper import LiveServer

from challenge.models import GroundTruth, Phase
from challenge.services.challenges import kits
from challenge.workers import drawing, scoring
from tests.challenges.test_kits import tiff
from tests.factories import captain_of, make_team
from tests.splits.world import PATCHES, SIDE_PX, make_split_world
from tests.web.browser import open_page
from tests.web.looks import LOOKS, find_faults, sign_in_as

pytestmark = pytest.mark.django_db(transaction=True)


def fill(folder: Path, settings: Any, *, labels_public: bool) -> tuple[Any, str]:
    """A scored submission with pictures: who looks, and at which address."""
    world = make_split_world(folder)
    settings.LABELS_DIR, settings.EVIDENCE_DIR = world.labels_dir, world.evidence_dir
    world.labels_dir.mkdir()
    world.install()
    if labels_public:
        GroundTruth.objects.update(labels_public=True)
        Phase.objects.update(labels_public=True)
    random = np.random.default_rng(1)
    for patch in PATCHES:
        path = folder / "kit" / f"IMG_{patch}.tif"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(tiff(random.integers(0, 255, (3, SIDE_PX, SIDE_PX), dtype=np.uint8)))
    kits.publish(phase=world.phase, source=folder / "kit", actor=None)
    team = make_team(world.phase.challenge)
    submission = world.submit(team, wrong_px={patch: int(patch) * 3 for patch in PATCHES})
    scoring.score()
    assert drawing.draw_pictures() == 1
    return captain_of(team), f"/submissions/{submission.pk}/"


@pytest.mark.parametrize(("width_px", "language", "theme"), LOOKS)
def test_the_page_has_no_violation_no_overflow_and_every_picture(
    live_server: LiveServer, browser: Browser, tmp_path: Path, settings: Any,
    width_px: int, language: str, theme: str,
) -> None:  # fmt: skip
    user, address = fill(tmp_path, settings, labels_public=width_px == 390)
    context, page, complaints = open_page(
        browser, live_server.url, width_px=width_px, language=language, theme=theme
    )
    sign_in_as(user, context, site=live_server.url)
    page.goto(address)
    assert find_faults(page, address, width_px=width_px) == []
    shown = page.locator("[data-patch] img")
    shown.last.scroll_into_view_if_needed()
    assert shown.count() == (5 * 4 if width_px == 390 else 6 * 2)
    for picture in shown.all():
        picture.scroll_into_view_if_needed()
        expect(picture).to_have_js_property("naturalWidth", SIDE_PX)
    assert complaints == []


def test_zoom_moves_all_pictures_of_a_row_and_the_slider_lays_one_over_the_image(
    live_server: LiveServer, browser: Browser, tmp_path: Path, settings: Any
) -> None:
    user, address = fill(tmp_path, settings, labels_public=True)
    context, page, complaints = open_page(
        browser, live_server.url, width_px=1440, language="en", theme="light"
    )
    sign_in_as(user, context, site=live_server.url)
    page.goto(address)
    patch, other = page.locator("[data-patch]").nth(0), page.locator("[data-patch]").nth(1)
    patch.get_by_label("Zoom", exact=True).focus()
    for _press in range(4):
        page.keyboard.press("ArrowRight")
    row = patch.locator("[data-row]")
    row.focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowUp")

    def styles(rows: Any) -> set[str]:
        say = "all => all.map(one => one.style.transform + one.style.transformOrigin)"
        return set(rows.locator("img").evaluate_all(say))

    assert styles(row) == {"scale(3)45% 45%"}
    assert styles(other) <= {"", "scale(1)50% 50%"}
    patch.get_by_label("Compare the image with").select_option("labels")
    patch.get_by_label("How much of the image is covered").focus()
    page.keyboard.press("End")
    over = patch.locator(".patch-over")
    expect(over).to_be_visible()
    labels = patch.locator('[data-kind="labels"] img')
    assert over.get_attribute("src") == labels.evaluate("one => one.src")
    assert complaints == []


def test_without_scripts_the_pictures_stand_side_by_side(
    live_server: LiveServer, browser: Browser, tmp_path: Path, settings: Any
) -> None:
    user, address = fill(tmp_path, settings, labels_public=True)
    context = browser.new_context(java_script_enabled=False, base_url=live_server.url)
    sign_in_as(user, context, site=live_server.url)
    page = context.new_page()
    page.goto(address)
    row = page.locator("[data-row]").first
    expect(row.locator("img")).to_have_count(4)
    expect(page.get_by_label("Zoom", exact=True).first).to_be_hidden()
    context.close()
