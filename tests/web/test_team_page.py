"""A team's page and a person's: what is shown, to whom, is the team's choice and the person's."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.urls import reverse

from challenge.models import Membership, Phase, Submission, Team, User
from challenge.selectors import team_pages
from challenge.services.leaderboard import ranks
from challenge.services.teams import disqualifications
from tests import factories
from tests.web.conftest import Visit

TOLD = [0.5, 0.4, 0.6]
TEXT = "Trained for nine days on dunes."


@pytest.fixture
def scored(team: Team, phase: Phase) -> Team:
    """Larch with three submissions, the second below its best, and Oak between."""
    oak = factories.make_team(phase.challenge, "Oak")
    factories.give_score(factories.submit(oak, phase, at=factories.NOON), 0.55)
    for hour, miou in enumerate(TOLD, start=1):
        at = factories.NOON + timedelta(hours=hour)
        factories.give_score(factories.submit(team, phase, at=at, method=f"Net {hour}"), miou)
    Submission.objects.filter(entry__team=team).update(
        method_description=TEXT, code_url="https://example.org/code"
    )
    return team


def page_of(team: Team) -> str:
    return reverse("web:team", args=[team.challenge.slug, team.pk])


def viewers(team: Team) -> dict[str, User | None]:
    return {
        "stranger": None,
        "rival": factories.captain_of(Team.objects.get(name="Oak")),
        "member": factories.captain_of(team),
        "organiser": factories.make_organiser(team.challenge),
    }


def told(html: str) -> dict[str, bool]:
    """Which parts of the page there are."""
    return {
        "members": "(captain)" in html,
        "methods": TEXT in html,
        "ranks": "rank-line" in html,
        "history": "scored submissions" in html,
    }


def test_by_default_others_see_what_the_leaderboard_told(scored: Team, visit: Visit) -> None:
    defaults = {"members": True, "methods": False, "ranks": True, "history": False}
    everything = dict.fromkeys(defaults, True)
    for name, user in viewers(scored).items():
        html = visit(user).get(page_of(scored)).content.decode()
        wanted = everything if name in {"member", "organiser"} else defaults
        assert told(html) == wanted, name
        assert ("40.00" in html) == (name in {"member", "organiser"}), name
        assert ("You see more here than others do." in html) == (name == "member")


@pytest.mark.parametrize("part", ["members", "methods", "ranks", "history"])
@pytest.mark.parametrize("shown", [True, False])
def test_the_captain_chooses_what_others_see(
    scored: Team, visit: Visit, part: str, shown: bool
) -> None:
    wanted = dict.fromkeys(("members", "methods", "ranks", "history"), not shown) | {part: shown}
    captain = visit(factories.captain_of(scored))
    act = reverse("web:team-act", args=[scored.challenge.slug, "shown"])
    captain.post(act, {f"shows_{name}": "on" for name, on in wanted.items() if on})
    assert told(visit().get(page_of(scored)).content.decode()) == wanted
    answer = visit().get(f"/api/v1/challenges/{scored.challenge.slug}/teams/{scored.pk}").json()
    [standing] = answer["standings"]
    assert answer["shown"] == wanted
    assert bool(answer["members"]) == wanted["members"]
    assert bool(standing["ranks"]) == bool(standing["scores"]) == wanted["ranks"]
    assert [one["method"] for one in standing["methods"]] == ["Net 3", "Net 1"][
        : 2 * wanted["methods"]
    ]
    assert [one["number"] for one in standing["history"]] == [3, 2, 1][: 3 * wanted["history"]]
    described = {one["description"] for one in standing["history"]}
    # Of a submission that raised nothing, no more than its values.
    assert described <= ({TEXT, ""} if wanted["methods"] else {""})
    everything = {"members": True, "methods": True, "ranks": True, "history": True}
    assert told(captain.get(page_of(scored)).content.decode()) == everything


def test_the_captain_alone_chooses(scored: Team, visit: Visit) -> None:
    mate = factories.make_user()
    Membership.objects.create(team=scored, user=mate, challenge=scored.challenge)
    act = reverse("web:team-act", args=[scored.challenge.slug, "shown"])
    html = visit(mate).post(act, {"shows_history": "on"}, follow=True).content.decode()
    assert "Only the captain of the team may do this." in html
    scored.refresh_from_db()
    assert not scored.shows_history
    own = reverse("web:team-manage", args=[scored.challenge.slug])
    html = visit(factories.captain_of(scored)).get(own).content.decode()
    assert 'name="shows_history"' in html


@pytest.mark.parametrize(
    "hidden",
    [{"visibility": "own-team"}, {"visibility": "organisers"}, {"visibility": "after-close"}],
)
def test_no_choice_shows_what_the_phase_hides(
    scored: Team, visit: Visit, hidden: dict[str, Any]
) -> None:
    Team.objects.update(shows_methods=True, shows_history=True)
    Phase.objects.update(**hidden)
    html = visit().get(page_of(scored)).content.decode()
    assert "No score to show yet." in html
    assert TEXT not in html


def test_a_freeze_hides_later_submissions_from_others(scored: Team, visit: Visit) -> None:
    Team.objects.update(shows_history=True)
    Phase.objects.update(frozen_at=factories.NOON + timedelta(hours=1, minutes=1))
    ranks.recompute(phase=Phase.objects.get())
    cache.clear()
    html = visit().get(page_of(scored)).content.decode()
    assert "60.00" not in html
    assert "1 scored submission<" in html


def test_the_disqualified_have_no_history(scored: Team, visit: Visit) -> None:
    Team.objects.update(shows_history=True, shows_methods=True)
    owner = factories.make_organiser(scored.challenge)
    disqualifications.disqualify(team=scored, actor=owner, reason="Copied.")
    html = visit().get(page_of(scored)).content.decode()
    assert "No score to show yet." in html


def test_a_persons_page_is_shown_by_the_person_and_the_team(scored: Team, visit: Visit) -> None:
    captain = factories.captain_of(scored)
    address = reverse("web:person", args=[captain.pk])
    api = f"/api/v1/people/{captain.pk}"
    assert visit().get(address).status_code == visit().get(api).status_code == 404
    assert visit().get(reverse("web:person", args=[10**8])).status_code == 404
    own = visit(captain).get(address).content.decode()
    assert "Nobody else sees this page until you show it." in own
    assert address not in visit().get(page_of(scored)).content.decode()

    fields = {"username": captain.username, "language": "en", "theme": "auto", "shows_page": "on"}
    assert visit(captain).post(reverse("web:profile"), fields).status_code == 302
    html = visit().get(address).content.decode()
    assert "Larch" in html
    assert "rank-line" in html
    assert captain.email not in html
    assert TEXT not in html
    assert address in visit().get(page_of(scored)).content.decode()
    assert visit().get(api).json()["teams"][0]["name"] == "Larch"

    Team.objects.update(shows_members=False)
    html = visit().get(address).content.decode()
    assert "Larch" not in html
    assert "No team to show yet." in html
    Team.objects.update(shows_members=True)
    scored.challenge.is_published = False
    scored.challenge.save()
    assert "Larch" not in visit().get(address).content.decode()
    User.objects.filter(pk=captain.pk).update(is_active=False)
    assert visit().get(address).status_code == 404


def test_a_page_of_a_person_says_nothing_more_to_an_organiser(scored: Team, visit: Visit) -> None:
    captain = factories.captain_of(scored)
    User.objects.filter(pk=captain.pk).update(shows_page=True)
    Phase.objects.update(visibility="organisers")
    organiser = factories.make_organiser(scored.challenge)
    html = visit(organiser).get(reverse("web:person", args=[captain.pk])).content.decode()
    assert not re.search(r"\d\d\.\d", html[html.index("<main") :])


def test_the_queries_of_a_team_do_not_grow_with_its_submissions(
    scored: Team, phase: Phase, django_assert_max_num_queries: Any
) -> None:
    for hour in range(4, 9):
        at = factories.NOON + timedelta(hours=hour)
        factories.give_score(factories.submit(scored, phase, at=at), 0.6 + hour / 100)
    cache.clear()
    Team.objects.update(shows_methods=True, shows_history=True)
    team = Team.objects.select_related("challenge").get(pk=scored.pk)
    fresh = Phase.objects.select_related("challenge", "task_spec").get()
    with django_assert_max_num_queries(11):
        team_pages.of_team(team, phases=[fresh], user=None)
