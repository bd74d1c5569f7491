"""The desk's page editor in a browser: axe, width, console, on phone and desk."""

from __future__ import annotations

import pytest
from django.urls import reverse
from playwright.sync_api import Browser
from pytest_django.live_server_helper import LiveServer

from challenge.models import Announcement
from challenge.services.challenges import page_editing
from challenge.services.notifications import announcements
from tests import factories
from tests.web.browser import open_page
from tests.web.looks import LOOKS, find_faults, sign_in_as

pytestmark = pytest.mark.django_db(transaction=True)
MARKDOWN = "# Fair play\n\n| a | b |\n|---|--:|\n| one | 1 |\n\n[[phases]]\n\nSee [rules](rules)."


@pytest.mark.parametrize(("width_px", "language", "theme"), LOOKS)
def test_no_page_has_violations_overflows_or_console_errors(
    live_server: LiveServer, browser: Browser, width_px: int, language: str, theme: str
) -> None:
    challenge = factories.make_challenge(is_published=False)
    factories.make_phase(challenge)
    olive = factories.make_organiser(challenge, factories.make_user("olive"))
    for number in range(2):
        for slug in ("rules", "data"):
            version = page_editing.save(
                challenge=challenge, actor=olive, slug=slug, language="en", seen=number,
                title="Rules of the challenge", markdown=f"{MARKDOWN} {number}",
            )  # fmt: skip
    page_editing.remove(challenge=challenge, actor=olive, slug="data")
    texts = {"en": "Hello", "fr": "Bonjour"}
    announcements.publish(
        challenge=challenge,
        actor=olive,
        title=texts,
        body=texts,
        mail_to=Announcement.MailTo.NOBODY,
    )
    context, page, complaints = open_page(
        browser, live_server.url, width_px=width_px, language=language, theme=theme
    )
    sign_in_as(olive, context, site=live_server.url)
    faults: list[str] = []
    edited = reverse("web:desk-page", args=[challenge.slug, "rules", "en"])
    for address in (
        reverse("web:desk", args=[challenge.slug]),
        reverse("web:desk-pages", args=[challenge.slug]),
        reverse("web:desk-announcements", args=[challenge.slug]),
        reverse("web:desk-page", args=[challenge.slug, "rules", "fr"]),
        reverse("web:desk-page-version", args=[challenge.slug, version.pk]),
        reverse("web:desk-preview", args=[challenge.slug, "rules"]),
        edited,
    ):
        page.goto(address)
        assert page.locator("html").get_attribute("lang") == language
        faults += find_faults(page, address, width_px=width_px)
    page.locator("button[value=preview]").click()
    assert page.locator("section.card table").count() == 1
    faults += find_faults(page, f"{edited} (preview)", width_px=width_px)
    page.locator("textarea[name=markdown]").fill("[[wrong]]")
    page.locator("button[value=save]").click()
    faults += find_faults(page, f"{edited} (refused)", width_px=width_px)
    assert faults == []
    assert [line for line in complaints if "422" not in line] == []
    context.close()
