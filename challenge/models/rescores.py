"""Re-scores that owners ask for on the desk: previewed by a worker, then published by one."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from challenge.models.challenges import GroundTruth, Phase, TaskSpec
from challenge.models.jobs import JobEvent, LeasedJob, leased_while
from challenge.rules.lifecycle import RESCORE_ENDED, RescoreState


class Rescore(LeasedJob):
    """A phase's submissions under other labels or another task: a preview, then its publication.

    While it has not ended it is the phase's only one; where it takes the archives, new submissions
    are scored under its ``ground_truth`` and ``task_spec``, too. ``inputs`` is the digest of what
    the preview was made of, ``result`` what it found (values as the board may show them),
    ``digest`` that of both: it is what an owner confirms. ``confirmed_at`` set: a worker publishes.
    """

    class Method(models.TextChoices):
        EVIDENCE = "evidence", _("from kept evidence, in seconds")
        ARCHIVES = "archives", _("from the archives, through the queue")

    phase = models.ForeignKey(Phase, models.CASCADE, related_name="rescores")
    ground_truth = models.ForeignKey(GroundTruth, models.PROTECT, related_name="+")
    task_spec = models.ForeignKey(TaskSpec, models.PROTECT, related_name="+")
    method = models.CharField(max_length=16, choices=Method)
    state = models.CharField(
        max_length=16,
        choices=[(s.value, s.value) for s in RescoreState],
        default=RescoreState.QUEUED.value,
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+"
    )
    inputs = models.CharField(max_length=64, blank=True)
    result = models.JSONField(default=dict, blank=True)
    digest = models.CharField(max_length=64, blank=True)
    confirmed_at = models.DateTimeField(null=True, blank=True)
    confirmed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=[s.value for s in RescoreState]), name="rescore_state_known"
            ),
            models.CheckConstraint(
                condition=leased_while(RescoreState.RUNNING), name="rescore_leased_while_running"
            ),
            models.UniqueConstraint(
                fields=["phase"],
                condition=~Q(state__in=sorted(s.value for s in RESCORE_ENDED)),
                name="one_rescore_at_a_time",
            ),
        ]

    def __str__(self) -> str:
        return f"re-score of {self.phase} ({self.state})"


class RescoreEvent(JobEvent):
    """One transition of a re-score's state."""

    rescore = models.ForeignKey(Rescore, models.CASCADE, related_name="events")
