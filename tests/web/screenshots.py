"""Pictures of every page: ``python -m tests.web.screenshots [FOLDER]`` (``make pictures``).

Fills and serves a site of its own, then takes each page at 390 and 1440 px, light and dark, into
``docs/images/pages``, and the few that the documents show into ``docs/images``. With ``--check``
each page is also searched by axe-core, and for parts wider than the window; ends with 1 then.
"""

from __future__ import annotations

import argparse
import io
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, expect

from challenge.embedded.data_folder import ROOT
from tests.web import picture_site  # before Django
from tests.web.browser import chromium, open_page, sign_in

IMAGES = ROOT / "docs" / "images"
EMAIL, PASSWORD = "ada@example.org", "correct-horse-7"
ORGANISER = "olive@example.org"
BOARD = "/challenges/flair-1/test/leaderboard/"
SUBMIT = "/challenges/flair-1/practice/submit/"
WIDTHS_PX = (390, 1440)
THEMES = ("light", "dark")
LOSSLESS_BYTES = 200_000


@dataclass(frozen=True)
class Shot:
    """One picture: its name, address and look; ``height_px`` 0 takes the whole page.

    ``who`` signs in ("" stays a stranger); ``archive`` names a zip to choose in the form;
    ``draws`` presses the button that draws twelve patches; ``weights`` chooses a weighting.
    """

    name: str
    address: str
    who: str = EMAIL
    width_px: int = 1280
    height_px: int = 0
    language: str = "en"
    theme: str = "light"
    archive: str = ""
    draws: bool = False
    weights: str = ""


DOCUMENTS = [
    Shot("leaderboard", BOARD, "", 1440, 1040),
    Shot("leaderboard-dark-fr", BOARD, EMAIL, 1440, 1040, "fr", "dark"),
    Shot("home", "/", height_px=1000),
    Shot("challenge", "/challenges/flair-1/", height_px=1100),
    Shot("submission", "/submissions/{submission}/", height_px=1400),
    Shot("submit-fr", SUBMIT, height_px=820, language="fr"),
]
PAGES = [
    Shot("home", "/", ""),
    Shot("help", "/help/", ""),
    Shot("privacy", "/about/privacy/", ""),
    Shot("accessibility", "/about/accessibility/", ""),
    Shot("legal", "/about/legal/", ""),
    Shot("status", "/status/", ""),
    Shot("credits", "/credits/", ""),
    Shot("challenge", "/challenges/flair-1/", ""),
    Shot("data", "/challenges/flair-1/data"),
    Shot("evaluation", "/challenges/flair-1/evaluation", ""),
    Shot("submission-format", "/challenges/flair-1/submission", ""),
    Shot("baselines", "/challenges/flair-1/baselines", ""),
    Shot("rules", "/challenges/flair-1/rules", ""),
    Shot("citation", "/challenges/flair-1/citation", ""),
    Shot("news", "/challenges/flair-1/news/", ""),
    Shot("leaderboard", BOARD, ""),
    Shot("leaderboard-weighted", BOARD, weights="one-domain"),
    Shot("progress", "/challenges/flair-1/test/progress/", ""),
    Shot("team", "/challenges/flair-1/teams/{team}/", ""),
    Shot("sign-up", "/accounts/signup/", ""),
    Shot("sign-in", "/accounts/login/", ""),
    Shot("password-reset", "/accounts/password/reset/", ""),
    Shot("not-found", "/nowhere/", ""),
    Shot("join", "/challenges/flair-2/join/"),
    Shot("submit", SUBMIT),
    Shot("submit-bad", SUBMIT, archive="bad"),
    Shot("submit-good", SUBMIT, archive="good"),
    Shot("submissions", "/challenges/flair-1/submissions/"),
    Shot("submission", "/submissions/{submission}/"),
    Shot("submission-drawn", "/submissions/{drawn}/", draws=True),
    Shot("submission-waiting", "/submissions/{waiting}/"),
    Shot("submission-running", "/submissions/{running}/"),
    Shot("submission-rejected", "/submissions/{rejected}/"),
    Shot("team-manage", "/challenges/flair-1/team/"),
    Shot("invitation", "/invitations/{invitation}/"),
    Shot("profile", "/account/"),
    Shot("e-mail", "/accounts/email/"),
    Shot("password", "/accounts/password/change/"),
    Shot("two-factor", "/accounts/2fa/"),
    Shot("sessions", "/accounts/sessions/"),
    Shot("tokens", "/account/tokens/"),
    Shot("webhooks", "/account/webhooks/"),
    Shot("webhook", "/account/webhooks/{webhook}/"),
    Shot("your-data", "/account/data/"),
    Shot("organise", "/organise/", ORGANISER),
    Shot("new-challenge", "/challenges/new/", ORGANISER),
    Shot("training", "/challenges/flair-1/training/", ORGANISER),
    Shot("training-run", "/challenges/flair-1/training/{run}/", ORGANISER),
    Shot(
        "training-compare",
        "/challenges/flair-1/training/compare/?run={run}&run={other_run}",
        ORGANISER,
    ),
]


def desk_shots(found: Mapping[str, str]) -> list[Shot]:
    """Return a picture of each page of the desk, by its route."""
    from tests.web import desk_addresses

    arguments = {"slug": "flair-1", "phase_slug": "test", "language": "en", **found}
    shots = []
    for route in desk_addresses.routes():
        if route.endswith((".csv", ".json", ".tex", ".zip", "/settle/", "registrations/<int:pk>/")):
            continue
        name = re.sub(r"<\w+:(\w+)>", r"\1", route.removeprefix(desk_addresses.DESK))
        name = "-".join(["desk", *filter(None, name.split("/"))])
        shots.append(Shot(name, desk_addresses.fill(route, arguments), ORGANISER))
    return shots


class Photographer:
    """Takes pictures; one visit for each person, width, language and theme."""

    def __init__(self, browser: Browser, site: str, found: Mapping[str, str]) -> None:
        self.browser, self.site, self.found = browser, site, dict(found)
        self.archives = picture_site.make_archives(self.found)
        self.checks = False
        self.faults: list[str] = []

    @contextmanager
    def visit(self, who: str, width_px: int, language: str, theme: str) -> Iterator[Page]:
        """Open a page as somebody; what the console complains of is printed."""
        context, page, complaints = open_page(
            self.browser, self.site, width_px=width_px, language=language, theme=theme
        )
        if who:
            sign_in(page, who, PASSWORD)
        yield page
        for complaint in complaints:
            if "404" not in complaint:
                print(f"{page.url}: {complaint}")
        context.close()

    def take(self, page: Page, shot: Shot, path: Path) -> None:
        """Bring a page into the state of a shot and write its picture."""
        page.set_viewport_size({"width": shot.width_px, "height": shot.height_px or 900})
        page.goto(shot.address.format(**self.found))
        if shot.archive:
            page.set_input_files("input[name=archive]", self.archives[shot.archive])
            expect(page.locator("[data-report-body] canvas").first).to_be_visible()
        if shot.draws:
            page.locator("[data-looks] button").click()
            expect(page.locator(".mosaic canvas")).to_have_count(12)
        if shot.weights:
            page.locator("[data-board-weights]").select_option(shot.weights)
            expect(page.locator(".board.weighted")).to_be_visible()
        slot = page.locator(".progress-slot")
        if slot.count() and shot.height_px == 0:
            slot.scroll_into_view_if_needed()
            expect(slot.locator("svg.chart")).to_be_visible()
        for image in page.locator("img[loading=lazy]").all():
            image.scroll_into_view_if_needed()
        page.evaluate("scrollTo(0, 0)")
        page.wait_for_load_state("networkidle")
        save(page, path, whole=shot.height_px == 0)
        if self.checks:
            from tests.web.looks import find_faults  # imports models: after Django's setup

            self.faults += find_faults(page, path.stem, width_px=shot.width_px)


def save(page: Page, path: Path, *, whole: bool) -> None:
    """Write a picture: WebP without loss, or with a little where a photograph makes it large.

    PNG gets a palette of 256 colours, a quarter of the bytes; the class palette is in it only
    where it covers enough of the page.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.open(io.BytesIO(page.screenshot(full_page=whole))).convert("RGB")
    if path.suffix != ".webp":
        picture.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
        return
    packed = io.BytesIO()
    picture.save(packed, "WEBP", lossless=True, method=6)
    if packed.tell() > LOSSLESS_BYTES:
        packed = io.BytesIO()
        picture.save(packed, "WEBP", quality=88, method=6)
    path.write_bytes(packed.getvalue())


def take_pages(
    photographer: Photographer,
    folder: Path,
    *,
    language: str,
    only: str,
    themes: tuple[str, ...],
    suffix: str,
) -> None:
    """Take every page at both widths in each theme."""
    names = only.split(",")
    every = [*PAGES, *desk_shots(photographer.found)]
    wanted = [shot for shot in every if only == "" or shot.name in names]
    for width_px in WIDTHS_PX:
        for theme in themes:
            for who in dict.fromkeys(shot.who for shot in wanted):
                with photographer.visit(who, width_px, language, theme) as page:
                    for shot in wanted:
                        if shot.who == who:
                            whole = Shot(**{**vars(shot), "width_px": width_px})
                            path = folder / f"{shot.name}-{width_px}-{theme}{suffix}"
                            photographer.take(page, whole, path)


def main() -> int:
    """Read the arguments and take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=IMAGES / "pages")
    parser.add_argument("--language", default="en", choices=("en", "fr"))
    parser.add_argument("--only", default="", help="names of pages, by commas")
    parser.add_argument("--theme", choices=THEMES, help="one theme alone")
    parser.add_argument("--check", action="store_true", help="search each page for faults")
    parser.add_argument("--png", action="store_true", help="PNG in place of WebP")
    chosen = parser.parse_args()
    themes = (chosen.theme,) if chosen.theme else THEMES
    with picture_site.opened() as (site, found), chromium() as browser:
        photographer = Photographer(browser, site, found)
        photographer.checks = chosen.check
        take_pages(
            photographer,
            chosen.folder,
            language=chosen.language,
            only=chosen.only,
            themes=themes,
            suffix=".png" if chosen.png else ".webp",
        )
        if chosen.folder == IMAGES / "pages" and not chosen.only:
            for shot in DOCUMENTS:
                with photographer.visit(shot.who, shot.width_px, shot.language, shot.theme) as page:
                    photographer.take(page, shot, IMAGES / f"{shot.name}.png")
        print("\n".join(photographer.faults))
    return 1 if photographer.faults else 0


if __name__ == "__main__":
    sys.exit(main())
