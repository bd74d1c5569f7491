"""`manage.py enrol`: accounts for programs, with a team and a token each."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from challenge.models import Challenge, Team, User
from challenge.services.accounts import tokens
from tests.factories import make_challenge, make_phase, make_user

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("running_servers")]


@pytest.fixture
def challenge() -> Challenge:
    found = make_challenge("abc")
    now = timezone.now()
    make_phase(found, opens_at=now - timedelta(days=1), closes_at=now + timedelta(days=1))
    return found


def enrol(*words: str) -> dict[str, str]:
    said = StringIO()
    call_command("enrol", *words, stdout=said)
    made: dict[str, str] = json.loads(said.getvalue())
    return made


def test_each_name_has_a_team_and_a_token_that_reads_and_submits(challenge: Challenge) -> None:
    made = enrol("abc", "our-cluster", "u-net")
    assert set(made) == {"our-cluster", "u-net"}
    token = tokens.authenticate(made["our-cluster"])
    assert token is not None
    assert token.scopes == ["read", "submit"]
    assert not token.user.has_usable_password()
    team = Team.objects.get(challenge=challenge, memberships__user=token.user)
    assert team.name == "our-cluster"
    answer = Client().get(
        "/api/v1/submissions", headers={"Authorization": f"Bearer {made['u-net']}"}
    )
    assert answer.status_code == 200


def test_a_second_time_makes_only_a_new_token(challenge: Challenge) -> None:
    first, second = enrol("abc", "our-cluster"), enrol("abc", "our-cluster")
    assert first != second
    assert tokens.authenticate(first["our-cluster"]), "the first one stays valid"
    assert User.objects.count() == 1
    assert Team.objects.filter(challenge=challenge).count() == 1


def test_a_persons_name_and_an_unknown_challenge_are_refused(challenge: Challenge) -> None:
    make_user("Ada")
    with pytest.raises(CommandError, match="'ada' is a person's"):
        enrol("abc", "cluster", "ada")
    assert not User.objects.filter(username="cluster").exists(), "all or none"
    with pytest.raises(CommandError, match="there are: abc"):
        enrol("nothing", "cluster")
