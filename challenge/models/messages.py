"""Messages that organisers sent to participants by e-mail."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from challenge.models.challenges import Challenge


class Message(models.Model):
    """One message to some participants; written once and never changed.

    ``subject`` and ``body`` are {language: text}. ``audience`` says to whom
    (:class:`challenge.selectors.messages.Audience`). ``about_rules``: of a change of the rules,
    which also reaches who wants no messages.
    """

    challenge = models.ForeignKey(Challenge, models.CASCADE, related_name="messages")
    subject = models.JSONField()
    body = models.JSONField()
    audience = models.JSONField()
    about_rules = models.BooleanField(default=False)
    sent_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+"
    )
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["-created_at", "-pk"]

    def __str__(self) -> str:
        return f"message {self.pk} of {self.challenge}"


class MessageDelivery(models.Model):
    """One message to one person: waiting, sent or given up. No address is kept."""

    message = models.ForeignKey(Message, models.CASCADE, related_name="deliveries")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    sent_at = models.DateTimeField(null=True, blank=True)
    given_up_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["message", "user"], name="message_once_per_person"),
            models.CheckConstraint(
                condition=models.Q(sent_at=None) | models.Q(given_up_at=None),
                name="message_sent_or_given_up",
            ),
        ]
