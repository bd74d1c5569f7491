"""What organisers ask of the winners of a phase before they sign its result."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from challenge.models.challenges import Phase
from challenge.models.teams import Team


class DocumentRequest(models.Model):
    """Documents that a team with a rank was asked for, in the organisers' words (``wanted``).

    ``rank`` is the team's when it was asked. ``reason`` is that of a refusal, told to the team.
    """

    class State(models.TextChoices):
        """Where it stands; ``delivered`` once there is at least one document."""

        ASKED = "asked", _("asked")
        DELIVERED = "delivered", _("delivered")
        ACCEPTED = "accepted", _("accepted")
        REFUSED = "refused", _("refused")

    phase = models.ForeignKey(Phase, models.CASCADE, related_name="document_requests")
    team = models.ForeignKey(Team, models.CASCADE, related_name="document_requests")
    rank = models.PositiveIntegerField()
    wanted = models.TextField()
    deadline = models.DateTimeField()
    state = models.CharField(max_length=16, choices=State.choices, default=State.ASKED)
    asked_at = models.DateTimeField()
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+"
    )
    decided_at = models.DateTimeField(null=True, blank=True)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    reason = models.TextField(blank=True)

    class Meta:
        ordering = ["rank", "pk"]
        constraints = [
            models.UniqueConstraint(fields=["phase", "team"], name="documents_asked_once"),
        ]

    def __str__(self) -> str:
        return f"documents of {self.team} in {self.phase} ({self.state})"


class WinnerDocument(models.Model):
    """A team's code or report: a file in storage, or an address on the web."""

    class Kind(models.TextChoices):
        """One of each kind; another takes its place."""

        CODE = "code", _("code")
        REPORT = "report", _("report")

    request = models.ForeignKey(DocumentRequest, models.CASCADE, related_name="documents")
    kind = models.CharField(max_length=16, choices=Kind.choices)
    link = models.CharField(max_length=500, blank=True)
    stored_name = models.CharField(max_length=200, blank=True)
    original_name = models.CharField(max_length=255, blank=True)
    sha256 = models.CharField(max_length=64, blank=True)
    size_bytes = models.BigIntegerField(default=0)
    delivered_at = models.DateTimeField()
    delivered_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+"
    )

    class Meta:
        ordering = ["kind"]
        constraints = [
            models.UniqueConstraint(fields=["request", "kind"], name="one_document_a_kind"),
            models.CheckConstraint(
                condition=(Q(link="") & ~Q(stored_name="")) | (~Q(link="") & Q(stored_name="")),
                name="document_is_file_or_link",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.request}"
