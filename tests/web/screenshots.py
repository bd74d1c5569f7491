"""Pictures of the pages for the documents: ``python -m tests.web.screenshots URL [FOLDER]``.

URL is a running site that ``tests.web.seed`` filled. README's picture of the leaderboard is one
of them; with ``--all`` every page is taken at two widths, light and dark, to be looked at.
"""

from __future__ import annotations

import argparse
import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page

from challenge.config.engines.places import ROOT
from tests.web.browser import chromium, open_page, sign_in

EMAIL, PASSWORD = "ada@example.org", "correct-horse-7"
BOARD = "/challenges/flair-1/test/leaderboard/"


@dataclass(frozen=True)
class Shot:
    """One picture: its name, address and look; ``height_px`` 0 takes the whole page."""

    name: str
    address: str
    width_px: int = 1280
    height_px: int = 0
    language: str = "en"
    theme: str = "light"


README = [
    Shot("leaderboard", BOARD, 1440, 1040),
    Shot("leaderboard-dark-fr", BOARD, 1440, 1040, "fr", "dark"),
    Shot("home", "/", height_px=1000),
    Shot("challenge", "/challenges/flair-1/", height_px=1100),
    Shot("submission", "{submission}", height_px=1400),
    Shot("submit-fr", "/challenges/flair-1/test/submit/", height_px=820, language="fr"),
]
PAGES = {
    "home": "/",
    "challenge": "/challenges/flair-1/",
    "data": "/challenges/flair-1/data",
    "evaluation": "/challenges/flair-1/evaluation",
    "baselines": "/challenges/flair-1/baselines",
    "leaderboard": BOARD,
    "submit": "/challenges/flair-1/test/submit/",
    "submissions": "/challenges/flair-1/submissions/",
    "submission": "{submission}",
    "team": "/challenges/flair-1/team/",
    "profile": "/account/",
    "tokens": "/account/tokens/",
    "sign-up": "/accounts/signup/",
    "help": "/help/",
}


def every_page() -> list[Shot]:
    """All pages at two widths, light in English and dark in French."""
    looks = [("en", "light"), ("fr", "dark")]
    return [
        Shot(f"{name}-{width_px}-{theme}", address, width_px, 0, language, theme)
        for name, address in PAGES.items()
        for width_px in (390, 1440)
        for language, theme in looks
    ]


def save(page: Page, path: Path, *, whole: bool) -> None:
    """Write a picture with a palette of 256 colours: a quarter of the bytes, alike to the eye."""
    picture = Image.open(io.BytesIO(page.screenshot(full_page=whole))).convert("RGB")
    picture.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


def take(site: str, folder: Path, shots: list[Shot]) -> None:
    """Take the pictures, one visitor each."""
    folder.mkdir(parents=True, exist_ok=True)
    with chromium() as browser:
        for shot in shots:
            context, page, complaints = open_page(
                browser, site, width_px=shot.width_px, language=shot.language, theme=shot.theme
            )
            if shot.name != "leaderboard":
                sign_in(page, EMAIL, PASSWORD)
            address = shot.address
            if "{submission}" in address:
                page.goto("/challenges/flair-1/submissions/")
                address = page.locator("tr:has-text('60') th a").first.get_attribute("href") or ""
            page.set_viewport_size({"width": shot.width_px, "height": shot.height_px or 900})
            page.goto(address)
            page.wait_for_load_state("networkidle")
            save(page, folder / f"{shot.name}.png", whole=shot.height_px == 0)
            for complaint in complaints:
                print(f"{shot.name}: {complaint}")
            context.close()


def main() -> None:
    """Read the arguments and take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", help="address of a running, seeded site")
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "docs" / "images")
    parser.add_argument("--all", action="store_true", help="every page, to be looked at")
    chosen = parser.parse_args()
    take(chosen.url, chosen.folder, every_page() if chosen.all else README)


if __name__ == "__main__":
    main()
