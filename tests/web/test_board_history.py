"""A leaderboard before anybody is ranked, and how its records and ranks moved."""

from __future__ import annotations

import re

from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from challenge.models import Phase, PublishedResult
from tests import factories
from tests.web.conftest import Visit


def url(phase: Phase, name: str = "leaderboard") -> str:
    return reverse(f"web:{name}", args=[phase.challenge.slug, phase.slug])


def test_an_empty_board_invites_and_shows_no_empty_columns(phase: Phase, visit: Visit) -> None:
    html = visit().get(url(phase)).content.decode()
    assert "The first rank is free" in html
    assert f'href="{reverse("web:join", args=[phase.challenge.slug])}"' in html
    assert "<table" not in html
    PublishedResult.objects.create(
        challenge=phase.challenge, phase_slug=phase.slug, name="Winner", kind="podium", miou=0.6
    )
    cache.clear()  # published results come from the challenge's file, whose load ends the cache
    html = visit(language="fr").get(url(phase)).content.decode()
    assert "La première place est libre" in html
    assert "Winner" in html
    assert "60,00" in html
    assert html.count('<td class="bar">') == 1
    assert 'class="class"' not in html
    member = factories.captain_of(factories.make_team(phase.challenge))
    html = visit(member).get(url(phase)).content.decode()
    assert f'href="{reverse("web:submit", args=[phase.challenge.slug, phase.slug])}"' in html


def test_an_empty_board_of_a_closed_phase_invites_nobody(phase: Phase, client: Client) -> None:
    Phase.objects.update(closes_at=factories.NOON.replace(year=2021))
    html = client.get(url(phase)).content.decode()
    assert "Nobody was ranked in this phase" in html
    assert "The first rank is free" not in html


def test_the_chart_names_who_took_the_record_and_explains_its_dots(
    phase: Phase, visit: Visit
) -> None:
    larch, beech = (factories.make_team(phase.challenge, name) for name in ("Larch", "Beech"))
    told = [(larch, 0.4), (beech, 0.3), (beech, 0.5), (beech, 0.52), (larch, 0.6)]
    for day, (team, miou) in enumerate(told):
        at = factories.NOON.replace(day=5 + day)
        factories.give_score(factories.submit(team, phase, at=at), miou)
    html = visit().get(url(phase, "progress")).content.decode()
    named = re.findall(r'<text class="team-name[^>]*text-anchor[^>]*>([^<]*)<', html)
    assert named == ["Larch", "Beech", "Larch"]  # the latest first; Beech's two in a row once
    assert "mIoU, %" in html
    assert "A submission that raised its own team’s best without being a record." in html
    french = visit(language="fr").get(url(phase, "progress")).content.decode()
    assert "sans battre le record" in french


def test_ranks_over_time_are_a_chart_and_a_table(phase: Phase, visit: Visit) -> None:
    larch, beech = (factories.make_team(phase.challenge, name) for name in ("Larch", "Beech"))
    for day, (team, miou) in enumerate([(larch, 0.4), (beech, 0.5), (larch, 0.6)]):
        at = factories.NOON.replace(day=5 + day)
        factories.give_score(factories.submit(team, phase, at=at), miou)
    html = visit(factories.captain_of(beech)).get(url(phase, "progress")).content.decode()
    paths = re.findall(r'<path class="rank-line style-\d( mine)?" d="([^"]*)"><title>', html)
    assert [mine for mine, _d in paths] == ["", " mine"]
    row = re.search(r'<tr><th scope="row">Larch</th>(.*?)</tr>', html)
    assert row is not None
    shown = re.findall(r">(\d+|–)<", row[1])
    assert (shown[0], shown[-1]) == ("1", "1")
    assert "2" in shown
    assert "The ranks of 2 teams over time" in html
    Phase.objects.update(visibility="after-close")
    assert "rank-line" not in visit().get(url(phase, "progress")).content.decode()
