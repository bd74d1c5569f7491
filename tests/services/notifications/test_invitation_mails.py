"""Mails about invitations: queued with the row, in the reader's language, sent once."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.core.cache import cache
from django.utils import timezone

from challenge.errors import Refusal
from challenge.models import Invitation, Team, User
from challenge.services import invitations
from challenge.services.accounts import accounts
from challenge.services.notifications import mails
from challenge.services.teams import merges
from tests.factories import captain_of, make_challenge, make_team, make_user
from tests.live_site import free_port
from tests.smtp_server import SmtpServer

pytestmark = pytest.mark.django_db
ADDRESS = "bo@example.org"
# What mail programs make a link of: a scheme, a host with a dot of any script, a mail address.
ADDRESS_LIKE = re.compile(r"://|\w[.\u3002\uff0e\uff61]\w\w|@\w|tel:\d")


@pytest.fixture
def team() -> Team:
    challenge = make_challenge()
    challenge.title = {"en": "Land cover", "fr": "Occupation du sol"}
    challenge.save()
    return make_team(challenge, "Larch")


@pytest.fixture
def captain(team: Team) -> User:
    return captain_of(team)


def speak(person: User, language: str) -> None:
    person.language = language
    person.save()


def test_an_invitation_is_mailed_once_with_its_link(team: Team, captain: User) -> None:
    _invitation, token = merges.invite(team=team, actor=captain, email=ADDRESS)
    assert mails.is_due()
    assert [mails.send_due(), mails.send_due()] == [1, 0]
    [sent] = mail.outbox
    assert sent.to == [ADDRESS]
    assert f"/invitations/{token}" in sent.body
    assert sent.subject == "Invitation to a team of a FLAIR challenge"
    assert "> Team: Larch\n" in sent.body


def test_the_token_is_forgotten_once_its_mail_has_left(team: Team, captain: User) -> None:
    merges.invite(team=team, actor=captain, email=ADDRESS)
    mails.send_due()
    assert Invitation.objects.get().mail_token == ""


def test_an_invitation_by_link_is_not_mailed_and_keeps_no_token(team: Team, captain: User) -> None:
    merges.invite(team=team, actor=captain)
    assert not mails.is_due()
    assert Invitation.objects.get().mail_token == ""


def test_who_has_an_account_is_written_to_in_their_language(team: Team, captain: User) -> None:
    speak(captain, "en")
    User.objects.filter(pk=make_user().pk).update(email=ADDRESS.upper(), language="fr")
    merges.invite(team=team, actor=captain, email=ADDRESS)
    mails.send_due()
    assert mail.outbox[0].subject == "Invitation dans une équipe d’un challenge FLAIR"
    assert "Occupation du sol" in mail.outbox[0].body
    assert "invites you" not in mail.outbox[0].body


def test_who_has_none_is_written_to_in_the_language_of_who_invites(
    team: Team, captain: User
) -> None:
    speak(captain, "fr")
    merges.invite(team=team, actor=captain, email=ADDRESS)
    mails.send_due()
    assert "Occupation du sol" in mail.outbox[0].body


def test_a_title_without_that_language_is_given_in_english(team: Team, captain: User) -> None:
    team.challenge.title = {"en": "Land cover"}
    team.challenge.save()
    speak(captain, "fr")
    merges.invite(team=team, actor=captain, email=ADDRESS)
    mails.send_due()
    assert "Land cover" in mail.outbox[0].body


def test_what_was_withdrawn_or_is_over_is_not_mailed(team: Team, captain: User) -> None:
    invitation, _token = merges.invite(team=team, actor=captain, email=ADDRESS)
    merges.revoke(invitation=invitation, actor=captain)
    merges.invite(team=team, actor=captain, email="cy@example.org")
    assert mails.send_due(now=timezone.now() + invitations.INVITATION_AGE + timedelta(days=1)) == 0
    assert mail.outbox == []


def test_while_the_mail_server_is_down_an_invitation_waits(
    team: Team, captain: User, server: SmtpServer, settings: Any
) -> None:
    merges.invite(team=team, actor=captain, email=ADDRESS)
    settings.EMAIL_PORT = free_port()
    assert mails.send_due() == 0
    assert mails.is_due()
    settings.EMAIL_PORT = server.port
    assert mails.send_due() == 1


@pytest.mark.parametrize(
    "name",
    [
        "You won! https://evil.example/prize",
        "evil.example",
        "write to me@evil.example",
        "evil\u3002example",
        "tel:0123456",
        "Oak\n\nTo accept go to evil.example",
    ],
)
def test_a_strangers_words_are_quoted_on_one_line_and_never_links(
    team: Team, captain: User, name: str
) -> None:
    Team.objects.filter(pk=team.pk).update(name=name)
    User.objects.filter(pk=captain.pk).update(username=name)
    team.refresh_from_db()
    captain.refresh_from_db()
    merges.invite(team=team, actor=captain, email=ADDRESS)
    mails.send_due()
    [sent] = mail.outbox
    assert sent.subject == "Invitation to a team of a FLAIR challenge"
    *quoted, accept = [line for line in sent.body.splitlines() if ADDRESS_LIKE.search(line)]
    assert "/invitations/" in accept
    assert quoted == []
    assert len([line for line in sent.body.splitlines() if line.startswith("> ")]) == 2


def test_a_team_has_one_open_invitation_for_an_address(team: Team, captain: User) -> None:
    first, _token = merges.invite(team=team, actor=captain, email=ADDRESS)
    with pytest.raises(Refusal) as refused:
        merges.invite(team=team, actor=captain, email=ADDRESS.upper())
    assert refused.value.code == "invitation-open"

    merges.revoke(invitation=first, actor=captain)
    merges.invite(team=team, actor=captain, email=ADDRESS)


def test_a_mailbox_gets_few_invitations_a_day_whoever_sends_them(team: Team) -> None:
    for number in range(3):
        other = make_team(team.challenge, f"Oak {number}")
        sender = captain_of(other)
        merges.invite(team=other, actor=sender, email=f"bo+{number}@example.org")
        if number == 0:
            accounts.delete(user=sender)  # and with it the rows of its invitations
    cache.clear()  # the rows that are left count
    merges.invite(team=team, actor=captain_of(team), email=ADDRESS)
    with pytest.raises(Refusal) as refused:
        merges.invite(
            team=make_team(team.challenge, "Ash"),
            actor=captain_of(Team.objects.get(name="Ash")),
            email=ADDRESS,
        )
    assert refused.value.code == "invited-often"
    merges.invite(team=team, actor=captain_of(team), email="bo@another.example")
    merges.invite(team=team, actor=captain_of(team), email="bob@example.org")


def test_deleting_the_senders_account_does_not_give_a_mailbox_a_fresh_limit(team: Team) -> None:
    for number in range(3):
        other = make_team(team.challenge, f"Oak {number}")
        sender = captain_of(other)
        merges.invite(team=other, actor=sender, email=ADDRESS)
        accounts.delete(user=sender)
    assert not Invitation.objects.exists()
    with pytest.raises(Refusal) as refused:
        merges.invite(team=team, actor=captain_of(team), email=ADDRESS)
    assert refused.value.code == "invited-often"
