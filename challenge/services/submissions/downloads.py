"""Archives that leave as downloads: their names, and who took those of other teams."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.text import slugify

from challenge.models import AuditEvent, Submission, User
from challenge.selectors import people
from challenge.services import audit

# A browser that draws predictions asks for an archive in many pieces.
ONE_DOWNLOAD = timedelta(hours=1)


def file_name(submission: Submission) -> str:
    """Return ``team-number-id.zip``, in letters that every disk takes; no two are alike."""
    team = submission.entry.team
    name = slugify(team.name)[:60] or f"team-{team.pk}"
    return f"{name}-{submission.number}-{submission.pk}.zip"


def record(*, submission: Submission, actor: User, now: datetime | None = None) -> None:
    """Write into the trail that an organiser downloads another team's archive.

    Once an hour for each organiser and submission. Nothing for the team's own members.
    """
    now = now or timezone.now()
    if people.is_of_team(actor, submission):
        return
    challenge = submission.entry.phase.challenge
    recent = AuditEvent.objects.filter(
        action="submission.download",
        actor=actor,
        challenge=challenge,
        target=str(submission.pk),
        at__gt=now - ONE_DOWNLOAD,
    )
    if not recent.exists():
        audit.record(
            "submission.download",
            actor=actor,
            challenge=challenge,
            target=submission.pk,
            now=now,
            team=submission.entry.team.name,
            phase=str(submission.entry.phase),
        )
