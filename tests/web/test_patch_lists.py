"""The map of the domains: each one a link, with a mouse and by keyboard, to its patches."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, expect
from pytest_django.live_server_helper import LiveServer

from challenge.embedded.data_folder import ROOT
from challenge.models import Phase
from challenge.services.challenges import challenges
from tests.web.browser import open_page
from tests.web.conftest import Visit
from tests.web.looks import LOOKS, find_faults

DATA = "/challenges/flair-1/data"
PATCHES = "/challenges/flair-1/patches/"


def load() -> None:
    challenges.load(ROOT / "challenges" / "flair-1")


def test_each_domain_of_the_map_and_of_the_list_leads_to_its_patches(
    db: None, visit: Visit
) -> None:
    load()
    client = visit()
    html = client.get(DATA).content.decode()
    found = re.findall(rf'href="({PATCHES}\?domain=[^"]+)"', html)
    assert len(set(found)) == 50
    assert len(found) == 100, "each stands on the map and in the list"
    page = client.get(f"{PATCHES}?domain=D012_2019").content.decode()
    assert "Patches of Aveyron 2019" in page
    assert "061713–061812" in page
    assert "<h1" in client.get(f"{PATCHES}?domain=D004_2021").content.decode()
    back = re.search(r'href="([^"]+)#domain-map"', page)
    assert back is not None
    assert 'id="domain-map"' in client.get(back[1]).content.decode()


def test_a_domain_that_no_phase_asks_for_says_so(db: None, visit: Visit) -> None:
    load()
    for domain in ("D006_2020", "<b>"):
        html = visit(language="fr").get(PATCHES, {"domain": domain}).content.decode()
        assert "Aucune phase ne demande de patchs de ce domaine." in html
        assert "<b>" not in html.replace("<body", "")


def test_patches_of_a_hidden_phase_are_listed_for_organisers_alone(db: None, visit: Visit) -> None:
    load()
    Phase.objects.filter(slug="test").update(is_published=False)
    html = visit().get(f"{PATCHES}?domain=D012_2019").content.decode()
    assert "061713" not in html


@pytest.mark.django_db(transaction=True)
def test_the_map_is_walked_by_keyboard_and_shows_where_one_is(
    live_server: LiveServer, browser: Browser
) -> None:
    load()
    _context, page, complaints = open_page(browser, live_server.url, width_px=1440)
    page.goto(DATA)
    page.locator(".map-skip").focus()
    page.keyboard.press("Tab")
    first = page.locator("svg.linked a").first
    expect(first).to_be_focused()
    stroke = "one => getComputedStyle(one.querySelector('path')).strokeWidth"
    other = page.locator("svg.linked a").nth(1)
    assert float(first.evaluate(stroke).rstrip("px")) >= 3 * float(
        other.evaluate(stroke).rstrip("px")
    )
    name = first.get_attribute("aria-label")
    assert name
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/patches/\?domain=D"))
    expect(page.locator("h1")).to_contain_text(name.split(",")[0])
    page.get_by_role("link", name="Map of the domains").click()
    expect(page).to_have_url(re.compile(r"#domain-map$"))
    page.locator(".map-skip").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#domain-lists")).to_be_focused()
    assert complaints == []


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("width_px", "language", "theme"), LOOKS)
def test_the_pages_have_no_violation_and_no_overflow(
    live_server: LiveServer, browser: Browser, width_px: int, language: str, theme: str
) -> None:
    load()
    _context, page, complaints = open_page(
        browser, live_server.url, width_px=width_px, language=language, theme=theme
    )
    for address in (DATA, PATCHES, f"{PATCHES}?domain=D012_2019"):
        page.goto(address)
        assert find_faults(page, address, width_px=width_px) == []
    assert complaints == []
