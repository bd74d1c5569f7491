"""Pages as people see them: widths, languages and themes, and what must be wrong in none."""

from __future__ import annotations

from axe_playwright_python.sync_playwright import Axe
from django.conf import settings
from django.test import Client
from playwright.sync_api import BrowserContext, Page

from challenge.models import User

# Each pair of width, language and theme meets.
LOOKS = [
    (390, "en", "light"),
    (390, "fr", "dark"),
    (1440, "fr", "light"),
    (1440, "en", "dark"),
]
# The system's colours replace those of either theme, so that one look is enough: the light one,
# since axe compares a page's own text colour with the background that the system forces.
FORCED_COLORS_LOOK = (390, "en")


def sign_in_as(user: User, context: BrowserContext, *, site: str) -> None:
    """Give a browser the session of ``user``, without the form."""
    client = Client()
    client.force_login(user)
    session = client.cookies[settings.SESSION_COOKIE_NAME].value
    context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": site}])


def find_faults(page: Page, name: str, *, width_px: int) -> list[str]:
    """Open what is folded on the shown page; return axe's findings, and whether it is too wide."""
    faults: list[str] = []
    for summary in page.locator("main details > summary").all():
        if summary.is_visible():
            summary.click()
    if page.evaluate("document.documentElement.scrollWidth") > width_px:
        faults.append(f"{name}: wider than {width_px} px")
    faults += find_violations(page, name)
    if (width_px, page.locator("html").get_attribute("lang")) == FORCED_COLORS_LOOK:
        faults += find_violations_in_forced_colors(page, name)
    return faults


def find_violations(page: Page, name: str) -> list[str]:
    """Return what axe-core finds on the shown page."""
    faults = []
    for violation in Axe().run(page).response["violations"]:
        nodes = "; ".join(node["html"][:160] for node in violation["nodes"][:3])
        faults.append(f"{name}: {violation['id']}: {nodes}")
    return faults


def find_violations_in_forced_colors(page: Page, name: str) -> list[str]:
    """Return what axe-core finds once the system's colours replace the page's."""
    page.emulate_media(forced_colors="active")
    try:
        return find_violations(page, f"{name} (forced colours)")
    finally:
        page.emulate_media(forced_colors="none")
