"""Pictures of patches that a worker drew of a scored submission."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from challenge.models.jobs import JobEvent, LeasedJob, leased_while
from challenge.models.submissions import Evaluation
from challenge.rules.lifecycle import RunState


class PatchPictures(LeasedJob):
    """Pictures of some patches: the published image and what one evaluation's archive predicts.

    ``with_labels``: the labels are public, the patches were chosen by their scores, and labels and
    errors were drawn. Otherwise the choice knows nothing of labels. ``kit_sha256`` is the kit whose
    images were used. ``rows`` say of each patch why it is shown, as
    `scoring.engine.pictures.choosing.Choice`; ``files`` give by name ("0-image") the first byte and
    the end of each picture in the stored file.
    """

    evaluation = models.OneToOneField(Evaluation, models.CASCADE, related_name="pictures")
    state = models.CharField(
        max_length=16,
        choices=[(s.value, s.value) for s in RunState],
        default=RunState.QUEUED.value,
    )
    kit_sha256 = models.CharField(max_length=64)
    with_labels = models.BooleanField(default=False, db_default=False)
    stored_name = models.CharField(max_length=200, blank=True)
    rows = models.JSONField(default=list, blank=True)
    files = models.JSONField(default=dict, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=[s.value for s in RunState]),
                name="patch_pictures_state_known",
            ),
            models.CheckConstraint(
                condition=leased_while(RunState.RUNNING),
                name="patch_pictures_leased_while_running",
            ),
        ]

    def __str__(self) -> str:
        return f"pictures of evaluation {self.evaluation_id} ({self.state})"


class PatchPicturesEvent(JobEvent):
    """One transition of the state of pictures."""

    pictures = models.ForeignKey(PatchPictures, models.CASCADE, related_name="events")
