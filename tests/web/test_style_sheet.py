"""The style sheet: each token stands once, and the theme is the reader's or the system's."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

from challenge.embedded.data_folder import ROOT
from tests.web.browser import chromium

SHEET = (ROOT / "challenge" / "static" / "css" / "site.css").read_text(encoding="utf-8")
# how wide a page is, which classes of narrower and wider pages set anew
SET_ANEW = {"--page"}
LIGHT, DARK = "rgb(246, 245, 240)", "rgb(15, 22, 20)"


def test_each_token_is_defined_once() -> None:
    defined = Counter(re.findall(r"(?<![\w(-])(--[\w-]+):", SHEET))
    assert len(defined) > 20
    assert {name for name, count in defined.items() if count > 1} <= SET_ANEW


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with chromium() as browser:
        yield browser.new_page()


@pytest.mark.parametrize(
    ("chosen", "system", "background"),
    [
        ("light", "light", LIGHT),
        ("light", "dark", LIGHT),
        ("dark", "light", DARK),
        ("dark", "dark", DARK),
        ("auto", "light", LIGHT),
        ("auto", "dark", DARK),
    ],
)
def test_the_theme_is_the_chosen_one_or_the_systems(
    page: Page, chosen: str, system: str, background: str
) -> None:
    page.emulate_media(color_scheme="dark" if system == "dark" else "light")
    page.set_content(f'<html data-theme="{chosen}"><style>{SHEET}</style><body></body></html>')
    found = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert found == background


def test_the_strongest_shade_is_the_same_in_every_dark_page(page: Page) -> None:
    """It was lighter, with less contrast to its text, where the system and not the reader chose."""
    page.emulate_media(color_scheme="dark")
    shades = []
    for chosen in ("dark", "auto"):
        page.set_content(
            f'<html data-theme="{chosen}"><style>{SHEET}</style><p class="q9">1</p></html>'
        )
        shades.append(
            page.evaluate("getComputedStyle(document.querySelector('.q9')).backgroundColor")
        )
    assert shades[0] == shades[1]
