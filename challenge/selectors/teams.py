"""Teams as others see them, and as their members do."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q, QuerySet
from django.utils import timezone

from challenge.errors import refuse
from challenge.models import (
    Challenge,
    Invitation,
    Membership,
    MergeRequest,
    Phase,
    Submission,
    Team,
)
from challenge.selectors import leaderboard, people, phase_disclosure
from challenge.selectors.leaderboard import Row
from challenge.selectors.roles import Person


@dataclass(frozen=True)
class Member:
    """A team mate: the role tells the captain. ``person_id``: the person has a public page."""

    username: str
    role: str
    joined_at: datetime
    person_id: int | None = None


def get(team_id: int, *, challenge: Challenge) -> Team:
    """Return a team of a challenge. Raises NotFound, also for teams merged into another."""
    team = (
        Team.objects.select_related("challenge")
        .filter(pk=team_id, challenge=challenge, merged_into__isnull=True)
        .first()
    )
    if team is None:
        raise refuse("not-found")
    return team


def members(team: Team) -> list[Member]:
    """Return a team's members, captain first (one query)."""
    members_shown = [
        Member(
            membership.user.username,
            membership.role,
            membership.joined_at,
            membership.user_id if membership.user.shows_page else None,
        )
        for membership in team.memberships.select_related("user").order_by("joined_at")
    ]
    return sorted(members_shown, key=lambda member: member.role != Membership.Role.CAPTAIN)


def of_user(user: Person) -> list[Membership]:
    """Return a person's memberships with team and challenge (one query)."""
    if user is None or not user.is_authenticated:
        return []
    return list(
        Membership.objects.filter(user=user.pk)
        .select_related("team", "challenge")
        .order_by("challenge__sort_order")
    )


def open_invitations(team: Team, *, now: datetime | None = None) -> QuerySet[Invitation]:
    """Return a team's invitations that can still be accepted."""
    return team.invitations.filter(
        accepted_at__isnull=True, revoked_at__isnull=True, expires_at__gt=now or timezone.now()
    )


def open_merge_requests(team: Team) -> QuerySet[MergeRequest]:
    """Return the merges other teams ask of a team and that wait for its answer."""
    return team.merge_requests_received.filter(answered_at__isnull=True).select_related("from_team")


def leaderboard_row(
    team: Team, *, phase: Phase, user: Person = None, now: datetime | None = None
) -> Row | None:
    """Return a team's row of a leaderboard as a person may see it (two queries at most)."""
    viewer = people.viewer_of_phase(user, phase)
    if not phase_disclosure.leaderboard_visible(phase, viewer=viewer, now=now):
        return None
    policy = phase_disclosure.policy_for(phase, viewer=viewer, now=now)
    rows = leaderboard.rows_where(
        phase, Q(entry__team=team.pk, submission__is_baseline=False), policy=policy
    )
    return rows[0] if rows else None


def has_submitted(team: Team) -> bool:
    """Say whether a team submitted anything (its members then stay)."""
    return Submission.objects.filter(entry__team=team).exists()
