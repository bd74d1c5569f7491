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
from challenge.rules import disclosure
from challenge.selectors import leaderboard, people, phase_disclosure, scores
from challenge.selectors.leaderboard import Row
from challenge.selectors.roles import Person


@dataclass(frozen=True)
class Member:
    """A team mate: the username is public, the role tells the captain."""

    username: str
    role: str
    joined_at: datetime


@dataclass(frozen=True)
class Step:
    """A submission on the way up: when, and the value as it may leave."""

    at: datetime
    number: int
    miou: float | None
    best: float | None


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
        Member(membership.user.username, membership.role, membership.joined_at)
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


def progress(
    team: Team, *, phase: Phase, user: Person = None, now: datetime | None = None
) -> list[Step]:
    """Return a team's scores in a phase over time, where the viewer may see its board.

    Members see their own under every visibility but organisers'; others see a team's rises
    alone, as the board showed them. At most four queries.
    """
    now = now or timezone.now()
    viewer = people.viewer_of_phase(user, phase)
    mine = people.team_of(user, phase.challenge) == team
    as_whom = disclosure.Viewer.OWNER if mine else viewer
    if not phase_disclosure.score_visible(phase, viewer=as_whom, now=now):
        return []
    policy = phase_disclosure.policy_for(phase, viewer=viewer, now=now)
    steps: list[Step] = []
    best: float | None = None
    rows = (
        scores.counting(phase)
        .filter(evaluation__submission__entry__team=team)
        .order_by("evaluation__submission__number", "-evaluation__revision")
        .distinct("evaluation__submission__number")
        .values_list(
            "evaluation__submission__created_at",
            "evaluation__submission__number",
            "miou",
            "rounded_miou",
        )
    )
    for at, number, full, rounded in rows:
        if phase_disclosure.is_after_freeze(phase, at) and not (
            as_whom is disclosure.Viewer.ORGANISER
            or (mine and phase_disclosure.score_visible(phase, viewer=as_whom, submitted_at=at))
        ):
            continue
        miou = disclosure.disclose_miou(full, rounded, policy=policy)
        rises = miou is not None and (best is None or miou > best)
        if rises:
            best = miou
        if not (rises or mine or viewer is disclosure.Viewer.ORGANISER):
            continue
        steps.append(Step(at=at, number=number, miou=miou, best=best))
    return steps


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
