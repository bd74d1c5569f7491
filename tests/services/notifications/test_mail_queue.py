"""No request waits for the mail server or fails with it: every mail is a row until it has left."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.core.mail import mail_admins
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from challenge.models import OutgoingMail, User
from challenge.services.notifications import mail_queue, mails
from challenge.services.teams import merges
from tests import factories
from tests.helpers import confirm_password
from tests.live_site import free_port
from tests.smtp_server import SmtpServer

pytestmark = pytest.mark.django_db

PASSWORD = "an old oak of Larche"
NEWCOMER = "newcomer@example.org"


def person() -> User:
    user = factories.make_user()
    user.set_password(PASSWORD)
    user.save()
    EmailAddress.objects.create(user=user, email=user.email, verified=True, primary=True)
    return user


def sign_up(client: Client, email: str = NEWCOMER) -> Any:
    fields = {"email": email, "username": "newcomer", "password1": PASSWORD, "password2": PASSWORD}
    return client.post(reverse("account_signup"), fields)


def sign_up_again(client: Client) -> Any:
    return sign_up(client, person().email)


def reset(client: Client) -> Any:
    return client.post(reverse("account_reset_password"), {"email": person().email})


def reset_of_nobody(client: Client) -> Any:
    return client.post(reverse("account_reset_password"), {"email": "nobody@example.org"})


def confirm_again(client: Client) -> Any:
    user = person()
    EmailAddress.objects.update(verified=False)
    return client.post(reverse("account_login"), {"login": user.email, "password": PASSWORD})


def signed_in(client: Client) -> Client:
    client.post(reverse("account_login"), {"login": person().email, "password": PASSWORD})
    return client


def add_address(client: Client) -> Any:
    fields = {"action_add": "", "email": "second@example.org"}
    confirm_password(signed_in(client), PASSWORD)
    return client.post(reverse("account_email"), fields)


def invite(client: Client) -> Any:
    team = factories.make_team(factories.make_phase().challenge)
    client.force_login(factories.captain_of(team))
    act = reverse("web:team-act", args=[team.challenge.slug, "invite"])
    return client.post(act, {"email": "bo@example.org"})


ACTS = [sign_up, sign_up_again, reset, reset_of_nobody, confirm_again, add_address, invite]


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize(
    "refusals",
    [
        {"CONNECT": "554 no service"},
        {"RCPT": "550 no such user"},
        {"RCPT": "451 try later"},
        {"DATA": "554 not this"},
        {"END": "421 closing"},
        {"MAIL": "530 authentication required"},
    ],
    ids=str,
)
def test_a_mail_server_that_refuses_changes_no_answer_and_loses_no_mail(
    server: SmtpServer, client: Client, act: Callable[[Client], Any], refusals: dict[str, str]
) -> None:
    server.refusals = refusals
    assert act(client).status_code == 302
    assert server.connections == 0

    assert mails.send_due() == 0
    assert server.connections > 0
    assert mails.send_due(now=timezone.now() + timedelta(minutes=2)) == 0

    server.refusals = {}
    # Who adds an address is told so at the former one as well.
    expected = 2 if act is add_address else 1
    assert mails.send_due(now=timezone.now() + timedelta(hours=1)) == expected
    assert len(server.mails) == expected
    assert not mails.is_due()
    assert not OutgoingMail.objects.exists()


@pytest.mark.parametrize("act", ACTS)
def test_a_mail_server_that_is_down_changes_no_answer_and_loses_no_mail(
    server: SmtpServer, client: Client, settings: Any, act: Callable[[Client], Any]
) -> None:
    settings.EMAIL_PORT = free_port()
    assert act(client).status_code == 302
    assert mails.send_due() == 0

    settings.EMAIL_PORT = server.port
    expected = 2 if act is add_address else 1
    assert mails.send_due(now=timezone.now() + timedelta(minutes=2)) == expected
    assert len(server.mails) == expected


def test_who_signed_up_while_the_server_was_down_confirms_later(
    server: SmtpServer, client: Client, settings: Any
) -> None:
    settings.EMAIL_PORT = free_port()
    sign_up(client)
    sign_up(Client())  # the retry is answered as the first time
    settings.EMAIL_PORT = server.port
    mails.send_due()
    text = server.mails[0].get_content()
    link = re.search(r"http\S+(/accounts/confirm-email/\S+)", text)
    assert link is not None, text
    client.post(link[1])
    assert EmailAddress.objects.get(email=NEWCOMER).verified


def test_the_text_is_not_readable_in_the_database(server: SmtpServer, client: Client) -> None:
    reset(client)
    with connection.cursor() as cursor:
        cursor.execute("SELECT o::text, sealed_message FROM challenge_outgoingmail o")
        [(row, sealed)] = cursor.fetchall()
    assert "/password/reset/" not in row
    assert b"/password/reset/" not in bytes(sealed)
    mails.send_due()
    assert "/password/reset/" in server.mails[0].get_content()


def test_a_mail_is_sealed_with_a_key_that_may_be_rotated(
    server: SmtpServer, client: Client, settings: Any
) -> None:
    reset(client)
    reset_of_nobody(client)
    former, settings.SECRET_KEY = settings.SECRET_KEY, "x" * 60
    settings.SECRET_KEY_FALLBACKS = [former]
    first = OutgoingMail.objects.first()
    assert first is not None
    assert mail_queue._send(first.pk, now=timezone.now())
    settings.SECRET_KEY_FALLBACKS = []
    assert mails.send_due() == 0
    assert not OutgoingMail.objects.exists()


def test_the_mail_is_written_with_what_it_is_about(server: SmtpServer) -> None:
    with pytest.raises(RuntimeError), transaction.atomic():  # noqa: PT012
        mail_queue.queue(recipient=NEWCOMER, subject="x", message="y")
        raise RuntimeError
    assert not OutgoingMail.objects.exists()


def test_a_refused_mail_delays_no_other_and_is_given_up(server: SmtpServer, client: Client) -> None:
    mail_queue.queue(recipient="bo@exämple..org", subject="x", message="no mail server is asked")
    mail_queue.queue(recipient="a" * 70 + "@example.org", subject="x", message="y")
    reset(client)
    server.refusals = {}
    assert mails.send_due() >= 1
    left = OutgoingMail.objects.count()
    assert mails.send_due(now=timezone.now() + timedelta(days=2)) == 0
    assert OutgoingMail.objects.count() == 0 <= left
    assert not mails.is_due()


def test_a_mail_at_which_the_server_hangs_up_does_not_block_the_others(
    server: SmtpServer, client: Client
) -> None:
    mail_queue.queue(recipient="first@example.org", subject="x", message="y")
    reset(client)
    server.refusals = {"END": "421 closing"}
    assert mails.send_due() == 0
    server.refusals = {}
    assert mails.send_due() == 1
    assert server.mails[0]["to"] != "first@example.org"


def test_errors_are_told_to_administrators_by_the_queue(server: SmtpServer, settings: Any) -> None:
    settings.ADMINS = [("Organisers", "ops@example.org")]
    settings.DEBUG = False
    mail_admins("It broke", "somewhere", fail_silently=True)
    logging.getLogger("django.request").error("Internal Server Error", extra={"status_code": 500})
    assert server.connections == 0
    assert mails.send_due() >= 1
    assert {mail["to"] for mail in server.mails} == {"ops@example.org"}


def test_a_result_and_an_invitation_wait_for_the_server_too(
    server: SmtpServer, client: Client
) -> None:
    phase = factories.make_phase()
    team = factories.make_team(phase.challenge)
    submission = factories.submit(team, phase, mail_on_result=True)
    factories.give_score(submission, 0.5)
    merges.invite(team=team, actor=factories.captain_of(team), email="bo@example.org")
    for command in ("CONNECT", "MAIL", "RCPT", "DATA", "END"):
        server.refusals = {command: "554 no"}
        assert mails.send_due(now=factories.NOON) == 0
    server.refusals = {}
    assert mails.send_due(now=factories.NOON) == 2
