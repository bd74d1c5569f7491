"""The pages round a final result in a browser: axe, width, console, on phone and desk."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Browser
from pytest_django.live_server_helper import LiveServer

from challenge.models import Phase, User
from challenge.services import maintenance
from challenge.services.teams import winner_documents
from tests import factories
from tests.web.browser import open_page
from tests.web.looks import LOOKS, find_faults, sign_in_as

pytestmark = pytest.mark.django_db(transaction=True)


def fill() -> list[tuple[str, str]]:
    """A settled phase with twins and documents in every state: who looks, and at which address."""
    now = timezone.now()
    phase = factories.make_phase(
        factories.make_challenge(title={"en": "Land cover", "fr": "Occupation du sol"}),
        name={"en": "Test", "fr": "Test"},
        opens_at=now.replace(year=2020),
        closes_at=None,
    )
    owner = factories.make_organiser(phase.challenge, factories.make_user("olive"))
    teams = []
    for miou in (0.7, 0.7, 0.6, 0.5, 0.4, 0.3):
        teams.append(factories.make_team(phase.challenge, affiliation="IGN, Saint-Mandé"))
        sent = factories.submit(teams[-1], phase, at=now - timedelta(days=3), method="U-Net")
        factories.give_score(sent, miou, at=now - timedelta(days=2))
    Phase.objects.update(closes_at=now - timedelta(days=1), grace_minutes=0)
    maintenance.sweep(now=now)
    phase.refresh_from_db()
    rows = winner_documents.ask(
        phase=phase,
        actor=owner,
        count=4,
        wanted="The code with which you trained.\nA report of four pages.",
        deadline=now + timedelta(days=3),
    )
    captains = [factories.captain_of(row.team) for row in rows]
    for row, captain in zip(rows[:3], captains, strict=False):
        link = "https://example.org/" + "a-long-name-of-a-repository/" * 4
        winner_documents.deliver(row=row, actor=captain, kind="code", link=link)
    winner_documents.decide(row=rows[1], actor=owner, accept=True)
    winner_documents.decide(row=rows[2], actor=owner, accept=False, reason="It does not train.")
    named = [phase.challenge.slug, phase.slug]
    own = reverse("web:documents", args=named)
    return [
        *((owner.username, reverse(f"web:desk-{page}", args=named))
          for page in ("documents", "duplicates", "result")),
        (owner.username, reverse("web:desk-challenge-export", args=named[:1])),
        *((one.username, own) for one in captains),
        (captains[0].username, reverse("web:team-manage", args=named[:1])),
    ]  # fmt: skip


@pytest.mark.parametrize(("width_px", "language", "theme"), LOOKS)
def test_no_page_has_violations_overflows_or_console_errors(
    live_server: LiveServer, browser: Browser, width_px: int, language: str, theme: str
) -> None:
    faults: list[str] = []
    looks = fill()
    context, page, complaints = open_page(
        browser, live_server.url, width_px=width_px, language=language, theme=theme
    )
    for username, address in looks:
        sign_in_as(User.objects.get(username=username), context, site=live_server.url)
        page.goto(address)
        assert page.url.endswith(address)
        assert page.locator("html").get_attribute("lang") == language
        faults += find_faults(page, address, width_px=width_px)
    assert faults == []
    assert complaints == []
    context.close()
