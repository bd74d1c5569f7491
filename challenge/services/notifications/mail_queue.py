"""Mails of a request are rows in the database; the Celery task sends them.

So that no request waits for a mail server or fails with it: :class:`QueueingBackend` is Django's
mail backend, and whatever sends a mail (allauth, the error reports to administrators) writes a row,
in the transaction of what the mail is about. A mail server that is down is asked again at the next
sweep; a mail that it refuses is tried with growing pauses until the row expires.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from smtplib import (
    SMTPDataError,
    SMTPNotSupportedError,
    SMTPRecipientsRefused,
    SMTPResponseException,
)

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.db import DatabaseError, transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.encoding import force_bytes

from challenge.models import MessageDelivery, OutgoingMail
from challenge.services import task_queue
from challenge.services.task_queue import TaskName

log = logging.getLogger(__name__)

# Longer than an outage of a mail server that is noticed; shorter than the links in the mails.
KEPT_FOR = timedelta(days=1)
PAUSES_S = (60, 300, 1800, 7200)
SUBJECT_CHARACTERS = 300
SERVICE_NOT_AVAILABLE = 421  # RFC 5321: the server closes the connection


class MailServerUnavailable(Exception):
    """The mail server cannot be used now, whatever the mail."""


class QueueingBackend(BaseEmailBackend):
    """Django's mail backend that writes rows: one for each recipient, text only."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """Queue the mails; returns how many. Raises DatabaseError unless ``fail_silently``."""
        try:
            with transaction.atomic():
                for message in email_messages:
                    for recipient in message.recipients():
                        queue(
                            recipient=recipient,
                            subject=str(message.subject),
                            message=str(message.body),
                        )
        except DatabaseError:
            if not self.fail_silently:
                raise
            log.exception("mails cannot be queued")
            return 0
        return len(email_messages)


def queue(*, recipient: str, subject: str, message: str, now: datetime | None = None) -> None:
    """Write one mail, and notify workers after the commit. Raises DatabaseError."""
    queue_many([(recipient, subject, message)], now=now or timezone.now())


def queue_many(mails: Iterable[tuple[str, str, str]], *, now: datetime) -> int:
    """Write (recipient, subject, message) for each mail, and notify workers once after the commit.

    Returns how many were written. Raises DatabaseError.
    """
    return _write([(None, *mail) for mail in mails], now=now)


def queue_deliveries(
    mails: Iterable[tuple[MessageDelivery, str, str, str]], *, now: datetime
) -> int:
    """Write (delivery, recipient, subject, message) for each mail, as :func:`queue_many` does.

    The delivery learns when its mail left, or that it was given up.
    """
    return _write(mails, now=now)


def _write(mails: Iterable[tuple[MessageDelivery | None, str, str, str]], *, now: datetime) -> int:
    cipher = _cipher()
    rows = [
        OutgoingMail(
            recipient=recipient,
            subject=" ".join(subject.split())[:SUBJECT_CHARACTERS],
            sealed_message=cipher.encrypt(message.encode()),
            delivery=delivery,
            created_at=now,
            expires_at=now + KEPT_FOR,
            next_attempt_at=now,
        )
        for delivery, recipient, subject, message in mails
    ]
    if rows:
        OutgoingMail.objects.bulk_create(rows, batch_size=500)
        task_queue.send_task_on_commit(TaskName.SEND_MAIL)
    return len(rows)


def is_due(*, now: datetime) -> bool:
    """Say whether a mail waits to be sent or to be given up."""
    return _due(now).exists()


def send_due(*, now: datetime, limit: int = 100) -> int:
    """Send what is due, at most ``limit``; returns how many left. Raises MailServerUnavailable.

    Rows that are too old are deleted, whether the mail server can be used or not.
    """
    given_up = _give_up_expired(now)
    if given_up:
        log.warning("%s mails could not be sent for %s: given up", given_up, KEPT_FOR)
    sent = 0
    for pk in list(_due(now).values_list("pk", flat=True)[:limit]):
        try:
            sent += _send(pk, now=now)
        except MailServerUnavailable:
            # Behind the others: it may be this very mail that makes the server hang up.
            behind = now + timedelta(seconds=PAUSES_S[0])
            OutgoingMail.objects.filter(pk=pk).update(next_attempt_at=behind)
            raise
    return sent


def send_now(*, subject: str, message: str, recipient: str) -> bool:
    """Send one mail through the mail server, in a worker; False: it refuses this one.

    Raises MailServerUnavailable.
    """
    mail = EmailMessage(subject, message, None, [recipient])
    mail.connection = get_connection(settings.EMAIL_DELIVERY_BACKEND)
    try:
        mail.send()
    except (SMTPRecipientsRefused, SMTPDataError, SMTPNotSupportedError, ValueError) as error:
        # ValueError: an address or a header that no mail can have, UnicodeError among them.
        if isinstance(error, SMTPResponseException) and error.smtp_code == SERVICE_NOT_AVAILABLE:
            raise MailServerUnavailable(str(error)) from error
        log.warning("a mail to %s is refused: %s", recipient, error)
        return False
    except OSError as error:  # smtplib's other errors are among them
        raise MailServerUnavailable(f"{type(error).__name__}: {error}") from error
    return True


def _give_up_expired(now: datetime) -> int:
    expired = OutgoingMail.objects.filter(expires_at__lte=now)
    with transaction.atomic():
        mails = list(expired.select_for_update(skip_locked=True).values_list("pk", flat=True))
        MessageDelivery.objects.filter(mail__in=mails).update(given_up_at=now)
        given_up, _rows = OutgoingMail.objects.filter(pk__in=mails).delete()
    return given_up


def _due(now: datetime) -> QuerySet[OutgoingMail]:
    return OutgoingMail.objects.filter(next_attempt_at__lte=now).order_by("next_attempt_at", "pk")


@transaction.atomic
def _send(pk: int, *, now: datetime) -> bool:
    row = OutgoingMail.objects.select_for_update(skip_locked=True).filter(pk=pk).first()
    if row is None:
        return False
    try:
        message = _cipher().decrypt(bytes(row.sealed_message)).decode()
    except InvalidToken:
        log.exception("a mail to %s was sealed with another SECRET_KEY: given up", row.recipient)
        MessageDelivery.objects.filter(mail=row).update(given_up_at=now)
        row.delete()
        return False
    sent = send_now(subject=row.subject, message=message, recipient=row.recipient)
    if sent:
        MessageDelivery.objects.filter(mail=row).update(sent_at=now)
        row.delete()
    else:
        pause_s = PAUSES_S[min(row.attempts, len(PAUSES_S) - 1)]
        row.attempts += 1
        row.next_attempt_at = now + timedelta(seconds=pause_s)
        row.save(update_fields=["attempts", "next_attempt_at"])
    return sent


def _cipher() -> MultiFernet:
    """Encrypt with ``SECRET_KEY``; decrypt with the former ones as well."""
    return MultiFernet(
        [Fernet(_key(secret)) for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)]
    )


def _key(secret: str | bytes) -> bytes:
    derivation = HKDF(hashes.SHA256(), 32, salt=None, info=b"flair outgoing mail")
    return base64.urlsafe_b64encode(derivation.derive(force_bytes(secret)))
