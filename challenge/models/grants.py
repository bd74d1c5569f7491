"""What organisers allow one team beyond the rules of a phase."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from challenge.models.challenges import Phase
from challenge.models.teams import Team


class Grant(models.Model):
    """One team may submit after a phase's close (``late``), or more than it allows.

    It ends at ``until``. ``extra_places`` are on top of the limits of a day and of the whole phase,
    in all.
    """

    team = models.ForeignKey(Team, models.CASCADE, related_name="grants")
    phase = models.ForeignKey(Phase, models.CASCADE, related_name="grants")
    late = models.BooleanField(default=False)
    extra_places = models.PositiveIntegerField(default=0)
    until = models.DateTimeField()
    reason = models.TextField()
    granted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+"
    )
    granted_at = models.DateTimeField()
    withdrawn_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    withdrawn_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-granted_at", "-pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(late=True) | Q(extra_places__gt=0), name="grant_gives_something"
            ),
            models.CheckConstraint(
                condition=Q(until__gt=models.F("granted_at")), name="grant_ends_later"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.team} in {self.phase} until {self.until:%Y-%m-%d %H:%M}"
