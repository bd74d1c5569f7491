"""Teams that organisers disqualified."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from challenge.models.teams import Team


class TeamDisqualification(models.Model):
    """A whole team is off the leaderboards, and may neither submit nor merge, until it is lifted.

    Rows stay: a team that is disqualified again gets another one.
    """

    team = models.ForeignKey(Team, models.CASCADE, related_name="disqualifications")
    reason = models.TextField()
    disqualified_at = models.DateTimeField()
    disqualified_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+"
    )
    lifted_at = models.DateTimeField(null=True, blank=True)
    lifted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    lifted_reason = models.TextField(blank=True, default="")

    class Meta:
        ordering = ["-disqualified_at", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["team"],
                condition=Q(lifted_at__isnull=True),
                name="one_disqualification_in_force",
            )
        ]

    def __str__(self) -> str:
        return f"{self.team} since {self.disqualified_at:%Y-%m-%d}"
