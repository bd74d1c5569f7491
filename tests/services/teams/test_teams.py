"""Taking part, founding, joining, leaving and merging teams."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.conf import settings
from django.db import IntegrityError, transaction

from challenge.models import AuditEvent, Challenge, Membership, RankLine, Team, User
from challenge.selectors import people
from challenge.services.submissions import quota
from challenge.services.teams import merges, teams
from tests.factories import (
    NOON,
    captain_of,
    give_score,
    make_challenge,
    make_organiser,
    make_phase,
    make_team,
    make_user,
    submit,
)
from tests.helpers import refused

pytestmark = pytest.mark.django_db


@pytest.fixture
def challenge() -> Challenge:
    return make_challenge(team_size_limit=3, team_merge_until=NOON + timedelta(days=9999))


def join(user: User, challenge: Challenge) -> Team:
    teams.register(user=user, challenge=challenge, accept_terms_version="1")
    team = people.team_of(user, challenge)
    assert team is not None
    return team


def test_registering_gives_a_team_of_ones_own_name(challenge: Challenge) -> None:
    assert join(make_user("ada"), challenge).name == "ada"
    assert captain_of(Team.objects.get()).username == "ada"


def test_a_taken_name_gets_a_number(challenge: Challenge) -> None:
    make_team(challenge, "ADA")
    assert join(make_user("ada"), challenge).name == "ada 2"


def test_registering_twice_changes_nothing(challenge: Challenge) -> None:
    user = make_user()
    assert join(user, challenge) == join(user, challenge)
    assert Team.objects.count() == 1


def test_other_rules_than_those_in_force_are_not_accepted(challenge: Challenge) -> None:
    with refused("terms-outdated"):
        teams.register(user=make_user(), challenge=challenge, accept_terms_version="0")


def test_an_unpublished_challenge_is_not_there() -> None:
    hidden = make_challenge("hidden", is_published=False)
    with refused("not-found"):
        join(make_user(), hidden)


def test_where_approval_is_needed_the_organiser_gives_it() -> None:
    challenge = make_challenge(approval_required=True)
    user, organiser = make_user(), make_user()
    make_organiser(challenge, organiser)
    registration = teams.register(user=user, challenge=challenge, accept_terms_version="1")
    assert registration.state == "pending"
    with refused("not-organiser"):
        teams.decide_registration(registration=registration, actor=user, approved=True)
    teams.decide_registration(registration=registration, actor=organiser, approved=True)
    assert people.is_registered(user, challenge)
    assert AuditEvent.objects.get().action == "registration.approve"


def test_founding_a_team_leaves_the_team_of_one(challenge: Challenge) -> None:
    user = make_user("ada")
    join(user, challenge)
    team = teams.create(user=user, challenge=challenge, name="  Les   Géographes ")
    assert team.name == "Les Géographes"
    assert list(Team.objects.all()) == [team]
    assert captain_of(team) == user


@pytest.mark.parametrize("name", ["", "x", "---", "a" * 61, "evil\u202ename", "nul\x00l"])
def test_names_are_visible_and_of_a_sensible_length(challenge: Challenge, name: str) -> None:
    user = make_user()
    join(user, challenge)
    with refused("team-name-invalid"):
        teams.create(user=user, challenge=challenge, name=name)


def test_names_are_unique_whatever_their_case(challenge: Challenge) -> None:
    make_team(challenge, "Alpha")
    team = make_team(challenge, "Beta")
    with refused("team-name-taken"):
        teams.rename(team=team, actor=captain_of(team), name="ALPHA")


def test_only_the_captain_renames_invites_and_hands_over(challenge: Challenge) -> None:
    captain, mate = make_user(), make_user()
    team = make_team(challenge, members=[captain, mate])
    for act in (
        lambda: teams.rename(team=team, actor=mate, name="New name"),
        lambda: merges.invite(team=team, actor=mate),
        lambda: teams.transfer_captain(team=team, actor=mate, to=mate),
        lambda: teams.remove_member(team=team, actor=mate, user=captain),
    ):
        with refused("not-captain"):
            act()
    teams.transfer_captain(team=team, actor=captain, to=mate)
    assert captain_of(team) == mate
    with refused("not-a-member"):
        teams.transfer_captain(team=team, actor=mate, to=make_user())


def test_joining_by_link_once(challenge: Challenge) -> None:
    team = make_team(challenge)
    user = make_user()
    join(user, challenge)
    _, token = merges.invite(team=team, actor=captain_of(team))
    assert merges.accept(token=token, user=user) == team
    assert people.team_of(user, challenge) == team
    late = make_user()
    join(late, challenge)
    with refused("invitation-over"):
        merges.accept(token=token, user=late)


def test_an_invitation_is_for_its_address_and_for_a_fortnight(challenge: Challenge) -> None:
    team = make_team(challenge)
    user = make_user("ada")
    join(user, challenge)
    captain = captain_of(team)
    invitation, token = merges.invite(team=team, actor=captain, email="eve@example.org")
    with refused("invitation-for-another"):
        merges.accept(token=token, user=user)
    with refused("invitation-over"):
        merges.find_invitation(token=token, now=invitation.expires_at)
    _, mine = merges.invite(team=team, actor=captain, email="ADA@example.org")
    assert merges.accept(token=mine, user=user) == team
    with refused("email-invalid"):
        merges.invite(team=team, actor=captain, email="no address")


def test_a_withdrawn_invitation_is_over(challenge: Challenge) -> None:
    team = make_team(challenge)
    invitation, token = merges.invite(team=team, actor=captain_of(team))
    merges.revoke(invitation=invitation, actor=captain_of(team))
    with refused("invitation-over"):
        merges.find_invitation(token=token)


def test_a_full_team_takes_nobody(challenge: Challenge) -> None:
    team = make_team(challenge, members=[make_user(), make_user()])
    tokens = [merges.invite(team=team, actor=captain_of(team))[1] for _ in range(2)]
    users = [make_user(), make_user()]
    for user in users:
        join(user, challenge)
    merges.accept(token=tokens[0], user=users[0])
    with refused("team-full"):
        merges.accept(token=tokens[1], user=users[1])


def test_leaving_gives_a_team_of_one_again(challenge: Challenge) -> None:
    captain, mate = make_user(), make_user("mate")
    team = make_team(challenge, members=[captain, mate])
    with refused("captain-must-stay"):
        teams.leave(team=team, actor=captain)
    teams.leave(team=team, actor=mate)
    found = people.team_of(mate, challenge)
    assert found is not None
    assert found.name == "mate"


def test_a_team_with_submissions_cannot_be_left(challenge: Challenge) -> None:
    phase = make_phase(challenge)
    captain, mate = make_user(), make_user()
    team = make_team(challenge, members=[captain, mate])
    submit(team, phase)
    with refused("team-has-submitted"):
        teams.leave(team=team, actor=mate)
    other = make_team(challenge)
    _, token = merges.invite(team=other, actor=captain_of(other))
    with refused("already-in-team"):
        merges.accept(token=token, user=mate)


def test_after_the_date_teams_stand_as_they_are(challenge: Challenge) -> None:
    a, b = make_team(challenge), make_team(challenge)
    challenge.team_merge_until = NOON
    challenge.save()
    a.refresh_from_db()
    with refused("teams-frozen"):
        merges.invite(team=a, actor=captain_of(a), now=NOON)
    with refused("teams-frozen"):
        merges.ask(from_team=a, to_team=b, actor=captain_of(a), now=NOON)


def test_members_leave_until_the_date_given(challenge: Challenge) -> None:
    mate = make_user()
    team = make_team(challenge, members=[make_user(), mate])
    challenge.team_merge_until = NOON  # in the past of the real clock
    challenge.save()
    with refused("teams-frozen"):
        teams.leave(team=team, actor=mate, now=NOON)
    teams.leave(team=team, actor=mate, now=NOON - timedelta(seconds=1))
    assert not team.memberships.filter(user=mate).exists()


def test_merging_brings_people_submissions_and_quota_together(challenge: Challenge) -> None:
    phase = make_phase(challenge, daily_limit=5, total_limit=5)
    a, b = make_team(challenge, "a"), make_team(challenge, "b")
    first = submit(a, phase)
    for team, miou in ((a, 0.7), (b, 0.6)):
        give_score(submit(team, phase), miou)
    request = merges.ask(from_team=a, to_team=b, actor=captain_of(a))
    with refused("merge-asked"):
        merges.ask(from_team=a, to_team=b, actor=captain_of(a))
    with refused("not-captain"):
        merges.answer(request=request, actor=captain_of(a), accepted=True)
    merges.answer(request=request, actor=captain_of(b), accepted=True, now=NOON)
    with refused("merge-answered"):
        merges.answer(request=request, actor=captain_of(b), accepted=True)
    a.refresh_from_db()
    assert a.merged_into == b
    assert b.memberships.count() == 2
    assert quota.view(team=b, phase=phase, now=NOON).used_total == 3
    first.refresh_from_db()
    assert first.entry.team == b
    numbers = first.entry.submissions.order_by("number").values_list("number", flat=True)
    assert list(numbers) == [1, 2, 3]
    assert [(r.rank, r.entry.team.name, r.miou) for r in RankLine.objects.all()] == [(1, "b", 0.7)]


def test_no_merge_gains_submissions(challenge: Challenge) -> None:
    phase = make_phase(challenge, total_limit=2)
    a, b = make_team(challenge), make_team(challenge)
    for team in (a, b):
        for _ in range(1 if team == a else 2):
            submit(team, phase)
    request = merges.ask(from_team=a, to_team=b, actor=captain_of(a))
    with refused("merge-quota"):
        merges.answer(request=request, actor=captain_of(b), accepted=True, now=NOON)
    request.refresh_from_db()
    assert request.answered_at is None
    assert a.memberships.count() == 1


def test_the_database_knows_one_team_per_person_and_one_captain(challenge: Challenge) -> None:
    team, other = make_team(challenge), make_team(challenge)
    with pytest.raises(IntegrityError), transaction.atomic():
        Membership.objects.create(team=other, user=captain_of(team), challenge=challenge)
    with pytest.raises(IntegrityError), transaction.atomic():
        Membership.objects.create(team=team, user=make_user(), challenge=challenge, role="captain")


def test_invitations_are_rate_limited(challenge: Challenge) -> None:
    team = make_team(challenge)
    captain = captain_of(team)
    for number in range(settings.INVITATIONS_PER_HOUR):
        merges.invite(team=team, actor=captain, email=f"stranger{number}@example.org")
    with refused("too-many-requests"):
        merges.invite(team=team, actor=captain, email="one.more@example.org")
    assert team.invitations.count() == settings.INVITATIONS_PER_HOUR
