"""How much room a team's archives take in a challenge, and how much they may take.

Counted are the archives that its submissions keep and what its members have uploaded or declared
and not submitted. A rejected archive costs no place of the quota, so without this a team could fill
the disk with them. The limit guards a disk: two requests of one moment may pass it by one archive.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Sum
from django.utils import timezone

from challenge.errors import refuse
from challenge.models import Membership, Submission, Team, Upload, User


@dataclass(frozen=True)
class Space:
    """Bytes of a team's kept archives, of its members' open uploads, and what is allowed."""

    kept_bytes: int
    open_bytes: int
    limit_bytes: int

    @property
    def used_bytes(self) -> int:
        return self.kept_bytes + self.open_bytes


def of(team: Team, *, now: datetime | None = None) -> Space:
    """Return a team's space (two queries; ``team.challenge`` loaded)."""
    kept = Submission.objects.filter(entry__team=team, archive_removed_at__isnull=True)
    waiting = Upload.objects.filter(
        user__in=Membership.objects.filter(team=team).values("user"),
        expires_at__gt=now or timezone.now(),
        submission__isnull=True,
    )
    return Space(
        kept_bytes=kept.aggregate(total=Sum("archive_bytes"))["total"] or 0,
        open_bytes=waiting.aggregate(total=Sum("length_bytes"))["total"] or 0,
        limit_bytes=team.challenge.team_archives_bytes,
    )


def check(team: Team, *, more_bytes: int, now: datetime | None = None) -> None:
    """Refuse an archive of ``more_bytes`` that is here already, to be kept from now on.

    Raises TooLarge ``team-archives-full``. The platform's own team has no limit.
    """
    if team.is_platform:
        return
    space = of(team, now=now)
    if space.kept_bytes + more_bytes > space.limit_bytes:
        raise refuse(
            "team-archives-full",
            found_bytes=space.kept_bytes + more_bytes,
            allowed_bytes=space.limit_bytes,
        )


def check_upload(
    user: User, *, length_bytes: int, challenge: str = "", now: datetime | None = None
) -> None:
    """Refuse an upload for which none of the person's teams has room.

    ``challenge`` is the slug of the one that it is meant for, where the client said so. Raises
    TooLarge ``team-archives-full``.
    """
    teams = Team.objects.filter(memberships__user=user, is_platform=False)
    meant = teams.filter(challenge__slug=challenge) if challenge else teams.none()
    spaces = [of(team, now=now) for team in (meant or teams).select_related("challenge")]
    if not spaces or any(one.used_bytes + length_bytes <= one.limit_bytes for one in spaces):
        return
    least = min(spaces, key=lambda one: one.used_bytes - one.limit_bytes)
    raise refuse(
        "team-archives-full",
        found_bytes=least.used_bytes + length_bytes,
        allowed_bytes=least.limit_bytes,
    )
