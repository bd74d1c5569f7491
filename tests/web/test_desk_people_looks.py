"""The desk's pages of people in a browser: axe, width, console, on phone and desk."""

from __future__ import annotations

import pytest
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Browser
from pytest_django.live_server_helper import LiveServer

from challenge.models import Challenge, Registration, User
from challenge.selectors.messages import Audience
from challenge.services.notifications import messages
from challenge.services.teams import admission, disqualifications
from tests import factories
from tests.web.browser import open_page
from tests.web.looks import LOOKS, find_faults, sign_in_as

pytestmark = pytest.mark.django_db(transaction=True)


def fill() -> tuple[Challenge, list[str]]:
    """A challenge with something on every page; returns it and the pages' addresses."""
    now = timezone.now()
    challenge = factories.make_challenge(title={"en": "Land cover", "fr": "Occupation du sol"})
    challenge.pages.create(slug="rules", language="en", title="Rules", markdown="Be kind.")
    phase = factories.make_phase(
        challenge, opens_at=now.replace(year=2020), closes_at=now.replace(year=2199)
    )
    owner = factories.make_organiser(challenge, factories.make_user("olive"))
    for number in range(3):
        team = factories.make_team(
            challenge, f"Laboratoire de télédétection {number}", affiliation="IGN, Saint-Mandé"
        )
        submission = factories.submit(team, phase, at=now, method="U-Net with a long name of it")
        factories.give_score(submission, 0.5 + number / 10, at=now)
    disqualifications.disqualify(team=team, actor=owner, reason="Copied labels of the test set.")
    challenge.approval_required = True
    challenge.save()
    waiting = factories.register(factories.make_user("an-applicant-with-a-long-name"), challenge)
    Registration.objects.filter(user=waiting).update(note="Asked for a letter.")
    text = "somebody.with.a.long.name@a-long-institute-name.example.org\n@ign.fr"
    admission.add(challenge=challenge, actor=owner, text=text)
    message = messages.send(
        challenge=challenge,
        actor=owner,
        subject={"en": "A change of the rules", "fr": "Le règlement change"},
        body={"en": "Read them again, please.", "fr": "Relisez-le, s’il vous plaît."},
        audience=Audience(),
        expected=3,
    )
    named = [challenge.slug]
    return challenge, [
        reverse("web:desk", args=named),
        reverse("web:desk-people", args=named),
        reverse("web:desk-registrations", args=named),
        reverse("web:desk-admission", args=named),
        reverse("web:desk-messages", args=named),
        reverse("web:desk-message", args=[challenge.slug, message.pk]),
        reverse("web:desk-teams", args=named),
        reverse("web:desk-team", args=[challenge.slug, team.pk]),
    ]


@pytest.mark.parametrize(("width_px", "language", "theme"), LOOKS)
def test_no_page_has_violations_overflows_or_console_errors(
    live_server: LiveServer, browser: Browser, width_px: int, language: str, theme: str
) -> None:
    _challenge, addresses = fill()
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
    assert faults == []
    assert complaints == []
    context.close()
