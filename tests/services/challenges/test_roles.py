"""Roles are invited, accepted, changed and end; the last owner stays; who has one does not rank."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from allauth.mfa.models import Authenticator
from django.core import mail
from django.core.management import CommandError, call_command
from django.utils import timezone
from pytest_django import Settings

from challenge.errors import Conflict, Gone, NotAllowed, NotFound, Refusal
from challenge.models import AuditEvent, Challenge, ChallengeRole, Phase, RankLine, User
from challenge.rules.roles import Act, Role
from challenge.selectors import leaderboard, progress
from challenge.selectors import roles as selector
from challenge.services.accounts import accounts
from challenge.services.challenges import phases, publishing, roles
from challenge.services.leaderboard import ranks
from challenge.services.notifications import mails
from challenge.services.teams import merges
from tests.factories import (
    NOON,
    captain_of,
    change_phase,
    give_score,
    make_challenge,
    make_organiser,
    make_team,
    make_user,
    submit,
)

pytestmark = pytest.mark.django_db


def fresh(user: User) -> User:
    """The person as the next request sees them."""
    return User.objects.get(pk=user.pk)


def invited(challenge: Challenge, owner: User, email: str, role: Role, **more: object) -> str:
    """Invite and return the token out of the mail that was sent."""
    mail.outbox.clear()
    roles.invite(challenge=challenge, actor=owner, email=email, role=role, **more)  # type: ignore[arg-type]
    mails.send_due()
    [sent] = mail.outbox
    assert sent.to == [email]
    found = re.search(r"/invitations/([\w-]+)/", str(sent.body))
    assert found
    return found[1]


def test_an_invited_person_takes_the_role_once_and_the_trail_tells() -> None:
    challenge = make_challenge()
    owner, judge = make_organiser(challenge), make_user()
    until = timezone.now() + timedelta(days=9)
    token = invited(challenge, owner, judge.email, Role.JUDGE, expires_at=until)
    assert selector.role_of(fresh(judge), challenge) is None
    roles.accept(token=token, user=judge)
    assert selector.role_of(fresh(judge), challenge) is Role.JUDGE
    row = ChallengeRole.objects.get(user=judge)
    assert (row.granted_by, row.expires_at) == (owner, until)
    with pytest.raises(Gone):
        roles.accept(token=token, user=judge)
    event = AuditEvent.objects.get(action="role.accept")
    assert event.data["before"] == {"role": None}
    assert event.data["after"] == {"role": "judge", "expires_at": until.isoformat()}
    with pytest.raises(Conflict, match="already"):
        roles.invite(challenge=challenge, actor=owner, email=judge.email, role=Role.EDITOR)


def test_an_invitation_is_for_its_address_and_for_its_kind() -> None:
    challenge = make_challenge()
    owner = make_organiser(challenge)
    token = invited(challenge, owner, "new@example.org", Role.OWNER)
    with pytest.raises(NotAllowed, match="another"):
        roles.accept(token=token, user=make_user())
    with pytest.raises(Gone):
        merges.accept(token=token, user=make_user("new"))
    team = make_team(challenge)
    _invitation, of_team = merges.invite(team=team, actor=captain_of(team))
    with pytest.raises(Gone):
        roles.accept(token=of_team, user=make_user())


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.OWNER])
def test_only_owners_invite_change_and_revoke(role: Role) -> None:
    challenge = make_challenge()
    owner, actor = make_organiser(challenge), make_organiser(challenge, role=role)
    with pytest.raises(NotAllowed):
        roles.invite(challenge=challenge, actor=actor, email="a@example.org", role=Role.OBSERVER)
    with pytest.raises(NotAllowed):
        roles.set_role(challenge=challenge, user=actor, role=Role.OWNER, actor=actor)
    with pytest.raises(NotAllowed):
        roles.revoke(challenge=challenge, user=owner, actor=actor)
    roles.revoke(challenge=challenge, user=actor, actor=actor)
    assert selector.role_of(fresh(actor), challenge) is None


def test_nobody_gets_a_role_without_accepting_it() -> None:
    challenge = make_challenge()
    owner, rival = make_organiser(challenge), make_user()
    with pytest.raises(NotFound):
        roles.set_role(challenge=challenge, user=rival, role=Role.OBSERVER, actor=owner)


def test_the_last_owner_stays() -> None:
    challenge = make_challenge()
    owner = make_organiser(challenge)
    soon = timezone.now() + timedelta(days=1)
    make_organiser(challenge, expires_at=soon)  # will be gone tomorrow
    for attempt in (
        lambda: roles.revoke(challenge=challenge, user=owner, actor=owner),
        lambda: roles.set_role(challenge=challenge, user=owner, role=Role.EDITOR, actor=owner),
        lambda: roles.set_role(
            challenge=challenge, user=owner, role=Role.OWNER, actor=owner, expires_at=soon
        ),
        lambda: accounts.delete(user=owner),
    ):
        with pytest.raises(Conflict, match="owner"):
            attempt()
    make_organiser(challenge)
    roles.revoke(challenge=challenge, user=owner, actor=owner)
    assert selector.role_of(fresh(owner), challenge) is None


def test_who_is_no_owner_any_more_leaves_no_invitation_behind() -> None:
    challenge = make_challenge()
    owner, other = make_organiser(challenge), make_organiser(challenge)
    token = invited(challenge, other, "friend@example.org", Role.OWNER)
    roles.set_role(challenge=challenge, user=other, role=Role.OBSERVER, actor=owner)
    with pytest.raises(Gone):
        roles.accept(token=token, user=make_user("friend"))
    event = AuditEvent.objects.get(action="role.change")
    assert (event.data["before"]["role"], event.data["after"]["role"]) == ("owner", "observer")


def test_a_role_in_the_past_is_refused() -> None:
    challenge = make_challenge()
    owner = make_organiser(challenge)
    with pytest.raises(Refusal, match="last day"):
        roles.invite(
            challenge=challenge,
            actor=owner,
            email="a@example.org",
            role=Role.JUDGE,
            expires_at=timezone.now(),
        )


def test_an_editor_changes_a_phase_and_does_not_publish_it(phase: Phase) -> None:
    editor = make_organiser(phase.challenge, role=Role.EDITOR)
    change_phase(phase, editor, {"daily_limit": 3})
    with pytest.raises(NotAllowed):
        phases.change(phase=phase, actor=editor, changes={"is_published": False})
    with pytest.raises(NotAllowed):
        publishing.set_published(challenge=phase.challenge, actor=editor, published=False)
    owner = make_organiser(phase.challenge)
    publishing.set_published(challenge=phase.challenge, actor=owner, published=False)
    assert not Challenge.objects.get().is_published
    assert AuditEvent.objects.get(action="challenge.hide").data["before"] == {"is_published": True}


# --- Ranks --------------------------------------------------------------------------------------


def board(phase: Phase) -> dict[str, tuple[str, int | None]]:
    found = Phase.objects.select_related("challenge", "task_spec").get(pk=phase.pk)
    rows = leaderboard.of_phase(found, now=NOON).rows
    return {row.name: (row.kind, row.rank) for row in rows}


def test_who_has_or_had_a_role_does_not_rank(phase: Phase) -> None:
    ours = make_team(phase.challenge, "Ours", members=[make_user(), make_user("olga")])
    theirs = make_team(phase.challenge, "Theirs")
    give_score(submit(ours, phase), 0.9)
    give_score(submit(theirs, phase), 0.5)
    assert board(phase) == {"Ours": ("team", 1), "Theirs": ("team", 2)}
    owner, olga = make_organiser(phase.challenge), User.objects.get(username="olga")
    token = invited(phase.challenge, owner, olga.email, Role.OBSERVER)
    roles.accept(token=token, user=olga)
    outside = {"Theirs": ("team", 1), "Ours": ("organiser", None)}
    assert board(phase) == outside
    assert [point.team for point in progress.of_phase(phase, now=NOON)] == ["Theirs"]
    roles.revoke(challenge=phase.challenge, user=olga, actor=owner)
    ranks.recompute(phase=phase, now=NOON)
    assert board(phase) == outside, "what was seen stays known"
    assert RankLine.objects.get(entry__team=ours).rank is None


def test_a_team_that_takes_an_organiser_in_leaves_the_ranks(phase: Phase) -> None:
    team = make_team(phase.challenge, "Ours")
    give_score(submit(team, phase), 0.9)
    organiser = make_organiser(phase.challenge, role=Role.OBSERVER)
    make_team(phase.challenge, members=[organiser])
    _invitation, token = merges.invite(team=team, actor=captain_of(team))
    merges.accept(token=token, user=organiser)
    assert board(phase) == {"Ours": ("organiser", None)}


def test_a_role_in_another_challenge_does_not_matter(phase: Phase) -> None:
    team = make_team(phase.challenge, "Ours")
    make_organiser(make_challenge("other"), captain_of(team))
    give_score(submit(team, phase), 0.9)
    assert board(phase) == {"Ours": ("team", 1)}


# --- Second factor ------------------------------------------------------------------------------


@pytest.mark.parametrize("role", Role)
def test_owners_and_judges_change_things_with_a_second_factor_alone(
    role: Role, settings: Settings
) -> None:
    challenge = make_challenge()
    person = make_organiser(challenge, role=role)
    act = {Role.EDITOR: Act.PAGES, Role.OBSERVER: Act.READ}.get(role, Act.VERDICTS)
    settings.SECOND_FACTOR_REQUIRED = True
    selector.require(fresh(person), Act.READ, challenge)
    if role in {Role.OWNER, Role.JUDGE}:
        with pytest.raises(NotAllowed, match="second factor"):
            selector.require(fresh(person), act, challenge)
        Authenticator.objects.create(user=person, type=Authenticator.Type.TOTP, data={})
    selector.require(fresh(person), act, challenge)


def test_an_operator_needs_one_too_and_a_site_may_do_without(settings: Settings) -> None:
    challenge, boss = make_challenge(), make_user(is_superuser=True)
    settings.SECOND_FACTOR_REQUIRED = True
    with pytest.raises(NotAllowed, match="second factor"):
        selector.require(boss, Act.LABELS, challenge)
    settings.SECOND_FACTOR_REQUIRED = False
    selector.require(boss, Act.LABELS, challenge)


# --- The operator's command ---------------------------------------------------------------------


def test_the_command_names_the_first_owner(capsys: pytest.CaptureFixture[str]) -> None:
    challenge, person = make_challenge(), make_user("olive")
    call_command("grant_role", challenge.slug, "OLIVE@example.org")
    assert "olive is owner of abc" in capsys.readouterr().out
    assert selector.role_of(fresh(person), challenge) is Role.OWNER
    with pytest.raises(CommandError, match="there are: abc"):
        call_command("grant_role", "abd", person.email)
    with pytest.raises(CommandError, match="sign up"):
        call_command("grant_role", challenge.slug, "nobody@example.org")
    with pytest.raises(CommandError, match="owner"):
        call_command("grant_role", challenge.slug, person.email, "--role", "judge")
