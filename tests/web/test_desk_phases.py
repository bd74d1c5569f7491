"""The desk's pages of phases: the challenge's own clocks, consequences confirmed, settlement."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from challenge.models import AuditEvent, Challenge, Phase
from challenge.rules.roles import Role
from tests import factories
from tests.web.conftest import Visit

pytestmark = pytest.mark.django_db

PARIS = ZoneInfo("Europe/Paris")


@pytest.fixture
def phase(db: None) -> Phase:
    """An open phase of a challenge on Paris time."""
    made = factories.make_phase(
        opens_at=timezone.now().replace(microsecond=0) - timedelta(days=1),
        closes_at=datetime(2199, 7, 1, 22, tzinfo=UTC),
        grace_minutes=60,
    )
    Challenge.objects.update(time_zone="Europe/Paris")
    made.challenge.refresh_from_db()
    return made


def page_of(phase: Phase) -> str:
    return reverse("web:desk-phase", args=[phase.challenge.slug, phase.slug])


def filled(client: Client, url: str, **changed: Any) -> dict[str, Any]:
    """Return what a browser would send of the form at ``url``, with some fields changed."""
    form = client.get(url).context["form"]
    seen = client.get(url).context.get("seen", "")
    data = {name: form[name].value() for name in form.fields}
    sent = {name: value for name, value in data.items() if value is not None and value is not False}
    return {**sent, "seen": seen} | changed


@pytest.mark.parametrize("language", ["en", "fr"])
def test_times_are_on_the_challenges_clocks_with_utc_beside(
    phase: Phase, visit: Visit, language: str
) -> None:
    editor = factories.make_organiser(
        phase.challenge, factories.make_user(timezone="Asia/Tokyo"), Role.EDITOR
    )
    client = visit(editor, language=language)
    client.cookies["timezone"] = "America/New_York"
    page = client.get(page_of(phase)).content.decode()
    assert 'value="2199-07-02T00:00"' in page
    assert "2199-07-02 00:00 CEST (2199-07-01 22:00 UTC)" in page
    listed = client.get(reverse("web:desk-phases", args=[phase.challenge.slug])).content.decode()
    assert "2199-07-02 00:00 CEST (2199-07-01 22:00 UTC)" in listed
    answer = client.post(page_of(phase), filled(client, page_of(phase), sort_order=4))
    assert answer.status_code == 302, answer.context["form"].errors
    phase.refresh_from_db()
    assert phase.closes_at == datetime(2199, 7, 1, 22, tzinfo=UTC)
    assert list(AuditEvent.objects.get().data["after"]) == ["sort_order"]


@pytest.mark.parametrize(
    ("day", "choices"),
    [
        ("2195-03-29T02:30", ["2195-03-29T00:30:00+00:00", "2195-03-29T01:30:00+00:00"]),
        ("2195-10-25T02:30", ["2195-10-25T00:30:00+00:00", "2195-10-25T01:30:00+00:00"]),
    ],
)
def test_hours_at_a_change_of_clocks_are_refused_with_the_two_choices(
    phase: Phase, visit: Visit, day: str, choices: list[str]
) -> None:
    client = visit(factories.make_organiser(phase.challenge, role=Role.EDITOR))
    url = page_of(phase)
    data = filled(client, url, closes_at=day)
    answer = client.post(url, data)
    assert answer.status_code == 422
    assert (
        re.findall(r'name="closes_at_choice" value="([^"]+)"', answer.content.decode()) == choices
    )
    answer = client.post(url, data | {"closes_at_choice": "2195-01-01T00:00:00+00:00"})
    assert answer.status_code == 422
    asked = client.post(url, data | {"closes_at_choice": choices[1]})
    confirmed = asked.context["confirmation"]
    client.post(url, data | {"closes_at_choice": choices[1], "confirmed": confirmed})
    phase.refresh_from_db()
    assert phase.closes_at == datetime.fromisoformat(choices[1])


@pytest.mark.parametrize(
    ("language", "words"), [("en", "It closes at once."), ("fr", "Elle se clôt tout de suite.")]
)
def test_consequences_are_confirmed_before_anything_is_saved(
    phase: Phase, visit: Visit, language: str, words: str
) -> None:
    factories.submit(factories.make_team(phase.challenge), phase, at=timezone.now())
    client = visit(factories.make_organiser(phase.challenge), language=language)
    url, closed = page_of(phase), phase.closes_at
    soon = timezone.now() - timedelta(minutes=5)
    local = soon.astimezone(PARIS).strftime("%Y-%m-%dT%H:%M")
    data = filled(client, url, closes_at=local)
    asked = client.post(url, data)
    assert asked.status_code == 409
    assert words in asked.content.decode()
    assert len(asked.context["to_confirm"]) == 2
    phase.refresh_from_db()
    assert phase.closes_at == closed
    Phase.objects.update(total_limit=77)  # another editor
    fresh = client.get(url).context["seen"]
    stale = client.post(url, data | {"seen": fresh, "confirmed": asked.context["confirmation"]})
    assert stale.status_code == 409
    assert stale.context["stale"]
    phase.refresh_from_db()
    assert phase.closes_at == closed


def test_another_editors_save_is_told_and_what_was_entered_is_not_lost(
    phase: Phase, visit: Visit
) -> None:
    client = visit(factories.make_organiser(phase.challenge, role=Role.EDITOR))
    url = page_of(phase)
    data = filled(client, url, summary_en="Words that took an hour")
    Phase.objects.update(daily_limit=9)
    answer = client.post(url, data)
    assert answer.status_code == 409
    page = answer.content.decode()
    assert "Words that took an hour" in page
    assert answer.context["form"]["daily_limit"].value() == 9
    phase.refresh_from_db()
    assert phase.summary == {}


def test_an_editor_sees_no_box_to_publish_and_an_observer_changes_nothing(
    phase: Phase, visit: Visit
) -> None:
    editor = visit(factories.make_organiser(phase.challenge, role=Role.EDITOR))
    url = page_of(phase)
    assert 'name="is_published"' not in editor.get(url).content.decode()
    data = filled(editor, url, sort_order=3)
    assert editor.post(url, data).status_code == 302
    phase.refresh_from_db()
    assert phase.is_published
    observer = visit(factories.make_organiser(phase.challenge, role=Role.OBSERVER))
    assert "<fieldset disabled>" in observer.get(url).content.decode()
    assert observer.post(url, data).status_code == 403


def test_an_owner_settles_by_hand(phase: Phase, visit: Visit) -> None:
    closed_at = timezone.now() - timedelta(minutes=1)
    Phase.objects.update(closes_at=closed_at, grace_minutes=600, finals_limit=1)
    factories.make_team(phase.challenge)
    owner = visit(factories.make_organiser(phase.challenge))
    url = reverse("web:desk-phase-settle", args=[phase.challenge.slug, phase.slug])
    assert url in owner.get(page_of(phase)).content.decode()
    editor = visit(factories.make_organiser(phase.challenge, role=Role.EDITOR))
    assert url not in editor.get(page_of(phase)).content.decode()
    told = owner.post(url, {"reason": ""}, follow=True).content.decode()
    assert "Say why" in told
    owner.post(url, {"reason": "all is scored"})
    assert Phase.objects.get().settlement_recorded
    board = reverse("web:leaderboard", args=[phase.challenge.slug, phase.slug])
    assert "not settled yet" not in visit().get(board).content.decode()


def test_a_new_phase_and_another_time_zone(phase: Phase, visit: Visit) -> None:
    client = visit(factories.make_organiser(phase.challenge, role=Role.EDITOR))
    url = reverse("web:desk-phase-new", args=[phase.challenge.slug])
    data = filled(client, url, slug="final", name_en="Final", name_fr="Finale")
    data |= {"opens_at": "2199-08-01T00:00", "visibility": "own-team", "detail": "miou"}
    data |= {"precision": "labels-closed"}
    added = client.post(url, data)
    assert added.status_code == 302, added.context["form"].errors
    made = Phase.objects.get(slug="final")
    assert made.opens_at == datetime(2199, 7, 31, 22, tzinfo=UTC)
    assert not made.is_published
    assert client.post(url, data).status_code == 422
    phases = reverse("web:desk-phases", args=[phase.challenge.slug])
    assert "720 hours without an open phase" in client.get(phases).content.decode()
    assert client.post(phases, {"time_zone": "Indian/Reunion"}).status_code == 302
    assert "2199-08-01 02:00 +04 (2199-07-31 22:00 UTC)" in client.get(phases).content.decode()
    assert client.post(phases, {"time_zone": "Paris"}).status_code == 422


def test_the_desk_leads_to_phases_and_people(phase: Phase, visit: Visit) -> None:
    client = visit(factories.make_organiser(phase.challenge))
    page = client.get(reverse("web:desk", args=[phase.challenge.slug])).content.decode()
    for name in ("desk-phases", "desk-people"):
        assert reverse(f"web:{name}", args=[phase.challenge.slug]) in page
