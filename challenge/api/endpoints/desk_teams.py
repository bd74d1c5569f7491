"""Teams as organisers see them: disqualified and reinstated, granted more than others."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from ninja import Router, Schema
from pydantic import Field

from challenge.api import paging
from challenge.api.access import ORGANISE, SignedInRequest
from challenge.api.desk_access import CHALLENGE, Moment, Reason, challenge_of
from challenge.api.types import (
    LIMIT_DEFAULT,
    TEXT_PATTERN,
    Cursor,
    Done,
    Flag,
    Given,
    Limit,
    RowId,
    Slug,
)
from challenge.errors import refuse
from challenge.models import Grant
from challenge.rules.roles import Act
from challenge.selectors import desk_teams as selector
from challenge.selectors import grants as grants_selector
from challenge.selectors import pages
from challenge.services.teams import disqualifications, grants

router = Router(tags=["organisers"])

TEAM = f"{CHALLENGE}/teams/{{team_id}}"
Search = Annotated[str, Field(max_length=100, pattern=TEXT_PATTERN)]


class DeskTeamLine(Schema):
    """A team that takes part."""

    id: int
    name: str
    affiliation: str
    created_at: datetime
    member_count: int
    submission_count: int
    is_disqualified: bool


class DeskTeams(Schema):
    """A page of teams, the newest first."""

    items: list[DeskTeamLine]
    next_cursor: str | None


class VerdictIn(Given):
    """Why; the team's members are mailed it."""

    reason: Reason


class LiftIn(Given):
    """Why it competes again; the team's members are mailed it."""

    reason: Annotated[str, Field(max_length=2000, pattern=TEXT_PATTERN)] = ""


class GrantIn(Given):
    """A late entry, or places beyond the limits, until a moment.

    Refused once values of the phase's labels could leave in full precision.
    """

    phase: Slug
    late: Flag = False
    extra_places: Annotated[int, Field(ge=0, le=grants.PLACES_LIMIT, strict=True)] = 0
    until: Moment
    reason: Reason


class GrantOut(Schema):
    """What a team was granted in a phase; ``withdrawn_at`` null: it holds until ``until``."""

    id: int
    phase: str
    late: bool
    extra_places: int
    until: datetime
    reason: str
    granted_by: str | None
    granted_at: datetime
    withdrawn_at: datetime | None


class Grants(Schema):
    """All grants of a team, the newest first."""

    items: list[GrantOut]


@router.get(f"{CHALLENGE}/teams", response=DeskTeams, auth=ORGANISE)
def list_teams(
    request: SignedInRequest,
    slug: Slug,
    search: Search = "",
    only: Literal["", "disqualified", "submitted"] = "",
    cursor: Cursor | None = None,
    limit: Limit = LIMIT_DEFAULT,
) -> dict[str, Any]:
    """The teams; ``search`` is a part of the team's, a member's or the affiliation's name."""
    rows = selector.rows(challenge_of(request, slug, Act.READ), search=search.strip(), only=only)
    teams, next_cursor = paging.page(rows, cursor=cursor, limit=limit)
    items = [{name: getattr(team, name) for name in DeskTeamLine.model_fields} for team in teams]
    return {"items": items, "next_cursor": next_cursor}


@router.post(f"{TEAM}/disqualify", response=Done, auth=ORGANISE)
def disqualify_team(request: SignedInRequest, slug: Slug, team_id: RowId, given: VerdictIn) -> Done:
    """Take a team off the leaderboards: its lines go, it neither submits nor merges."""
    challenge = challenge_of(request, slug, Act.VERDICTS)
    team = selector.get(challenge, team_id)
    disqualifications.disqualify(team=team, actor=request.user, reason=given.reason)
    return Done()


@router.post(f"{TEAM}/reinstate", response=Done, auth=ORGANISE)
def reinstate_team(request: SignedInRequest, slug: Slug, team_id: RowId, given: LiftIn) -> Done:
    """Let a disqualified team compete again; its lines come back."""
    challenge = challenge_of(request, slug, Act.VERDICTS)
    team = selector.get(challenge, team_id)
    disqualifications.lift(team=team, actor=request.user, reason=given.reason)
    return Done()


@router.get(f"{TEAM}/grants", response=Grants, auth=ORGANISE)
def list_grants(request: SignedInRequest, slug: Slug, team_id: RowId) -> dict[str, Any]:
    """What a team was granted, also what is over or withdrawn."""
    team = selector.get(challenge_of(request, slug, Act.READ), team_id)
    return {"items": [_grant_out(grant) for grant in grants_selector.of_team(team.pk)]}


@router.post(f"{TEAM}/grants", response=GrantOut, auth=ORGANISE)
def give_grant(
    request: SignedInRequest, slug: Slug, team_id: RowId, given: GrantIn
) -> dict[str, Any]:
    """Grant a team a late entry or places beyond the limits; it is mailed."""
    team = selector.get(challenge_of(request, slug, Act.PEOPLE), team_id)
    made = grants.give(
        team=team,
        phase=pages.phase_by_slug(slug, given.phase, user=request.user),
        actor=request.user,
        until=given.until,
        reason=given.reason,
        late=given.late,
        extra_places=given.extra_places,
    )
    return _grant_out(made)


@router.delete(f"{CHALLENGE}/grants/{{grant_id}}", response=Done, auth=ORGANISE)
def withdraw_grant(request: SignedInRequest, slug: Slug, grant_id: RowId) -> Done:
    """Withdraw a grant; what was submitted under it stays."""
    challenge = challenge_of(request, slug, Act.PEOPLE)
    found = Grant.objects.filter(phase__challenge=challenge, pk=grant_id)
    grant = found.select_related("phase__challenge").first()
    if grant is None:
        raise refuse("not-found")
    grants.withdraw(grant=grant, actor=request.user)
    return Done()


def _grant_out(grant: Grant) -> dict[str, Any]:
    return {
        "id": grant.pk,
        "phase": grant.phase.slug,
        "late": grant.late,
        "extra_places": grant.extra_places,
        "until": grant.until,
        "reason": grant.reason,
        "granted_by": grant.granted_by.username if grant.granted_by else None,
        "granted_at": grant.granted_at,
        "withdrawn_at": grant.withdrawn_at,
    }
