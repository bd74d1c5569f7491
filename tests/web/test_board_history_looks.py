"""Ranks over time, team pages, people and dated states in a browser, on phone and desk."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Browser
from pytest_django.live_server_helper import LiveServer

from challenge.models import PublishedResult, Submission, Team, User
from challenge.selectors import leaderboard_states as selector
from challenge.services.leaderboard import leaderboard_states
from tests import factories
from tests.web.browser import open_page
from tests.web.looks import LOOKS, find_faults, sign_in_as

pytestmark = pytest.mark.django_db(transaction=True)


def fill() -> list[str]:
    """Twelve teams that overtake each other in two phases; returns the addresses to look at."""
    now = timezone.now()
    challenge = factories.make_challenge(title={"en": "Land cover", "fr": "Occupation du sol"})
    times = {"opens_at": now.replace(year=2020), "closes_at": now.replace(year=2199)}
    first = factories.make_phase(challenge, name={"en": "Practice", "fr": "Essai"}, **times)
    second = factories.make_phase(challenge, slug="final", **times)
    empty = factories.make_phase(challenge, slug="empty", **times)
    for name, miou in (("A paper", 0.55), ("The podium of last year", 0.6)):
        PublishedResult.objects.create(
            challenge=challenge, phase_slug="empty", name=name, kind="podium", miou=miou
        )
    captain = factories.make_user("captain-with-a-long-name", shows_page=True)
    teams = [factories.make_team(challenge, "Laboratoire de télédétection", members=[captain])]
    teams += [factories.make_team(challenge, f"Atelier du relief {n}") for n in range(11)]
    for phase in (first, second):
        for turn in range(2):
            for position, team in enumerate(teams):
                at = now - timedelta(hours=40 - 14 * turn - position)
                miou = 0.3 + (position * 7 % 12) / 50 + turn * (position * 5 % 12) / 30
                made = factories.submit(team, phase, at=at, method="U-Net with a long name")
                factories.give_score(made, miou, at=at)
    Submission.objects.update(method_description="Two nets.\n\nTheir mean.", external_data="OSM")
    Team.objects.update(shows_methods=True, shows_history=True)
    first.refresh_from_db()
    state = leaderboard_states.keep(phase=first, actor=captain)
    named = [challenge.slug, first.slug]
    return [
        reverse("web:progress", args=named),
        reverse("web:leaderboard", args=[challenge.slug, empty.slug]),
        reverse("web:leaderboard-states", args=named),
        reverse("web:leaderboard-state", args=[*named, selector.stamp_of(state.kept_at)]),
        reverse("web:team", args=[challenge.slug, teams[0].pk]),
        reverse("web:person", args=[captain.pk]),
        reverse("web:team-manage", args=[challenge.slug]),
        reverse("web:profile"),
    ]


@pytest.mark.parametrize(("width_px", "language", "theme"), LOOKS)
def test_no_page_has_violations_overflows_or_console_errors(
    live_server: LiveServer, browser: Browser, width_px: int, language: str, theme: str
) -> None:
    addresses = fill()
    context, page, complaints = open_page(
        browser, live_server.url, width_px=width_px, language=language, theme=theme
    )
    person = User.objects.get(username="captain-with-a-long-name")
    User.objects.filter(pk=person.pk).update(language=language, theme=theme)
    sign_in_as(person, context, site=live_server.url)
    faults: list[str] = []
    for address in addresses:
        page.goto(address)
        assert page.url.endswith(address)
        assert page.locator("html").get_attribute("lang") == language
        faults += find_faults(page, address, width_px=width_px)
    assert faults == []
    assert complaints == []
    context.close()


def test_lines_are_told_apart_in_forced_colours(live_server: LiveServer, browser: Browser) -> None:
    addresses = fill()
    context, page, _complaints = open_page(
        browser, live_server.url, width_px=1440, language="en", theme="light"
    )
    page.emulate_media(forced_colors="active")
    page.goto(addresses[0])
    strokes = page.eval_on_selector_all(
        "svg.ranks .rank-line",
        "lines => lines.map(line => { const style = getComputedStyle(line);"
        " return `${style.stroke} ${style.strokeDasharray}`; })",
    )
    assert len(strokes) == 10
    assert len({stroke.split(" ", 3)[-1] for stroke in strokes}) >= 5
    context.close()
