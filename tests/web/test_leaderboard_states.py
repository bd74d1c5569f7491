"""Dated states of a leaderboard: kept as shown, cited, and never telling more than it does now."""

from __future__ import annotations

import hashlib
import re
from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.urls import reverse
from django.utils import timezone

from challenge.errors import Conflict, NotFound, QuotaExceeded
from challenge.models import LeaderboardState, Phase, Submission, Team, User
from challenge.selectors import leaderboard_states as selector
from challenge.services import signing
from challenge.services.accounts import accounts
from challenge.services.leaderboard import leaderboard_states as service
from challenge.services.leaderboard import ranks
from challenge.services.teams import disqualifications
from tests import factories
from tests.web.conftest import Visit

HOUR = timedelta(hours=1)


@pytest.fixture
def reader(db: None) -> User:
    return factories.make_user("reader")


@pytest.fixture
def scored(phase: Phase) -> Phase:
    """Larch before Oak."""
    for name, miou in (("Larch", 0.61234), ("Oak", 0.5)):
        team = factories.make_team(phase.challenge, name)
        factories.give_score(factories.submit(team, phase), miou)
    return fresh()


def fresh() -> Phase:
    cache.clear()
    return Phase.objects.select_related("challenge", "task_spec").get()


def keep(reader: User, *, after: timedelta = timedelta()) -> LeaderboardState:
    cache.clear()  # how often a person asked, too
    return service.keep(phase=fresh(), actor=reader, now=timezone.now() + after)


def lines(state: LeaderboardState) -> list[dict[str, Any]]:
    shown = selector.get(fresh(), selector.stamp_of(state.kept_at))
    found: list[dict[str, Any]] = shown.document["lines"]
    return found


def verify(state: LeaderboardState) -> bool:
    """Verify what anybody gets, withheld lines by their digests."""
    document = selector.get(fresh(), selector.stamp_of(state.kept_at)).document
    digests = [
        line["sha256"] if line.get("withheld") else sha256(line) for line in document["lines"]
    ]
    return sha256(document | {"lines": digests}) == state.digest


def sha256(document: dict[str, Any]) -> str:
    return hashlib.sha256(signing.canonical(document)).hexdigest()


def test_a_state_is_kept_and_cited_by_who_signed_in(
    scored: Phase, reader: User, visit: Visit
) -> None:
    address = reverse("web:leaderboard-states", args=[scored.challenge.slug, scored.slug])
    assert "Sign in to keep this state" in visit().get(address).content.decode()
    assert "/accounts/login/" in visit().post(address)["Location"]
    assert not LeaderboardState.objects.exists()
    answer = visit(reader).post(address, follow=True)
    html = answer.content.decode()
    state = LeaderboardState.objects.get()
    assert "@misc{abc-test-" in html
    assert state.digest in html
    permanent = re.search(r'id="state-link">http://[^/]+([^<]+)<', html)
    assert permanent is not None
    for language, words in {
        "en": "As everybody saw it then",
        "fr": "Tel que tout le monde",
    }.items():
        page = visit(language=language).get(permanent[1]).content.decode()
        assert words in page
        assert "Larch" in page
    assert "61.23" not in html  # the step of the leaderboard, not the value
    data = visit().get(permanent[1].rstrip("/") + ".json").json()
    assert data["sha256"] == state.digest
    assert permanent[1] in visit().get(address).content.decode()


def test_it_stays_when_the_leaderboard_changes(scored: Phase, reader: User) -> None:
    state = keep(reader)
    oak = Team.objects.get(name="Oak")
    factories.give_score(factories.submit(oak, scored, at=factories.NOON + HOUR), 0.9)
    Team.objects.filter(pk=oak.pk).update(name="Holm oak")
    assert [(line["team"], line["rank"]) for line in lines(state)] == [("Larch", 1), ("Oak", 2)]
    assert verify(state)


def test_the_same_leaderboard_is_kept_once(scored: Phase, reader: User) -> None:
    state = keep(reader)
    assert keep(reader, after=HOUR) == state
    ranks.recompute(phase=scored)
    assert keep(reader, after=2 * HOUR) == state


def test_a_day_has_a_number_of_states(
    scored: Phase, reader: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "STATES_A_DAY", 1)
    noon = timezone.now().replace(hour=12)
    service.keep(phase=scored, actor=reader, now=noon)
    oak = Team.objects.get(name="Oak")
    factories.give_score(factories.submit(oak, scored, at=factories.NOON + HOUR), 0.9)
    with pytest.raises(QuotaExceeded) as refused:
        service.keep(phase=fresh(), actor=reader, now=noon + HOUR)
    assert refused.value.code == "states-used-up"
    service.keep(phase=fresh(), actor=reader, now=noon + timedelta(days=1))
    assert LeaderboardState.objects.count() == 2


def test_a_person_keeps_ten_an_hour(scored: Phase, reader: User) -> None:
    for _ in range(10):
        service.keep(phase=scored, actor=reader)
    with pytest.raises(QuotaExceeded) as refused:
        service.keep(phase=scored, actor=reader)
    assert refused.value.code == "too-many-requests"


@pytest.mark.parametrize("visibility", ["own-team", "organisers", "after-close"])
def test_a_hidden_leaderboard_has_no_states(scored: Phase, reader: User, visibility: str) -> None:
    state = keep(reader)
    Phase.objects.update(visibility=visibility)
    assert selector.of_phase(fresh()) == []
    with pytest.raises(NotFound):
        lines(state)
    organiser = factories.make_organiser(scored.challenge)
    with pytest.raises(Conflict) as refused:  # an organiser, who sees it, cannot tell others so
        keep(organiser, after=HOUR)
    assert refused.value.code == "state-board-hidden"


def test_nothing_is_kept_before_the_phase_is_published(scored: Phase) -> None:
    organiser = factories.make_organiser(scored.challenge)
    Phase.objects.update(is_published=False)
    with pytest.raises(Conflict):
        keep(organiser)


def test_a_state_is_withheld_while_the_leaderboard_tells_less(scored: Phase, reader: User) -> None:
    state = keep(reader)
    for less in ({"detail": "miou"}, {"frozen_at": factories.NOON - HOUR}):
        before = Phase.objects.values(*less).get()
        Phase.objects.update(**less)
        with pytest.raises(Conflict) as refused:
            lines(state)
        assert refused.value.code == "state-withheld"
        Phase.objects.update(**before)
        assert len(lines(state)) == 2
    for finer in (None, state.document["miou_step"] / 2):
        LeaderboardState.objects.update(document=state.document | {"miou_step": finer})
        with pytest.raises(Conflict):
            lines(state)  # full values, or in a finer step, while they leave in a coarser one


def test_a_freeze_after_all_submissions_withholds_nothing(scored: Phase, reader: User) -> None:
    state = keep(reader)
    Phase.objects.update(frozen_at=factories.NOON + HOUR)
    assert len(lines(state)) == 2


def test_lines_of_the_disqualified_are_withheld_and_the_digest_holds(
    scored: Phase, reader: User, visit: Visit
) -> None:
    state = keep(reader)
    owner = factories.make_organiser(scored.challenge)
    larch = Team.objects.get(name="Larch")
    disqualifications.disqualify(team=larch, actor=owner, reason="Copied.")
    first, second = lines(state)
    assert set(first) == {"rank", "withheld", "sha256"}
    assert second["team"] == "Oak"
    assert verify(state)
    stamp = selector.stamp_of(state.kept_at)
    named = [scored.challenge.slug, scored.slug, stamp]
    html = visit().get(reverse("web:leaderboard-state", args=named)).content.decode()
    assert "1 line is withheld" in html
    assert "Larch" not in html
    disqualifications.lift(team=larch, actor=owner, reason="It was not.")
    assert lines(state)[0]["team"] == "Larch"
    Submission.objects.filter(entry__team=larch).update(disqualified_at=factories.NOON)
    assert lines(state)[0].get("withheld")


def test_a_name_goes_with_its_account(scored: Phase, reader: User) -> None:
    state = keep(reader)
    known = dict(lines(state)[0])
    assert len(known.pop("nonce")) == 32
    accounts.delete(user=factories.captain_of(Team.objects.get(name="Larch")))
    withheld = lines(state)[0]
    assert withheld.get("withheld")
    assert verify(state)
    # Whoever guesses the name and knows all the rest cannot try it against the digest.
    assert withheld["sha256"] != sha256(known)


def test_one_person_does_not_use_up_the_states_of_a_day(scored: Phase, reader: User) -> None:
    oak = Team.objects.get(name="Oak")
    noon = timezone.now().replace(hour=12)
    cache.clear()
    for number in range(5):
        miou = 0.7 + number / 100
        at = factories.NOON + (number + 1) * HOUR
        factories.give_score(factories.submit(oak, scored, at=at), miou)
        phase = Phase.objects.select_related("challenge", "task_spec").get()
        if number < 4:
            service.keep(phase=phase, actor=reader, now=noon + number * HOUR)
            continue
        with pytest.raises(QuotaExceeded) as refused:
            service.keep(phase=phase, actor=reader, now=noon + number * HOUR)
        assert refused.value.code == "too-many-requests"
        service.keep(phase=phase, actor=factories.make_user(), now=noon + number * HOUR)


@pytest.mark.parametrize("stamp", ["20260101T000000Z", "now", "20269999T999999Z"])
def test_what_was_not_kept_is_not_there(scored: Phase, visit: Visit, stamp: str) -> None:
    named = [scored.challenge.slug, scored.slug, stamp]
    assert visit().get(reverse("web:leaderboard-state", args=named)).status_code == 404


def test_states_by_api(scored: Phase, reader: User, visit: Visit) -> None:
    state = keep(reader)
    stamp = selector.stamp_of(state.kept_at)
    base = f"/api/v1/challenges/{scored.challenge.slug}/phases/{scored.slug}/leaderboard/states"
    client = visit()
    assert [one["stamp"] for one in client.get(base).json()["items"]] == [stamp]
    answer = client.get(f"{base}/{stamp}").json()
    assert answer["sha256"] == state.digest
    assert [line["team"] for line in answer["state"]["lines"]] == ["Larch", "Oak"]
    assert client.get(f"{base}/20200101T000000Z").status_code == 404
    assert client.post(base).status_code == 401
