"""Team names and usernames: no look-alikes, no claimed roles; older names stay as they are."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
from django.apps import apps
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse

from challenge.errors import Conflict
from challenge.models import Challenge, Team, User
from challenge.rules import names
from challenge.services.accounts import accounts
from challenge.services.teams import teams
from tests.factories import captain_of, make_challenge, make_phase, make_team, make_user, submit
from tests.helpers import refused

pytestmark = pytest.mark.django_db
PASSWORD = "an old oak of Larche"


@pytest.fixture
def challenge() -> Challenge:
    return make_challenge()


def join(user: User, challenge: Challenge) -> None:
    teams.register(user=user, challenge=challenge, accept_terms_version="1")


@pytest.mark.parametrize("name", ["Lаrch", "ＬＡＲＣＨ", "Larch\ufe0f"])
def test_a_name_that_looks_like_another_teams_is_refused(challenge: Challenge, name: str) -> None:
    make_team(challenge, "Larch")
    team = make_team(challenge, "Beta")
    with refused("team-name-alike") if name == "Lаrch" else pytest.raises(Conflict):
        teams.rename(team=team, actor=captain_of(team), name=name)
    elsewhere = make_team(make_challenge("other"), "Beta")
    teams.rename(team=elsewhere, actor=captain_of(elsewhere), name="Lаrch")


@pytest.mark.parametrize("name", ["Admin", "The οrganisers", "Former team 7", "ancienne équipe"])
def test_a_name_that_claims_a_role_is_refused(challenge: Challenge, name: str) -> None:
    team = make_team(challenge, "Beta")
    with refused("name-reserved"):
        teams.rename(team=team, actor=captain_of(team), name=name)


def test_a_solo_team_of_an_old_reserved_account_gets_another_name(challenge: Challenge) -> None:
    user = make_user("admin")
    join(user, challenge)
    assert Team.objects.get(memberships__user=user).name == "Participant 2"


def test_a_deleted_captains_name_can_be_taken_again(challenge: Challenge) -> None:
    phase = make_phase(challenge)
    team = make_team(challenge, "Larch")
    submit(team, phase)
    accounts.delete(user=captain_of(team))
    team.refresh_from_db()
    assert team.name_key == names.look_alike_key(team.name)
    make_team(challenge, "Larch")


def test_the_database_refuses_look_alikes_too(challenge: Challenge) -> None:
    make_team(challenge, "Larch")
    with pytest.raises(IntegrityError), transaction.atomic():
        make_team(challenge, "Lаrch")
    make_user("bob")
    with pytest.raises(IntegrityError), transaction.atomic():
        make_user("bоb")


def test_names_that_looked_alike_before_survive_the_migration(challenge: Challenge) -> None:
    spellings = ["Larch", "Lаrch", "Lаrсh", "Birch"]
    Team.objects.bulk_create(Team(challenge=challenge, name=f"x{i}") for i in range(4))
    for team, name in zip(Team.objects.order_by("pk"), spellings, strict=True):
        Team.objects.filter(pk=team.pk).update(name=name, name_key="")
    for username in ("bob", "bоb"):
        User.objects.filter(pk=make_user(f"u-{username}").pk).update(username=username, name_key="")

    importlib.import_module("challenge.migrations.0010_look_alike_keys").fill(apps, None)

    first, second, third, other = Team.objects.order_by("pk")
    assert first.name_key == names.look_alike_key("Larch")
    assert second.name_key == f"{first.name_key}\n{second.pk}"
    assert len({first.name_key, second.name_key, third.name_key, other.name_key}) == 4
    second.affiliation = "IGN"
    second.save()  # an old name stays
    with refused("team-name-alike"):
        teams.rename(team=third, actor=third_captain(third), name="LARСH")
    teams.rename(team=third, actor=captain_of(third), name="Oak")
    assert third.name_key == names.look_alike_key("Oak")


def third_captain(team: Team) -> User:
    user = make_user()
    team.memberships.create(user=user, challenge=team.challenge, role="captain")
    return user


SIGN_UP = {"email": "new@example.org", "password1": PASSWORD, "password2": PASSWORD}


@pytest.mark.parametrize(
    ("username", "said"),
    [
        ("bоb", "looks like, the name of another person"),
        ("ＢＯＢ", "looks like, the name of another person"),
        ("admin", "sounds like those who run this site"),
        ("mоderator", "sounds like those who run this site"),
        ("organisateur", "sounds like those who run this site"),
    ],
)
def test_usernames_follow_the_same_rules(client: Client, username: str, said: str) -> None:
    make_user("bob")
    answer: Any = client.post(reverse("account_signup"), SIGN_UP | {"username": username})
    assert said in answer.content.decode()
    user = make_user("carol")
    client.force_login(user)
    profile = {"username": username, "language": "en", "theme": "auto", "timezone": ""}
    answer = client.post(reverse("web:profile"), profile)
    assert (answer.status_code, said in answer.content.decode()) == (422, True)


def test_a_username_is_kept_in_compatibility_form(client: Client) -> None:
    client.post(reverse("account_signup"), SIGN_UP | {"username": "Ｃａｒｏｌ"})
    assert User.objects.get().username == "Carol"


def test_who_has_an_old_name_can_still_save_the_profile(client: Client) -> None:
    client.force_login(make_user("admin"))
    profile = {"username": "admin", "language": "fr", "theme": "auto", "timezone": ""}
    assert client.post(reverse("web:profile"), profile).status_code == 302
