"""Small pictures of the images of a practice kit, drawn once by a worker."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from challenge.models.challenges import GroundTruth, Phase
from challenge.models.jobs import JobEvent, LeasedJob, leased_while
from challenge.rules.lifecycle import RunState


class Gallery(LeasedJob):
    """Pictures of the patches of a phase's kit, by layer.

    ``kit_sha256`` is the kit whose images were drawn, ``ground_truth`` the public labels, none
    where they are hidden; ``bands`` say what the images' bands are. ``rows`` are the patches with
    domain, zone, date, layers and the share of each class; ``files`` give by name
    ("0-true-color") the first byte and the end of each picture in the stored file.
    """

    phase = models.OneToOneField(Phase, models.CASCADE, related_name="gallery")
    state = models.CharField(
        max_length=16,
        choices=[(s.value, s.value) for s in RunState],
        default=RunState.QUEUED.value,
    )
    kit_sha256 = models.CharField(max_length=64)
    ground_truth = models.ForeignKey(
        GroundTruth, models.CASCADE, null=True, blank=True, related_name="+"
    )
    bands = models.JSONField(default=list, blank=True)
    stored_name = models.CharField(max_length=200, blank=True)
    rows = models.JSONField(default=list, blank=True)
    files = models.JSONField(default=dict, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=[s.value for s in RunState]), name="gallery_state_known"
            ),
            models.CheckConstraint(
                condition=leased_while(RunState.RUNNING), name="gallery_leased_while_running"
            ),
        ]

    def __str__(self) -> str:
        return f"gallery of {self.phase_id} ({self.state})"


class GalleryEvent(JobEvent):
    """One transition of the state of a gallery."""

    gallery = models.ForeignKey(Gallery, models.CASCADE, related_name="events")
