"""The gallery in a browser: axe, width, filters and layers in both languages, by keyboard."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, expect
from pytest_django.live_server_helper import LiveServer

from challenge.models import Challenge, Gallery, GroundTruth, Phase
from challenge.services.challenges import kits
from challenge.workers import gallery
from tests.challenges.test_kits import tiff
from tests.splits.world import PATCHES, SIDE_PX, make_split_world, mask
from tests.web.browser import open_page
from tests.web.looks import LOOKS, find_faults
from tests.workers.test_gallery import FLAIR_BANDS, metadata, series

pytestmark = pytest.mark.django_db(transaction=True)


def fill(folder: Path, settings: Any, *, labels_public: bool = True) -> str:
    """A drawn gallery; returns the address of its page."""
    world = make_split_world(folder)
    settings.LABELS_DIR, settings.EVIDENCE_DIR = world.labels_dir, world.evidence_dir
    world.labels_dir.mkdir(exist_ok=True)
    world.install()
    Challenge.objects.update(facts={"images": {"bands": FLAIR_BANDS}})
    if labels_public:
        GroundTruth.objects.update(labels_public=True)
        Phase.objects.update(labels_public=True)
    random = np.random.default_rng(1)
    source = folder / "kit"
    source.mkdir()
    for patch in PATCHES:
        image = random.integers(0, 255, (5, SIDE_PX, SIDE_PX), dtype=np.uint8)
        (source / f"IMG_{patch}.tif").write_bytes(tiff(image))
    for name, content in (metadata() | series(PATCHES[next(iter(PATCHES))])).items():
        (source / name).write_bytes(content)
    phase = Phase.objects.get(pk=world.phase.pk)
    kits.publish(phase=phase, source=source, actor=None)
    assert gallery.draw_galleries() == 1
    return f"/challenges/{phase.challenge.slug}/patches/"


@pytest.mark.parametrize(("width_px", "language", "theme"), LOOKS)
def test_the_gallery_has_no_violation_no_overflow_and_every_picture(
    live_server: LiveServer, browser: Browser, tmp_path: Path, settings: Any,
    width_px: int, language: str, theme: str,
) -> None:  # fmt: skip
    address = fill(tmp_path, settings)
    _context, page, complaints = open_page(
        browser, live_server.url, width_px=width_px, language=language, theme=theme
    )
    page.goto(f"{address}?layer=labels")
    assert find_faults(page, address, width_px=width_px) == []
    shown = page.locator(".gallery img")
    assert shown.count() == len(PATCHES) + 2, "two patches of the zone have a series"
    for picture in shown.all():
        picture.scroll_into_view_if_needed()
        expect(picture).not_to_have_js_property("naturalWidth", 0)
    assert complaints == []


@pytest.mark.parametrize(
    ("language", "layer", "season", "show"),
    [("en", "Near infrared", "Spring", "Show"), ("fr", "Proche infrarouge", "Printemps", None)],
)
def test_layers_and_filters_work_without_scripts_and_by_keyboard(
    live_server: LiveServer, browser: Browser, tmp_path: Path, settings: Any,
    language: str, layer: str, season: str, show: str | None,
) -> None:  # fmt: skip
    address = fill(tmp_path, settings)
    _context, page, _complaints = open_page(
        browser, live_server.url, language=language, scripts=False
    )
    page.goto(address)
    page.get_by_role("link", name=layer, exact=True).focus()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("layer=near-infrared"))
    first = page.locator(".gallery img").first
    expect(first).to_have_attribute("alt", re.compile(layer))
    page.locator("select[name=season]").select_option(label=season)
    page.locator(".filters button").focus()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("season=spring"))
    expect(page).to_have_url(re.compile("layer=near-infrared"))
    expect(page.locator(".gallery li")).to_have_count(1)
    key = page.locator("select[name=class] option").nth(2).get_attribute("value")
    page.goto(f"{address}?class={key}")
    enough = [patch for patch in PATCHES if np.mean(mask(patch) == 2) >= 0.05]
    expect(page.locator(".gallery .patch-frame")).to_have_count(len(enough))


def test_of_hidden_labels_the_page_offers_no_layer_and_no_class(
    live_server: LiveServer, browser: Browser, tmp_path: Path, settings: Any
) -> None:
    address = fill(tmp_path, settings, labels_public=False)
    _context, page, _complaints = open_page(browser, live_server.url)
    page.goto(f"{address}?layer=labels&class=water")
    expect(page.locator(".gallery .patch-frame")).to_have_count(0)
    expect(page.locator("select[name=class]")).to_have_count(0)
    assert "labels" not in json.dumps(Gallery.objects.get().files)
    page.goto(address)
    expect(page.locator(".gallery .patch-frame")).to_have_count(len(PATCHES))
    expect(page.get_by_role("link", name="Labels", exact=True)).to_have_count(0)
