"""Mails that wait to be sent."""

from __future__ import annotations

from django.db import models

from challenge.models.messages import MessageDelivery


class OutgoingMail(models.Model):
    """One mail to one address; the row is deleted once it has left or is given up.

    ``delivery`` learns then what became of it: the mail of a message of organisers has one.
    ``sealed_message`` is the text, encrypted: it may hold a link that resets a password.
    """

    recipient = models.EmailField(max_length=320)
    subject = models.CharField(max_length=300)
    sealed_message = models.BinaryField()
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    delivery = models.OneToOneField(
        MessageDelivery, models.CASCADE, null=True, blank=True, related_name="mail"
    )
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(db_index=True)

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.subject} ({self.recipient})"
