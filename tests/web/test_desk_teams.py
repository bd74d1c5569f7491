"""The desk's pages of teams: looked at by all roles, changed by owners and judges."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from challenge.models import Challenge, Entry, Grant, Membership, Phase, Submission, Team, User
from challenge.rules.roles import Role
from tests import factories
from tests.web.conftest import Visit

pytestmark = pytest.mark.django_db


def url(team: Team, act: str = "") -> str:
    if act:
        return reverse("web:desk-team-act", args=[team.challenge.slug, team.pk, act])
    return reverse("web:desk-team", args=[team.challenge.slug, team.pk])


@pytest.mark.parametrize("language", ["en", "fr"])
def test_a_judge_disqualifies_and_reinstates_a_team(
    phase: Phase, team: Team, visit: Visit, language: str
) -> None:
    judge = factories.make_organiser(phase.challenge, role=Role.JUDGE)
    factories.give_score(factories.submit(team, phase), 0.5)
    client = visit(judge, language=language)
    page = client.post(url(team, "disqualify"), {"reason": ""}, follow=True).content.decode()
    assert ("Say why" if language == "en" else "Dites pourquoi") in page
    page = client.post(url(team, "disqualify"), {"reason": "Copied"}, follow=True).content.decode()
    assert team.disqualifications.get().reason == "Copied"
    assert url(team, "reinstate") in page
    captain = visit(factories.captain_of(team), language=language)
    own = captain.get(reverse("web:team-manage", args=[phase.challenge.slug])).content.decode()
    assert "Copied" in own
    page = client.post(url(team, "reinstate"), {"reason": "Not so"}, follow=True).content.decode()
    assert "Not so" in page
    assert team.disqualifications.get().lifted_at is not None


def test_a_judge_disqualifies_and_reinstates_one_submission(
    phase: Phase, team: Team, visit: Visit
) -> None:
    client = visit(factories.make_organiser(phase.challenge, role=Role.JUDGE))
    submission = factories.submit(team, phase)
    named = {"submission": f"{phase.slug}.1"}
    client.post(url(team, "disqualify-submission"), named | {"reason": "Wrong data"})
    submission.refresh_from_db()
    assert submission.disqualified_reason == "Wrong data"
    assert "Wrong data" in client.get(url(team)).content.decode()
    client.post(url(team, "reinstate-submission"), named)
    submission.refresh_from_db()
    assert submission.disqualified_at is None
    other = factories.make_team(phase.challenge, "Beta")
    for body in ({"submission": "nonsense"}, {"submission": f"{phase.slug}.99"}, {}):
        client.post(url(team, "disqualify-submission"), body | {"reason": "r"})
    client.post(url(other, "disqualify-submission"), named | {"reason": "r"})
    submission.refresh_from_db()
    assert submission.disqualified_at is None


ACTS = (
    "disqualify",
    "reinstate",
    "disqualify-submission",
    "reinstate-submission",
    "grant",
    "withdraw-grant",
)


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("role", [Role.EDITOR, Role.OBSERVER])
def test_others_of_the_desk_read_alone(
    phase: Phase, team: Team, visit: Visit, role: Role, act: str
) -> None:
    client = visit(factories.make_organiser(phase.challenge, role=role))
    factories.submit(team, phase)
    page = client.get(url(team)).content.decode()
    assert team.name in page
    assert url(team, "disqualify") not in page
    grant = Grant.objects.create(
        team=team, phase=phase, extra_places=1, until=timezone.now() + timedelta(days=1),
        reason="r", granted_at=timezone.now(),
    )  # fmt: skip
    body = {"reason": "r", "submission": f"{phase.slug}.1", "grant": grant.pk,
            "phase": phase.slug, "extra_places": 1, "until": "2199-01-01T00:00"}  # fmt: skip
    assert client.post(url(team, act), body).status_code == 403
    assert not team.disqualifications.exists()
    assert Grant.objects.filter(withdrawn_at=None).count() == 1
    assert not Submission.objects.exclude(disqualified_at=None).exists()


def test_a_team_of_another_challenge_is_not_found(phase: Phase, team: Team, visit: Visit) -> None:
    other = factories.make_challenge("other")
    client = visit(factories.make_organiser(other))
    assert client.get(reverse("web:desk-team", args=[other.slug, team.pk])).status_code == 404
    address = reverse("web:desk-team-act", args=[other.slug, team.pk, "disqualify"])
    assert client.post(address, {"reason": "r"}).status_code == 404
    assert not team.disqualifications.exists()


def test_the_list_is_searched_filtered_and_paged(phase: Phase, visit: Visit) -> None:
    challenge = phase.challenge
    client = visit(factories.make_organiser(challenge))
    teams = Team.objects.bulk_create(
        Team(challenge=challenge, name=f"Team number {n:03}", name_key=f"k{n}") for n in range(120)
    )
    person = User.objects.create_user("zoltan", "z@example.org")
    Membership.objects.create(team=teams[70], user=person, challenge=challenge)
    address = reverse("web:desk-teams", args=[challenge.slug])
    first = client.get(address).content.decode()
    assert "Team number 049" in first
    assert "Team number 050" not in first
    assert "Team number 119" in client.get(address, {"page": "3"}).content.decode()
    for number in ("0", "999", "x"):
        assert client.get(address, {"page": number}).status_code == 200
    found = client.get(address, {"q": "ZOLT"}).content.decode()
    assert "Team number 070" in found
    assert "Team number 071" not in found
    none = client.get(address, {"only": "disqualified"}).content.decode()
    assert "Team number" not in none


def test_pages_of_a_large_challenge_take_few_queries(phase: Phase, visit: Visit) -> None:
    challenge = phase.challenge
    client = visit(factories.make_organiser(challenge))
    teams = Team.objects.bulk_create(
        Team(challenge=challenge, name=f"Team number {n:03}", name_key=f"k{n}") for n in range(200)
    )
    entries = Entry.objects.bulk_create(Entry(team=team, phase=phase) for team in teams)
    Submission.objects.bulk_create(
        Submission(entry=entry, number=number, created_at=factories.NOON, archive="a",
                   archive_sha256="0" * 64, archive_bytes=1, method_name="m")
        for entry in entries[:3] for number in range(1, 301)
    )  # fmt: skip
    for address in (reverse("web:desk-teams", args=[challenge.slug]), url(teams[0])):
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert client.get(address).status_code == 200
        assert len(queries) <= 20, address
    assert "100 older submissions" in client.get(url(teams[0])).content.decode()


def test_a_grant_ends_on_the_clocks_of_the_challenge(
    phase: Phase, team: Team, visit: Visit
) -> None:
    Challenge.objects.update(time_zone="Europe/Paris")
    Phase.objects.update(closes_at=timezone.now() + timedelta(days=9))
    client = visit(factories.make_organiser(phase.challenge, role=Role.JUDGE))
    page = client.get(url(team)).content.decode()
    assert "On the clocks of Europe/Paris." in page
    assert "UTC)</option>" in page, "each phase is told with its close on both clocks"
    body = {"phase": phase.slug, "extra_places": "3", "reason": "Fire"}
    client.post(url(team, "grant"), body | {"until": "2199-07-01T12:30"})
    assert Grant.objects.get().until.isoformat() == "2199-07-01T10:30:00+00:00"
    skipped = body | {"until": "2030-03-31T02:30"}
    page = client.post(url(team, "grant"), skipped).content.decode()
    assert "this hour does not exist" in page
    assert "2030-03-31 01:30 CET (00:30 UTC)" in page
    choice = {"until_choice": "2030-03-31T00:30:00+00:00"}
    assert client.post(url(team, "grant"), skipped | choice).status_code == 302
    assert Grant.objects.order_by("pk")[1].until.isoformat() == choice["until_choice"]


@pytest.mark.parametrize("zone", ["", "Asia/Tokyo"])
def test_a_judge_grants_and_withdraws_whatever_the_own_time_zone(
    phase: Phase, team: Team, visit: Visit, zone: str
) -> None:
    judge = factories.make_organiser(phase.challenge, role=Role.JUDGE)
    User.objects.filter(pk=judge.pk).update(timezone=zone)
    client = visit(judge)
    body = {"phase": phase.slug, "extra_places": "3", "until": "2199-03-01T12:30", "reason": "Fire"}
    client.post(url(team, "grant"), body)
    grant = Grant.objects.get()
    assert (grant.extra_places, grant.late) == (3, False)
    assert grant.until.isoformat() == "2199-03-01T12:30:00+00:00"
    assert "Fire" in client.get(url(team)).content.decode()
    client.post(url(team, "withdraw-grant"), {"grant": grant.pk})
    grant.refresh_from_db()
    assert grant.withdrawn_at is not None
    for wrong, told in (
        ({"until": "soon"}, "Until"),
        ({"extra_places": "0"}, "between 1 and 1000"),
        ({"phase": "none"}, "Phase"),
        ({"late": "on"}, "must have one"),
    ):
        answer = client.post(url(team, "grant"), body | wrong)
        page = answer.content.decode()
        assert answer.status_code == 422
        assert told in page
        assert "Fire" in page.split('id="grant-reason"')[1], "what was typed is kept"
        assert '<details class="stack-s" open>' in page
    assert Grant.objects.count() == 1
