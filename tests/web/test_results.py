"""The pages of a final result: the desk's, the public one, its files."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from challenge.models import FinalResult, Phase
from challenge.rules.roles import Role
from challenge.services import maintenance, signing
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def ended() -> Phase:
    """A settled phase of three teams, two of them equal, and a board that only organisers see."""
    now = timezone.now()
    phase = factories.make_phase(
        opens_at=now - timedelta(days=9),
        closes_at=now - timedelta(days=1),
        grace_minutes=0,
        visibility="organisers",
    )
    for name, miou in (("Alpha", 0.5), ("=cmd()", 0.6), ("Gamma", 0.6)):
        sent = factories.submit(
            factories.make_team(phase.challenge, name), phase, at=now - timedelta(days=2)
        )
        factories.give_score(sent, miou=miou, at=now - timedelta(days=2))
    maintenance.sweep()
    return Phase.objects.select_related("challenge").get()


def address(name: str, phase: Phase) -> str:
    return reverse(f"web:{name}", args=[phase.challenge.slug, phase.slug])


def signed_in(phase: Phase, role: Role) -> Client:
    client = Client()
    client.force_login(factories.make_organiser(phase.challenge, role=role))
    return client


def digest_on(page: Any) -> str:
    found = re.search(r'name="digest" value="([0-9a-f]{64})"', page.content.decode())
    assert found is not None
    return found[1]


def test_a_judge_signs_what_the_page_shows_and_everybody_reads_it(ended: Phase) -> None:
    judge, desk = signed_in(ended, Role.JUDGE), address("desk-result", ended)
    for name in ("result", "result-json", "result-csv"):
        assert Client().get(address(name, ended)).status_code == 404
    page = judge.get(desk)
    assert "shows these ranks and values to everybody" in page.content.decode()
    stale = judge.post(desk, {"digest": "0" * 64})
    assert stale.status_code == 409
    assert "nothing was signed" in stale.content.decode()
    assert judge.post(desk, {"digest": digest_on(page)}).status_code == 302
    again = judge.post(desk, {"digest": digest_on(judge.get(desk))})
    assert again.status_code == 422  # another version needs a reason
    public = Client().get(address("result", ended)).content.decode()
    assert "60.00" in public
    assert "Alpha" in public
    assert "@misc{abc-test-result-1," in public
    assert f"{address('result', ended)}?version=1}}" in public
    answer = Client().get(address("result-json", ended)).json()
    assert signing.is_signed_by(answer["result"], signature=answer["signature"], key=answer["key"])
    assert answer["result"] == FinalResult.objects.get().document
    csv = Client().get(address("result-csv", ended)).content.decode().splitlines()
    assert csv[1].startswith("1,1,team,'=cmd(),")
    assert len(csv) == 4
    board = judge.get(address("leaderboard", ended)).content.decode()
    assert address("result", ended) in board


def test_an_observer_looks_and_does_not_sign(ended: Phase) -> None:
    observer, desk = signed_in(ended, Role.OBSERVER), address("desk-result", ended)
    page = observer.get(desk)
    assert page.status_code == 200
    assert 'name="digest"' not in page.content.decode()
    assert observer.post(desk, {"digest": "0" * 64}).status_code == 403


def test_teams_are_shown_one_by_one_the_lowest_first(ended: Phase) -> None:
    judge, desk = signed_in(ended, Role.JUDGE), address("desk-result", ended)
    judge.post(desk, {"digest": digest_on(judge.get(desk))})
    order, link = [], "?rank=last"
    while link:
        page = Client().get(address("result", ended) + link).content.decode()
        order.append(re.findall(r'<h2 id="now">([^<]+)</h2>', page)[0])
        following = re.search(r'href="(\?rank=\d+[^"]*)"', page)
        link = following[1].replace("&amp;", "&") if following else ""
    assert order[0] == "Alpha"
    assert sorted(order) == ["=cmd()", "Alpha", "Gamma"]


@pytest.mark.parametrize("version", ["0", "2", "x", "99999999999", "-1"])
def test_a_version_that_is_not_there(ended: Phase, version: str) -> None:
    judge, desk = signed_in(ended, Role.JUDGE), address("desk-result", ended)
    judge.post(desk, {"digest": digest_on(judge.get(desk))})
    for name in ("result", "result-json", "result-csv"):
        assert Client().get(address(name, ended), {"version": version}).status_code == 404
    assert json.loads(Client().get(address("result-json", ended), {"version": "1"}).content)
