"""What the organisers of a challenge tell everyone."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from challenge.models.challenges import Challenge


class Announcement(models.Model):
    """What the organiser tells everyone; ``title`` and ``body`` (Markdown) are {language: text}."""

    class MailTo(models.TextChoices):
        NOBODY = "nobody", _("nobody")
        SUBSCRIBERS = "subscribers", _("participants who asked for announcements")
        PARTICIPANTS = "participants", _("all participants (a change of the rules)")

    challenge = models.ForeignKey(Challenge, models.CASCADE, related_name="announcements")
    key = models.SlugField(blank=True)
    title = models.JSONField(default=dict)
    body = models.JSONField(default=dict)
    published_at = models.DateTimeField(null=True, blank=True)
    mail_to = models.CharField(_("e-mail to"), max_length=16, choices=MailTo, default=MailTo.NOBODY)
    mailed_at = models.DateTimeField(_("e-mailed"), null=True, blank=True, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
    )

    class Meta:
        ordering = ["-published_at", "-pk"]

    def __str__(self) -> str:
        return str(self.title.get("en", self.pk))
