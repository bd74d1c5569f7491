"""What participants of a phase start from."""

from __future__ import annotations

from django.db import models

from challenge.models.challenges import Phase


class PracticeKit(models.Model):
    """A zip in storage: the images of a phase's patches, their list, the task, labelled examples.

    Its layout is told in ``docs/challenge-file.md``. ``image_count`` are the phase's patches,
    ``example_count`` other patches that come with their labels; ``sha256`` is that of the zip.
    """

    phase = models.OneToOneField(Phase, models.CASCADE, related_name="kit")
    stored_name = models.CharField(max_length=200)
    sha256 = models.CharField(max_length=64)
    size_bytes = models.BigIntegerField()
    image_count = models.PositiveIntegerField()
    example_count = models.PositiveIntegerField(default=0)
    published_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.phase} kit"
