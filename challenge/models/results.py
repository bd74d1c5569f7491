"""Results: a phase's final ones, signed, numbered, never changed; those published elsewhere."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from challenge.models.challenges import Challenge, Phase


class FinalResult(models.Model):
    """One version of a phase's final result, as it was signed.

    ``document`` is what was signed (:mod:`challenge.services.leaderboard.final_results` has its
    layout), ``signature`` and ``key`` are base64 (:mod:`challenge.services.signing`). A trigger of
    the database refuses every change of a row but that of ``signed_by`` where an account is
    deleted; what turns out wrong is put right by another version with a public reason.
    """

    phase = models.ForeignKey(Phase, models.CASCADE, related_name="final_results")
    version = models.PositiveSmallIntegerField()
    document = models.JSONField()
    signature = models.CharField(max_length=88)
    key = models.CharField(max_length=44)
    reason = models.TextField(blank=True)
    signed_at = models.DateTimeField()
    signed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+"
    )

    class Meta:
        ordering = ["phase", "-version"]
        constraints = [
            models.UniqueConstraint(fields=["phase", "version"], name="result_version_once"),
        ]

    def __str__(self) -> str:
        return f"{self.phase} v{self.version}"

    @property
    def signed(self) -> dict[str, Any]:
        """What anyone can verify: document, signature and public key."""
        return {"result": self.document, "signature": self.signature, "key": self.key}


class PublishedResult(models.Model):
    """A result published elsewhere (podium, paper), shown as a marked line, never ranked.

    ``miou`` and ``std`` are fractions; ``class_ious`` is {class key: fraction}.
    """

    class Kind(models.TextChoices):
        PODIUM = "podium", _("podium")
        BASELINE = "baseline", _("baseline")

    challenge = models.ForeignKey(Challenge, models.CASCADE, related_name="published_results")
    phase_slug = models.SlugField(default="test")
    name = models.CharField(max_length=120)
    kind = models.CharField(max_length=16, choices=Kind)
    miou = models.FloatField()
    std = models.FloatField(null=True, blank=True)
    class_ious = models.JSONField(default=dict, blank=True)
    source = models.CharField(max_length=200, blank=True)
    sort_order = models.IntegerField(default=0)

    class Meta:
        ordering = ["challenge", "-miou", "sort_order"]
        constraints = [
            models.UniqueConstraint(
                fields=["challenge", "phase_slug", "name"], name="published_result_once"
            ),
            models.CheckConstraint(
                condition=Q(miou__gte=0) & Q(miou__lte=1),
                name="published_miou_is_a_fraction",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class LeaderboardState(models.Model):
    """A leaderboard as everybody saw it at a moment, kept for who cites it. It never changes.

    ``document`` is what was shown, ``line_digests`` are the SHA-256 of its lines, ``digest`` that
    of the document with these in place of the lines: it can be verified although lines are
    withheld. ``sources`` are the submissions of the lines (null: published elsewhere), which leave
    nowhere.
    """

    phase = models.ForeignKey(Phase, models.CASCADE, related_name="leaderboard_states")
    kept_at = models.DateTimeField()
    document = models.JSONField()
    line_digests = models.JSONField()
    sources = models.JSONField()
    digest = models.CharField(max_length=64)

    class Meta:
        ordering = ["phase", "-kept_at"]
        constraints = [
            models.UniqueConstraint(fields=["phase", "kept_at"], name="state_once_a_second"),
        ]

    def __str__(self) -> str:
        return f"{self.phase} at {self.kept_at:%Y%m%dT%H%M%SZ}"
