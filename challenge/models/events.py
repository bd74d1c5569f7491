"""What happened and who is told: audit trail, webhooks."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.translation import gettext_lazy as _

from challenge.models.challenges import Challenge
from challenge.models.fields import WebAddressField


class AuditEvent(models.Model):
    """An act of a person with power: who, what, on what, when. Never changed."""

    at = models.DateTimeField(db_index=True)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
    )
    action = models.CharField(max_length=64)
    challenge = models.ForeignKey(
        Challenge, models.SET_NULL, null=True, blank=True, related_name="audit_events"
    )
    target = models.CharField(max_length=200, blank=True)
    data = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering = ["-at", "-pk"]


class Webhook(models.Model):
    """Where to send signed news of a person's own submissions or of a whole challenge."""

    class Event(models.TextChoices):
        SUBMISSION_SCORED = "submission.scored", _("a submission was scored")
        SUBMISSION_REJECTED = "submission.rejected", _("a submission was rejected")
        PHASE_CLOSED = "phase.closed", _("a phase closed")

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="webhooks")
    challenge = models.ForeignKey(
        Challenge,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="webhooks",
        help_text=_("set: news of the whole challenge, for its organisers"),
    )
    url = WebAddressField(max_length=500)
    secret = models.CharField(max_length=128)
    events = ArrayField(models.CharField(max_length=40, choices=Event))
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created_at"]


class WebhookDelivery(models.Model):
    """One piece of news for one address: the row is the queue, as with evaluations."""

    webhook = models.ForeignKey(Webhook, models.CASCADE, related_name="deliveries")
    event = models.CharField(max_length=40)
    payload = models.JSONField()
    created_at = models.DateTimeField()
    next_attempt_at = models.DateTimeField(null=True, db_index=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    delivered_at = models.DateTimeField(null=True, blank=True)
    last_status = models.PositiveSmallIntegerField(null=True, blank=True)
    last_error = models.CharField(max_length=200, blank=True)
    dedupe_key = models.CharField(max_length=120)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(fields=["webhook", "dedupe_key"], name="news_sent_once"),
        ]
