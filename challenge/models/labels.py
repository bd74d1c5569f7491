"""Sealed labels on their way from an owner's browser to the labels worker."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from challenge.models.challenges import GroundTruth, Phase
from challenge.models.jobs import JobEvent, LeasedJob, leased_while
from challenge.models.submissions import Upload
from challenge.rules.lifecycle import LabelState


class LabelKey(models.Model):
    """The public key of a labels worker: masks are sealed for the one seen last.

    ``public_key`` is the base64 text of an uncompressed point, ``fingerprint`` SHA-256 of the point
    in hexadecimal. The private half never leaves the worker's volume.
    """

    fingerprint = models.CharField(max_length=64, unique=True)
    public_key = models.CharField(max_length=100)
    created_at = models.DateTimeField()
    seen_at = models.DateTimeField()

    class Meta:
        ordering = ["-seen_at"]

    def __str__(self) -> str:
        return self.fingerprint[:16]


class LabelJob(LeasedJob):
    """Sealed masks that a labels worker opens, packs and registers for a phase.

    ``uploader`` is the user name that the masks were sealed for. ``upload`` is None once the sealed
    copy was deleted. ``problems`` are those of the archive (code, file, parameters; never a pixel),
    ``error_code`` with ``error_message`` say anything else that went wrong. ``patches``: how many
    masks were installed.
    """

    phase = models.ForeignKey(Phase, models.CASCADE, related_name="label_jobs")
    upload = models.OneToOneField(
        Upload, models.SET_NULL, null=True, blank=True, related_name="label_job"
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+"
    )
    uploader = models.CharField(max_length=150)
    original_name = models.CharField(max_length=255, blank=True)
    sealed_bytes = models.BigIntegerField()
    state = models.CharField(
        max_length=16,
        choices=[(s.value, s.value) for s in LabelState],
        default=LabelState.QUEUED.value,
    )
    patches_done = models.PositiveIntegerField(default=0)
    patches_total = models.PositiveIntegerField(default=0)
    problems = models.JSONField(default=list, blank=True)
    problems_more = models.PositiveIntegerField(default=0)
    error_message = models.TextField(blank=True)
    ground_truth = models.ForeignKey(
        GroundTruth, models.PROTECT, null=True, blank=True, related_name="label_jobs"
    )
    patches = models.PositiveIntegerField(default=0)
    to_rescore = models.PositiveIntegerField(
        default=0, help_text="submissions that were scored against earlier labels"
    )

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=[s.value for s in LabelState]),
                name="label_job_state_known",
            ),
            models.CheckConstraint(
                condition=leased_while(LabelState.INSTALLING),
                name="label_job_leased_while_installing",
            ),
        ]

    def __str__(self) -> str:
        return f"labels {self.pk} ({self.state})"


class LabelJobEvent(JobEvent):
    """One transition of a label job's state."""

    job = models.ForeignKey(LabelJob, models.CASCADE, related_name="events")
