"""Final results of phases: signed, numbered, never changed."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models

from challenge.models.challenges import Phase


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
