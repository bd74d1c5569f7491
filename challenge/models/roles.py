"""Who organises a challenge, and as what."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from challenge.models.challenges import Challenge
from challenge.rules.roles import Role

# The enum is that of rules.roles; here stand the labels that people read.
ROLES = [
    (Role.OWNER.value, _("owner")),
    (Role.EDITOR.value, _("editor")),
    (Role.JUDGE.value, _("judge")),
    (Role.OBSERVER.value, _("observer")),
]


class ChallengeRole(models.Model):
    """A person's role on the desk of a challenge; one row per person and challenge.

    It counts until ``expires_at`` (None: without end). A role that is revoked or given up expires
    at that moment and its row stays: who held one does not rank (decision 346).
    """

    challenge = models.ForeignKey(Challenge, models.CASCADE, related_name="roles")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="challenge_roles"
    )
    role = models.CharField(_("role"), max_length=16, choices=ROLES)
    granted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    granted_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(_("expires at"), null=True, blank=True)

    class Meta:
        ordering = ["challenge", "granted_at", "pk"]
        constraints = [
            models.UniqueConstraint(fields=["challenge", "user"], name="role_once_per_challenge"),
            models.CheckConstraint(
                condition=models.Q(role__in=[role.value for role in Role]), name="role_is_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user}: {self.role} of {self.challenge}"
