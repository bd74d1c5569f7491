"""Announcements by e-mail: one mail a person, in the person's language.

An announcement says whom it is mailed to. Once it is published, in a published challenge, the
Celery task writes one row a recipient (:mod:`mail_queue`) in the transaction that marks it.
"""

from __future__ import annotations

import logging
from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext as _

from challenge.models import Announcement, Registration, User
from challenge.selectors import languages
from challenge.selectors.languages import text_in
from challenge.services import audit, links
from challenge.services.notifications import mail_queue

log = logging.getLogger(__name__)


def due(now: datetime) -> QuerySet[Announcement]:
    """Return the announcements that are published and still wait to be mailed."""
    return Announcement.objects.exclude(mail_to=Announcement.MailTo.NOBODY).filter(
        mailed_at__isnull=True, published_at__lte=now, challenge__is_published=True
    )


def recipients(announcement: Announcement) -> QuerySet[User]:
    """Return the people whom ``announcement`` is mailed to (one query).

    ``SUBSCRIBERS``: who takes part and asked for announcements; ``PARTICIPANTS``: all who take
    part, which is for changes of the rules. Who waits for approval or was refused gets none.
    """
    people = User.objects.filter(
        registrations__challenge=announcement.challenge,
        registrations__state=Registration.State.APPROVED,
        is_active=True,
    ).exclude(email="")
    if announcement.mail_to == Announcement.MailTo.SUBSCRIBERS:
        people = people.filter(mail_on_announcement=True)
    return people.order_by("pk")


def queue_due(*, now: datetime) -> int:
    """Write the mails of the announcements that are due; returns how many were written."""
    queued = 0
    for pk in list(due(now).values_list("pk", flat=True)):
        queued += _queue(pk, now=now)
    return queued


@transaction.atomic
def _queue(pk: int, *, now: datetime) -> int:
    announcement = (
        due(now)
        .select_for_update(skip_locked=True, of=("self",))
        .select_related("challenge")
        .filter(pk=pk)
        .first()
    )
    if announcement is None:
        return 0
    written = [_mail(announcement, person) for person in recipients(announcement)]
    queued = mail_queue.queue_many(written, now=now)
    announcement.mailed_at = now
    announcement.save(update_fields=["mailed_at"])
    audit.record(
        "announcement.mailed",
        actor=announcement.created_by,
        challenge=announcement.challenge,
        target=announcement,
        now=now,
        mail_to=announcement.mail_to,
        recipients=queued,
    )
    log.info("announcement %s: %s mails queued", announcement.pk, queued)
    return queued


def _mail(announcement: Announcement, person: User) -> tuple[str, str, str]:
    with translation.override(person.language or None):
        subject, message = text_for(announcement, language=languages.current())
    return person.email, subject, message


def text_for(announcement: Announcement, *, language: str) -> tuple[str, str]:
    """Return subject and text of the mail in ``language``, which is active."""
    challenge = announcement.challenge
    title = text_in(announcement.title, language, default=challenge.slug)
    name = text_in(challenge.title, language, default=challenge.slug)
    news = links.absolute(reverse("web:news", args=[challenge.slug]))
    if announcement.mail_to == Announcement.MailTo.PARTICIPANTS:
        why = _("You receive this mail because you take part in %(challenge)s.")
    else:
        why = _(
            "You receive this mail because you take part in %(challenge)s and asked for "
            "announcements. To stop them, change this setting in your account: %(link)s"
        )
    footer = why % {"challenge": name, "link": links.absolute(reverse("web:profile"))}
    parts = [title, text_in(announcement.body, language), f"{news}#n{announcement.pk}", footer]
    return f"{name}: {title}", "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"
