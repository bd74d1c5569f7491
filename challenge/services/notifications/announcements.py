"""Announcements of the desk: on the site, in the Atom feed, and by mail to who wants them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from challenge.models import Announcement, Challenge, User
from challenge.rules.roles import Act
from challenge.selectors import roles
from challenge.services import audit
from challenge.services.notifications import mails, messages


def publish(
    *,
    challenge: Challenge,
    actor: User,
    title: Mapping[str, str],
    body: Mapping[str, str],
    mail_to: Announcement.MailTo,
    now: datetime | None = None,
) -> Announcement:
    """Announce something now (``Act.PAGES``); ``body`` is Markdown, both are {language: text}.

    Mails leave once the challenge is published. Raises what `roles.require` raises, Refusal
    ``message-empty`` and ``field-too-long``.
    """
    now = now or timezone.now()
    roles.require(actor, Act.PAGES, challenge)
    title, body = messages.checked(title, body)
    with transaction.atomic():
        made = Announcement.objects.create(
            challenge=challenge,
            title=dict(title),
            body=dict(body),
            mail_to=mail_to.value,
            published_at=now,
            created_by=actor,
        )
        audit.record(
            "announcement.create",
            actor=actor,
            challenge=challenge,
            target=made,
            now=now,
            mail_to=mail_to.value,
        )
        mails.notify_workers_on_commit()
    return made


def withdraw(*, announcement: Announcement, actor: User, now: datetime | None = None) -> None:
    """Take an announcement off the site and the feed (``Act.PAGES``); mails that left stay sent.

    Raises what `roles.require` raises.
    """
    now = now or timezone.now()
    roles.require(actor, Act.PAGES, announcement.challenge)
    with transaction.atomic():
        announcement.published_at = None
        announcement.save(update_fields=["published_at"])
        audit.record(
            "announcement.withdraw",
            actor=actor,
            challenge=announcement.challenge,
            target=announcement,
            now=now,
        )
