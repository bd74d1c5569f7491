"""The desk's pages of phases in a browser: axe, width, console, on phone and desk."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Browser
from pytest_django.live_server_helper import LiveServer

from challenge.models import Challenge, Phase, User
from challenge.selectors import final_results as selector
from challenge.services import maintenance
from challenge.services.leaderboard import final_results
from tests import factories
from tests.web.browser import open_page
from tests.web.looks import LOOKS, find_faults, sign_in_as

pytestmark = pytest.mark.django_db(transaction=True)


def fill() -> tuple[Challenge, list[str]]:
    """A challenge with a closed, a frozen open and a coming phase; and the pages' addresses."""
    now = timezone.now()
    challenge = factories.make_challenge(
        title={"en": "Land cover", "fr": "Occupation du sol"}, time_zone="Europe/Paris"
    )
    challenge.pages.create(slug="rules", language="en", title="Rules", markdown="Be kind.")
    common = {"grace_minutes": 120, "summary": {"en": "Words", "fr": "Mots"}}
    closed = factories.make_phase(
        challenge,
        "validation",
        opens_at=now - timedelta(days=9),
        closes_at=now - timedelta(hours=1),
        **common,
    )
    opened = factories.make_phase(
        challenge,
        opens_at=now,
        closes_at=now + timedelta(days=30),
        frozen_at=now - timedelta(hours=2),
        **common,
    )
    factories.make_phase(
        challenge, "final", truth=False, opens_at=now + timedelta(days=40), closes_at=None
    )
    factories.make_organiser(challenge, factories.make_user("olive"))
    team = factories.make_team(challenge, "Laboratoire de télédétection")
    for number in range(2):
        factories.submit(team, opened, at=now, method=f"U-Net {number}")
    first = factories.make_phase(
        challenge,
        "first",
        opens_at=now - timedelta(days=19),
        closes_at=now - timedelta(days=10),
        grace_minutes=0,
    )
    for name, miou in (("Laboratoire de télédétection", 0.61), ("Beta", 0.6), ("Gamma", 0.2)):
        found = challenge.teams.filter(name=name).first() or factories.make_team(challenge, name)
        sent = factories.submit(found, first, at=now - timedelta(days=12))
        factories.give_score(sent, miou=miou, at=now - timedelta(days=12))
    maintenance.sweep()
    first.refresh_from_db()
    final_results.sign(
        phase=first,
        actor=User.objects.get(username="olive"),
        confirmed=final_results.digest(selector.draft(first, now=now)),
    )
    named = [challenge.slug]
    signed = reverse("web:result", args=[challenge.slug, first.slug])
    return challenge, [
        signed,
        f"{signed}?rank=last",
        f"{signed}?rank=1",
        reverse("web:desk-result", args=[challenge.slug, first.slug]),
        reverse("web:desk-result", args=[challenge.slug, opened.slug]),
        reverse("web:desk-copy", args=[challenge.slug, first.slug]) + "?to=test",
        reverse("web:desk", args=named),
        reverse("web:desk-phases", args=named),
        reverse("web:desk-phase", args=[challenge.slug, closed.slug]),
        reverse("web:desk-phase", args=[challenge.slug, opened.slug]),
        reverse("web:desk-phase-new", args=named),
        reverse("web:leaderboard", args=[challenge.slug, opened.slug]),
        reverse("web:leaderboard", args=[challenge.slug, closed.slug]),
    ]


@pytest.mark.parametrize(("width_px", "language", "theme"), LOOKS)
def test_no_page_has_violations_overflows_or_console_errors(
    live_server: LiveServer, browser: Browser, width_px: int, language: str, theme: str
) -> None:
    challenge, addresses = fill()
    context, page, complaints = open_page(
        browser, live_server.url, width_px=width_px, language=language, theme=theme
    )
    sign_in_as(User.objects.get(username="olive"), context, site=live_server.url)
    faults: list[str] = []
    for address in addresses:
        page.goto(address)
        assert page.url.endswith(address)
        assert page.locator("html").get_attribute("lang") == language
        faults += find_faults(page, address, width_px=width_px)
    edited = reverse("web:desk-phase", args=[challenge.slug, "test"])
    page.goto(edited)
    page.locator("input[name=closes_at]").fill("2195-03-29T02:30")
    page.locator("input[name=frozen_at]").fill("")
    page.locator("form.form button[type=submit]").last.click()
    page.locator("input[name=closes_at_choice]").last.check()
    faults += find_faults(page, f"{edited} (two choices)", width_px=width_px)
    page.locator("form.form button[type=submit]").last.click()
    faults += find_faults(page, f"{edited} (consequences)", width_px=width_px)
    page.locator("button[name=confirmed]").click()
    assert Phase.objects.get(slug="test").frozen_at is None
    assert faults == []
    # The pages that ask are answers 422 and 409, of which a browser complains.
    assert [line for line in complaints if "422" not in line and "409" not in line] == []
    context.close()
