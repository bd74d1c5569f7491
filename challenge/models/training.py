"""Training runs of the reference models on GPU workers."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q

from challenge.models.challenges import Phase
from challenge.models.jobs import JobEvent, LeasedJob, leased_while
from challenge.models.submissions import Submission
from challenge.rules.lifecycle import RunState


class TrainingRun(LeasedJob):
    """A baseline trained by the platform; same life as an evaluation (claim, lease, attempts).

    ``recipe`` names a file of ``baselines/recipes``, or the organiser's own recipe that stands in
    ``recipe_text`` (TOML; ``recipe_digest`` is its SHA-256, both empty else); ``data_root`` names a
    folder the worker knows; ``progress`` is the last event: epoch, epochs, loss, miou, device
    memory, seconds left.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    recipe = models.CharField(max_length=80)
    recipe_text = models.TextField(blank=True)
    recipe_digest = models.CharField(max_length=64, blank=True)
    data_root = models.CharField(max_length=80)
    seed = models.PositiveIntegerField(default=2022)
    overrides = models.JSONField(default=dict, blank=True)
    group = models.CharField(max_length=80, blank=True)
    phase = models.ForeignKey(
        Phase, models.PROTECT, null=True, blank=True, related_name="training_runs"
    )
    submission = models.ForeignKey(
        Submission, models.SET_NULL, null=True, blank=True, related_name="training_runs"
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+"
    )
    state = models.CharField(
        max_length=16,
        choices=[(s.value, s.value) for s in RunState],
        default=RunState.QUEUED.value,
    )
    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    progress = models.JSONField(default=dict, blank=True)
    device = models.JSONField(default=dict, blank=True)
    result = models.JSONField(default=dict, blank=True)
    log_tail = models.TextField(blank=True)
    error_message = models.TextField(blank=True)

    class Meta:
        ordering = ["-queued_at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=[s.value for s in RunState]),
                name="run_state_known",
            ),
            models.CheckConstraint(
                condition=leased_while(RunState.RUNNING),
                name="run_leased_while_running",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.recipe} seed {self.seed}"


class TrainingPoint(models.Model):
    """One point of a run's curves."""

    run = models.ForeignKey(TrainingRun, models.CASCADE, related_name="points")
    epoch = models.PositiveIntegerField()
    metrics = models.JSONField()
    at = models.DateTimeField()

    class Meta:
        ordering = ["epoch"]
        constraints = [
            models.UniqueConstraint(fields=["run", "epoch"], name="one_point_per_epoch"),
        ]


class TrainingEvent(JobEvent):
    """One transition of a run's state."""

    run = models.ForeignKey(TrainingRun, models.CASCADE, related_name="events")
