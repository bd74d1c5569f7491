"""Limits of uploads and archives: of one file, of a person's uploads, of a team's archives.

A person's limits count uploads that are neither submitted nor expired. A team's limit counts the
archives that its submissions keep and those uploads of its members: a rejected archive is refunded
by the quota, so without this limit a team could fill the disk with them. Two simultaneous requests
may exceed a team's limit by one archive.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import QuerySet, Sum
from django.utils import timezone

from challenge.errors import refuse
from challenge.models import Membership, Registration, Submission, Team, Upload, User
from challenge.selectors import roles


@dataclass(frozen=True)
class StorageUse:
    """Bytes of a team's kept archives, of its members' unsubmitted uploads, and the limit."""

    kept_bytes: int
    unsubmitted_bytes: int
    limit_bytes: int

    @property
    def used_bytes(self) -> int:
        return self.kept_bytes + self.unsubmitted_bytes


def unsubmitted_uploads(*, now: datetime | None = None) -> QuerySet[Upload]:
    """Uploads of archives that were neither submitted nor expired, newest first."""
    return Upload.objects.filter(
        expires_at__gt=now or timezone.now(),
        submission__isnull=True,
        purpose=Upload.Purpose.ARCHIVE,
    ).order_by("-created_at")


def storage_use(team: Team, *, now: datetime | None = None) -> StorageUse:
    """Return what a team's files take (two queries; ``team.challenge`` loaded)."""
    submissions = Submission.objects.filter(entry__team=team, archive_removed_at__isnull=True)
    members = Membership.objects.filter(team=team).values("user")
    uploads = unsubmitted_uploads(now=now).filter(user__in=members)
    return StorageUse(
        kept_bytes=submissions.aggregate(total=Sum("archive_bytes"))["total"] or 0,
        unsubmitted_bytes=uploads.aggregate(total=Sum("length_bytes"))["total"] or 0,
        limit_bytes=team.challenge.team_archives_bytes,
    )


def check_participant(user: User) -> None:
    """Refuse who takes part in no challenge: nothing of theirs could be submitted.

    Raises NotAllowed ``upload-not-registered``.
    """
    approved = Registration.objects.filter(user=user, state=Registration.State.APPROVED)
    if not (approved.exists() or roles.organises_any(user)):
        raise refuse("upload-not-registered")


def check_file(length_bytes: int) -> None:
    """Refuse one file above the limit. Raises TooLarge ``upload-too-large``."""
    limit_bytes = int(settings.UPLOAD_LIMIT_BYTES)
    if length_bytes > limit_bytes:
        raise refuse("upload-too-large", found_bytes=length_bytes, allowed_bytes=limit_bytes)


def check_person(user: User, *, length_bytes: int, now: datetime) -> None:
    """Refuse one upload more when a person's uploads are too many or too large together.

    Raises Refusal ``upload-count``, TooLarge ``upload-quota``.
    """
    uploads = unsubmitted_uploads(now=now).filter(user=user)
    count_limit, bytes_limit = int(settings.UPLOAD_USER_COUNT), int(settings.UPLOAD_USER_BYTES)
    if uploads.count() >= count_limit:
        raise refuse("upload-count", limit=count_limit)
    total_bytes = length_bytes + (uploads.aggregate(total=Sum("length_bytes"))["total"] or 0)
    if total_bytes > bytes_limit:
        raise refuse("upload-quota", found_bytes=total_bytes, allowed_bytes=bytes_limit)


def check_team(team: Team, *, more_bytes: int, now: datetime | None = None) -> None:
    """Refuse an archive of ``more_bytes`` that was uploaded and is to be kept from now on.

    Raises TooLarge ``team-archives-full``. The platform's own team has no limit.
    """
    if team.is_platform:
        return
    use = storage_use(team, now=now)
    if use.kept_bytes + more_bytes > use.limit_bytes:
        raise refuse(
            "team-archives-full",
            found_bytes=use.kept_bytes + more_bytes,
            allowed_bytes=use.limit_bytes,
        )


def check_teams(
    user: User, *, length_bytes: int, challenge: str = "", now: datetime | None = None
) -> None:
    """Refuse an upload that fits none of the person's teams.

    ``challenge`` is the slug of the one that the client named, if any. Raises
    TooLarge ``team-archives-full``.
    """
    teams = Team.objects.filter(memberships__user=user, is_platform=False)
    named = teams.filter(challenge__slug=challenge) if challenge else teams.none()
    uses = [storage_use(team, now=now) for team in (named or teams).select_related("challenge")]
    if not uses or any(use.used_bytes + length_bytes <= use.limit_bytes for use in uses):
        return
    freest = min(uses, key=lambda use: use.used_bytes - use.limit_bytes)
    raise refuse(
        "team-archives-full",
        found_bytes=freest.used_bytes + length_bytes,
        allowed_bytes=freest.limit_bytes,
    )


def expires_at(upload: Upload, received_bytes: int, *, now: datetime) -> datetime:
    """When an upload expires that holds ``received_bytes``.

    A complete one has the whole time to be submitted. Before that each byte adds its share of one
    more such time: a byte now and then keeps no upload alive.
    """
    whole = timedelta(seconds=settings.UPLOAD_EXPIRY_S)
    if received_bytes >= upload.length_bytes:
        return now + whole
    share = received_bytes / upload.length_bytes
    return max(upload.expires_at, upload.created_at + whole * (1 + share))
