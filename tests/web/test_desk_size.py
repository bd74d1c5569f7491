"""The number of queries of a desk page does not grow with teams and submissions."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from challenge.models import Page, Phase
from challenge.selectors.messages import Audience
from challenge.services.challenges import page_editing
from challenge.services.notifications import messages
from tests import factories
from tests.web import desk_addresses
from tests.web.conftest import Visit

pytestmark = pytest.mark.django_db
QUERIES_AT_MOST = 20
FILES = (".csv", ".json", ".tex", ".zip")


def add_teams(phase: Phase, count: int) -> int:
    """Add teams with two scored submissions each; returns the id of the last one."""
    now = timezone.now()
    for number in range(count):
        team = factories.make_team(phase.challenge)
        for days in (3, 2):
            sent = factories.submit(team, phase, at=now - timedelta(days=days))
            factories.give_score(sent, 0.4 + number // 2 / 100)  # two teams with the same pixels
    return int(team.pk)


def queries(client: Client, arguments: dict[str, str]) -> dict[str, int]:
    """Return how many queries each page of the desk makes, once warm."""
    counted = {}
    for route in desk_addresses.routes():
        address = desk_addresses.fill(route, arguments)
        if address.endswith(FILES) or client.get(address).status_code == 405:
            continue
        rounds = []
        for _round in range(2):  # a cache that ends now costs one of them a query
            with CaptureQueriesContext(connection) as captured:
                assert client.get(address).status_code == 200, address
            rounds.append(len(captured))
        counted[route] = min(rounds)
    return counted


def test_no_desk_page_makes_more_queries_for_more_teams(visit: Visit) -> None:
    now = timezone.now()
    phase = factories.make_phase(opens_at=now - timedelta(days=9), closes_at=None)
    challenge = phase.challenge
    factories.make_phase(
        challenge, "next", task_spec=phase.task_spec, ground_truth=phase.ground_truth
    )
    page = Page.objects.create(
        challenge=challenge, slug="overview", language="en", title="Overview", markdown="Hello."
    )
    version = page_editing.keep(page, actor=None)
    team = add_teams(phase, 3)
    owner = factories.make_organiser(challenge)
    owner.user_permissions.add(Permission.objects.get(codename="add_challenge"))  # for the clone
    message = messages.send(
        challenge=challenge,
        actor=owner,
        subject={"en": "Hello"},
        body={"en": "Welcome."},
        audience=Audience(),
        expected=challenge.registrations.count(),
    )
    arguments = {
        "slug": challenge.slug,
        "phase_slug": phase.slug,
        "page_slug": "overview",
        "language": "en",
        "teams/pk": str(team),
        "messages/pk": str(message.pk),
        "versions/pk": str(version.pk),
        "registrations/pk": "1",
    }
    client = visit(owner)
    few = queries(client, arguments)
    add_teams(phase, 9)
    many = queries(client, arguments)
    assert len(few) > 20
    assert {route: (few[route], n) for route, n in many.items() if n > few[route]} == {}
    assert {route: n for route, n in many.items() if n > QUERIES_AT_MOST} == {}
