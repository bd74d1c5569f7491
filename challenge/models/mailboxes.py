"""Who took part in a challenge before, without saying who: keyed hashes of mailboxes."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from challenge.models.challenges import Challenge
from challenge.models.teams import Team


class Mailbox(models.Model):
    """A mailbox that takes part in a challenge; deleted once all phases of it are closed.

    ``digest`` is a keyed hash of the normalised address, another one in each challenge. ``user``
    is who takes part with it, null once that account is deleted. ``is_refused``: so was the
    registration.
    """

    challenge = models.ForeignKey(Challenge, models.CASCADE, related_name="mailboxes")
    digest = models.CharField(max_length=64)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="mailboxes"
    )
    is_refused = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["challenge", "digest"], name="mailbox_once_per_challenge"
            ),
        ]


class FormerMembership(models.Model):
    """A mailbox was in a team until its account was deleted.

    What the team had submitted until then goes on counting for whoever takes part with it.
    """

    mailbox = models.ForeignKey(Mailbox, models.CASCADE, related_name="former_memberships")
    team = models.ForeignKey(Team, models.CASCADE, related_name="former_memberships")
    left_at = models.DateTimeField()
