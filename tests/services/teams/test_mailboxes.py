"""One mailbox, one registration and one quota in a challenge, also over several accounts."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from allauth.account.models import EmailAddress
from allauth.account.signals import email_confirmed
from django.db import connection

from challenge.errors import Refusal
from challenge.models import (
    Challenge,
    FormerMembership,
    Mailbox,
    Phase,
    QuotaLine,
    Registration,
    Team,
    User,
)
from challenge.selectors import people
from challenge.services.accounts import accounts
from challenge.services.submissions import quota, submissions
from challenge.services.teams import mailboxes, merges, teams
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

LATER = NOON + timedelta(hours=2)
CLOSED = NOON + timedelta(days=31)


@pytest.fixture
def challenge() -> Challenge:
    return make_challenge(team_merge_until=NOON + timedelta(days=9999))


@pytest.fixture
def phase(challenge: Challenge) -> Phase:
    return make_phase(challenge, daily_limit=3, total_limit=4, invalid_daily_limit=2)


def newcomer(address: str) -> User:
    """Somebody who has just confirmed an address."""
    user = User.objects.create_user(f"person{User.objects.count()}{address[:3]}", address, "secret")
    EmailAddress.objects.create(user=user, email=address, verified=True, primary=True)
    return user


def join(user: User, challenge: Challenge) -> Team:
    teams.register(user=user, challenge=challenge, accept_terms_version="1")
    team = people.team_of(user, challenge)
    assert team is not None
    return team


def test_a_deleted_account_takes_its_quota_with_it(phase: Phase) -> None:
    """Delete, sign up with the same address, join: two seconds, and before, a fresh quota."""
    team = join(newcomer("ada@example.org"), phase.challenge)
    for _ in range(3):
        give_score(submit(team, phase))
    accounts.delete(user=captain_of(team), now=NOON)

    again = join(newcomer("Ada+2@example.org"), phase.challenge)
    assert quota.view(team=again, phase=phase, now=LATER).used_total == 3
    with refused("quota-day-used"):
        submissions.precheck(user=captain_of(again), phase=phase, now=LATER)  # before the upload
    with refused("quota-day-used"):
        submit(again, phase, at=LATER)
    next_day = NOON + timedelta(days=1)
    give_score(submit(again, phase, at=next_day))
    with refused("quota-total-used"):
        submit(again, phase, at=next_day)

    accounts.delete(user=captain_of(again), now=next_day)
    third = join(newcomer("ADA@example.org"), phase.challenge)
    assert quota.view(team=third, phase=phase, now=next_day).used_total == 4


def test_another_persons_quota_is_whole(phase: Phase) -> None:
    team = join(newcomer("ada@example.org"), phase.challenge)
    submit(team, phase)
    accounts.delete(user=captain_of(team), now=NOON)
    other = join(newcomer("eve@example.org"), phase.challenge)
    assert quota.view(team=other, phase=phase, now=LATER).used_total == 0
    # nor does it count in another challenge
    elsewhere = make_phase(make_challenge("second"))
    there = join(newcomer("ada@example.org"), elsewhere.challenge)
    assert quota.view(team=there, phase=elsewhere, now=LATER).used_total == 0


def test_rejected_and_withdrawn_archives_go_on_counting(phase: Phase) -> None:
    """Deleting withdraws what waits; both count under the limit of invalid archives."""
    team = join(newcomer("ada@example.org"), phase.challenge)
    for _ in range(2):
        submit(team, phase)
    accounts.delete(user=captain_of(team), now=NOON)
    again = join(newcomer("ada@example.org"), phase.challenge)
    with refused("quota-invalid-used"):
        submit(again, phase, at=LATER)


def test_who_left_team_mates_behind_is_charged_until_then(phase: Phase) -> None:
    ada, eve = newcomer("ada@example.org"), newcomer("eve@example.org")
    team = make_team(phase.challenge, "pair", members=[ada, eve])
    for _ in range(2):
        submit(team, phase)
    accounts.delete(user=eve, now=NOON)
    submit(team, phase, at=LATER)

    back = newcomer("eve@example.org")
    alone = join(back, phase.challenge)
    assert quota.view(team=alone, phase=phase, now=LATER).used_total == 2
    assert quota.view(team=team, phase=phase, now=LATER).used_total == 3

    # back in the team each submission counts once
    _invitation, token = merges.invite(team=team, actor=ada, now=LATER)
    merges.accept(token=token, user=back, now=LATER)
    assert quota.view(team=team, phase=phase, now=LATER).used_total == 3


def test_inviting_who_used_the_quota_gains_nothing(phase: Phase) -> None:
    used = join(newcomer("ada@example.org"), phase.challenge)
    for _ in range(3):
        submit(used, phase)
    accounts.delete(user=captain_of(used), now=NOON)
    # withdrawn by the deletion, they are refunded; scored ones are not
    QuotaLine.objects.filter(move="refunded").delete()

    other = join(newcomer("eve@example.org"), phase.challenge)
    for _ in range(2):
        submit(other, phase)
    back = newcomer("ada@example.org")
    join(back, phase.challenge)
    _invitation, token = merges.invite(team=other, actor=captain_of(other), now=LATER)
    with refused("merge-quota"):
        merges.accept(token=token, user=back, now=LATER)
    assert other.memberships.count() == 1


def test_a_merge_counts_what_a_member_used_before(phase: Phase) -> None:
    used = join(newcomer("ada@example.org"), phase.challenge)
    for _ in range(2):
        give_score(submit(used, phase))
    accounts.delete(user=captain_of(used), now=NOON)
    a = join(newcomer("ada@example.org"), phase.challenge)
    b = join(newcomer("eve@example.org"), phase.challenge)
    for team in (a, b, b):
        submit(team, phase, at=LATER)
    request = merges.ask(from_team=a, to_team=b, actor=captain_of(a), now=LATER)
    with refused("merge-quota"):
        merges.answer(request=request, actor=captain_of(b), accepted=True, now=LATER)
    Phase.objects.update(total_limit=5)
    merges.answer(request=request, actor=captain_of(b), accepted=True, now=LATER)
    assert quota.view(team=b, phase=phase, now=LATER).used_total == 5


def test_a_merge_of_the_team_that_was_left_moves_its_lines(phase: Phase) -> None:
    ada = newcomer("ada@example.org")
    left = make_team(phase.challenge, "left", members=[ada, newcomer("eve@example.org")])
    submit(left, phase)
    accounts.delete(user=left.memberships.get(role="member").user, now=NOON)
    other = join(newcomer("bob@example.org"), phase.challenge)
    request = merges.ask(from_team=left, to_team=other, actor=ada, now=LATER)
    merges.answer(request=request, actor=captain_of(other), accepted=True, now=LATER)

    back = join(newcomer("eve@example.org"), phase.challenge)
    assert quota.view(team=back, phase=phase, now=LATER).used_total == 1


@pytest.mark.parametrize("variant", ["ada+2@example.org", "ADA+x@EXAMPLE.ORG", "ada@example.org."])
def test_one_mailbox_registers_once(phase: Phase, variant: str) -> None:
    join(newcomer("ada@example.org"), phase.challenge)
    second = newcomer(variant)
    with pytest.raises(Refusal, match="same mailbox takes part in this challenge") as caught:
        teams.register(user=second, challenge=phase.challenge, accept_terms_version="1")
    assert caught.value.code == "mailbox-registered"
    assert not Registration.objects.filter(user=second).exists()
    assert not Team.objects.filter(memberships__user=second).exists()


@pytest.mark.django_db(transaction=True)
def test_one_mailbox_registers_once_at_the_same_moment() -> None:
    challenge = make_challenge()
    make_phase(challenge)
    variants = [newcomer(f"ada+{number}@example.org") for number in range(4)]

    def register(user: User) -> str:
        try:
            teams.register(user=user, challenge=challenge, accept_terms_version="1")
        except Refusal as refusal:
            return refusal.code
        finally:
            connection.close()
        return "registered"

    with ThreadPoolExecutor(4) as pool:
        answers = sorted(pool.map(register, variants))
    assert answers == ["mailbox-registered"] * 3 + ["registered"]


def test_a_refused_registration_stays_refused(challenge: Challenge, phase: Phase) -> None:
    organiser = make_user()
    make_organiser(challenge, organiser)
    user = newcomer("ada@example.org")
    join(user, challenge)
    registration = Registration.objects.get(user=user)
    teams.decide_registration(registration=registration, actor=organiser, approved=False)
    accounts.delete(user=user, now=NOON)

    again = newcomer("ada+1@example.org")
    team = join(again, challenge)
    registration = Registration.objects.get(user=again)
    assert registration.state == Registration.State.REFUSED
    with refused("registration-refused"):
        submit(team, phase)
    teams.decide_registration(registration=registration, actor=organiser, approved=True)
    assert not Mailbox.objects.get(user=again).is_refused


def test_every_address_an_account_had_counts(phase: Phase) -> None:
    """Change the address, delete, and sign up with the former or the later one."""
    Phase.objects.update(closes_at=None)  # open at the time of the confirmations, which is now
    user = newcomer("ada@example.org")
    team = join(user, phase.challenge)
    give_score(submit(team, phase))
    for address in ("lovelace@example.org", "byron@example.org"):
        EmailAddress.objects.filter(user=user).delete()
        row = EmailAddress.objects.create(user=user, email=address, verified=True, primary=True)
        User.objects.filter(pk=user.pk).update(email=address)
        email_confirmed.send(EmailAddress, request=None, email_address=row)
    accounts.delete(user=User.objects.get(pk=user.pk), now=NOON)
    for address in ("ada", "lovelace", "byron"):
        back = newcomer(f"{address}+9@example.org")
        again = join(back, phase.challenge)
        assert quota.view(team=again, phase=phase, now=LATER).used_total == 1
        accounts.delete(user=back, now=LATER)


def test_a_deleted_account_without_a_use_leaves_no_hash(phase: Phase) -> None:
    user = newcomer("ada@example.org")
    join(user, phase.challenge)
    assert Mailbox.objects.count() == 1
    accounts.delete(user=user, now=NOON)
    assert not Mailbox.objects.exists()


def test_the_hash_is_keyed_and_another_in_each_challenge(phase: Phase) -> None:
    user = newcomer("ada@example.org")
    join(user, phase.challenge)
    other = make_challenge("second")
    join(user, other)
    found = list(Mailbox.objects.values_list("digest", flat=True))
    assert len(set(found)) == 2
    assert not any("ada@" in digest for digest in found)
    listed = accounts.export(user=user)["mailboxes"]
    assert {line["keyed_hash"] for line in listed} == set(found)
    assert "until every phase of the challenge is closed" in listed[0]["kept"]


def test_after_the_close_the_hashes_are_deleted(phase: Phase) -> None:
    team = join(newcomer("ada@example.org"), phase.challenge)
    give_score(submit(team, phase))
    accounts.delete(user=captain_of(team), now=NOON)
    endless = make_phase(phase.challenge, "endless", truth=False, closes_at=None)
    assert mailboxes.sweep(now=CLOSED) == 0
    assert FormerMembership.objects.count() == 1
    endless.delete()
    assert mailboxes.sweep(now=CLOSED) > 0
    assert not Mailbox.objects.exists()
    assert not FormerMembership.objects.exists()
    assert Team.objects.filter(pk=team.pk).exists()


def test_the_sweep_takes_mailboxes_of_earlier_registrations(phase: Phase) -> None:
    user = newcomer("ada@example.org")
    join(user, phase.challenge)
    Mailbox.objects.all().delete()
    mailboxes.sweep(now=NOON)
    assert Mailbox.objects.get().user == user
    with refused("mailbox-registered"):
        join(newcomer("ada+2@example.org"), phase.challenge)
