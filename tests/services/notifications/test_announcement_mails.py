"""Announcements reach the people whom they are for, once, each in the person's language."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from challenge.models import Announcement, AuditEvent, Challenge, OutgoingMail, Registration, User
from challenge.services.notifications import announcement_mails, mails
from tests import factories
from tests.smtp_server import SmtpServer

pytestmark = pytest.mark.django_db


def register(challenge: Challenge, *, asked: bool, state: str = "approved", **of_user: Any) -> User:
    user = factories.make_user(mail_on_announcement=asked, **of_user)
    Registration.objects.create(
        challenge=challenge, user=user, state=state, terms_version="1", accepted_at=timezone.now()
    )
    return user


def announce(challenge: Challenge, mail_to: str, **more: Any) -> Announcement:
    return Announcement.objects.create(
        challenge=challenge,
        title={"en": "New closing date", "fr": "Nouvelle date de clôture"},
        body={"en": "It closes a week later.", "fr": "La clôture est repoussée d’une semaine."},
        mail_to=mail_to,
        **({"published_at": timezone.now()} | more),
    )


@pytest.mark.parametrize("mail_to", Announcement.MailTo.values)
def test_announcements_are_mailed_to_whom_they_are_for(server: SmtpServer, mail_to: str) -> None:
    challenge = factories.make_challenge()
    asked = register(challenge, asked=True, language="fr")
    silent = register(challenge, asked=False)
    register(challenge, asked=True, state="pending")
    register(challenge, asked=True, state="refused")
    register(challenge, asked=True, is_active=False)
    register(factories.make_challenge("other"), asked=True)
    announcement = announce(challenge, mail_to)

    expected = {"nobody": [], "subscribers": [asked], "participants": [asked, silent]}[mail_to]
    assert mails.is_due() is bool(expected)
    assert mails.send_due() == len(expected)
    assert mails.send_due() == 0
    assert not mails.is_due()
    assert sorted(mail["To"] for mail in server.mails) == sorted(user.email for user in expected)
    events = AuditEvent.objects.filter(action="announcement.mailed")
    assert [event.data["recipients"] for event in events] == [len(expected)] * bool(expected)
    for mail in server.mails:
        text = mail.get_content()
        french = mail["To"] == asked.email
        assert ("Nouvelle date" in mail["Subject"]) is french
        assert ("La clôture est repoussée" in text) is french
        news = reverse("web:news", args=[challenge.slug])
        assert f"{news}#n{announcement.pk}" in text
        assert ("/account/" in text) is (mail_to == "subscribers")


def test_nothing_is_mailed_before_the_publication(server: SmtpServer) -> None:
    challenge = factories.make_challenge()
    register(challenge, asked=True)
    tomorrow = timezone.now() + timedelta(days=1)
    announce(challenge, "subscribers", published_at=tomorrow)
    announce(challenge, "subscribers", published_at=None)
    draft = factories.make_challenge("draft", is_published=False)
    register(draft, asked=True)
    announce(draft, "subscribers")
    assert not mails.is_due()
    assert mails.send_due() == 0
    assert mails.send_due(now=tomorrow + timedelta(minutes=1)) == 1
    assert len(server.mails) == 1


def test_a_mail_server_that_is_down_delays_announcements(server: SmtpServer) -> None:
    challenge = factories.make_challenge()
    users = [register(challenge, asked=True) for _ in range(3)]
    announce(challenge, "subscribers")
    server.refusals = {"CONNECT": "554 no service"}
    assert mails.send_due() == 0
    assert OutgoingMail.objects.count() == 3
    server.refusals = {}
    assert mails.send_due(now=timezone.now() + timedelta(hours=1)) == 3
    assert sorted(mail["To"] for mail in server.mails) == sorted(user.email for user in users)


def test_many_mails_start_one_task(django_capture_on_commit_callbacks: Any) -> None:
    challenge = factories.make_challenge()
    for _ in range(5):
        register(challenge, asked=True)
    announce(challenge, "subscribers")
    with django_capture_on_commit_callbacks() as callbacks:
        assert announcement_mails.queue_due(now=timezone.now()) == 5
    assert len(callbacks) == 1


def test_nobody_gets_announcements_without_asking() -> None:
    assert User().mail_on_announcement is False
