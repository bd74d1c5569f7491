"""Pixel comparisons: which submissions of different teams predict the same pixels."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from challenge.models.challenges import Phase
from challenge.models.jobs import JobEvent, LeasedJob, leased_while
from challenge.rules.lifecycle import RUN_OPEN, RunState


class PixelComparison(LeasedJob):
    """Submissions of a phase that a worker compares pixel by pixel, each pair of two teams.

    ``submissions`` are their ids as they were asked for. ``result`` holds ``pixels`` (of one
    submission), ``pairs`` (two ids and how many pixels are equal) and ``unread`` (an id and why its
    archive was not compared). A phase has one at most that has not ended.
    """

    phase = models.ForeignKey(Phase, models.CASCADE, related_name="pixel_comparisons")
    state = models.CharField(
        max_length=16,
        choices=[(s.value, s.value) for s in RunState],
        default=RunState.QUEUED.value,
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+"
    )
    submissions = models.JSONField(default=list)
    done = models.PositiveIntegerField(default=0, help_text="archives or patches of this stage")
    total = models.PositiveIntegerField(default=0)
    result = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=[s.value for s in RunState]),
                name="pixel_comparison_state_known",
            ),
            models.CheckConstraint(
                condition=leased_while(RunState.RUNNING),
                name="pixel_comparison_leased_while_running",
            ),
            models.UniqueConstraint(
                fields=["phase"],
                condition=Q(state__in=sorted(s.value for s in RUN_OPEN)),
                name="one_pixel_comparison_at_a_time",
            ),
        ]

    def __str__(self) -> str:
        return f"pixel comparison {self.pk} ({self.state})"


class PixelComparisonEvent(JobEvent):
    """One transition of a pixel comparison's state."""

    comparison = models.ForeignKey(PixelComparison, models.CASCADE, related_name="events")
