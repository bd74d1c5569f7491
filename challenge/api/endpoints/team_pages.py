"""Teams and people as others see them: what their pages show."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.http import HttpRequest
from ninja import Router, Schema

from challenge.api.access import ANYONE
from challenge.api.endpoints.teams import Choices, TeamOut
from challenge.api.types import RowId, Slug
from challenge.selectors import pages, team_pages
from challenge.selectors import teams as selectors
from challenge.selectors.team_pages import TeamPage

router = Router(tags=["teams"])


class RankStepOut(Schema):
    """From a moment on the team had a rank."""

    at: datetime
    rank: int


class ScoreStepOut(Schema):
    """A scored submission: its mIoU as it may leave; `rises` where it raised the team's best."""

    at: datetime
    number: int
    miou: float | None
    rises: bool


class MethodOut(ScoreStepOut):
    """A scored submission with what the team says of its method; empty where it shows none."""

    method: str
    description: str
    external_data: str
    code_url: str
    paper_url: str


class StandingOut(Schema):
    """A team in a phase: null and empty where the phase or the team does not show it.

    `ranks` and `scores` are over time, `methods` those on the leaderboard, `history` every scored
    submission; the last two have the latest first.
    """

    phase: str
    rank: int | None
    miou: float | None
    submission_count: int | None
    method: str
    ranks: list[RankStepOut]
    scores: list[ScoreStepOut]
    methods: list[MethodOut]
    history: list[MethodOut]


class TeamPageOut(TeamOut):
    """A team with what you see of it in each phase. ``members`` is empty where it hides them."""

    shown: Choices
    standings: list[StandingOut]


class TeamOfPerson(Schema):
    """A team of a person, as a stranger sees it."""

    challenge: str
    id: int
    name: str
    standings: list[StandingOut]


class PersonOut(Schema):
    """A person who shows a page. Teams that hide their members are left out."""

    id: int
    username: str
    affiliation: str
    teams: list[TeamOfPerson]


@router.get("/challenges/{slug}/teams/{team_id}", response=TeamPageOut, auth=ANYONE)
def get_team(request: HttpRequest, slug: Slug, team_id: RowId) -> dict[str, Any]:
    """A team of a challenge, as you see it: what its page shows."""
    challenge = pages.challenge_by_slug(slug, user=request.user)
    team = selectors.get(team_id, challenge=challenge)
    statuses = pages.phase_statuses(challenge, user=request.user)
    for status in statuses:
        status.phase.challenge = challenge
    page = team_pages.of_team(team, phases=[status.phase for status in statuses], user=request.user)
    return {
        "id": team.pk,
        "name": team.name,
        "affiliation": team.affiliation,
        "members": page.members,
        "shown": asdict(page.shown),
        "standings": _standings(page),
    }


@router.get("/people/{person_id}", response=PersonOut, auth=ANYONE)
def get_person(request: HttpRequest, person_id: RowId) -> dict[str, Any]:
    """A person who shows a page, with the teams that name their members."""
    found = team_pages.of_person(person_id, user=request.user)
    return {
        "id": found.person.pk,
        "username": found.person.username,
        "affiliation": found.person.affiliation,
        "teams": [
            {
                "challenge": page.team.challenge.slug,
                "id": page.team.pk,
                "name": page.team.name,
                "standings": _standings(page),
            }
            for page in found.pages
        ],
    }


def _standings(page: TeamPage) -> list[dict[str, Any]]:
    return [
        {
            "phase": f"{page.team.challenge.slug}/{one.phase.slug}",
            "rank": one.row.rank if one.row else None,
            "miou": one.row.miou if one.row else None,
            "submission_count": one.row.submission_count if one.row else None,
            "method": one.row.method if one.row else "",
            "ranks": one.ranks.steps if one.ranks else [],
            "scores": one.steps,
            "methods": one.methods,
            "history": one.history,
        }
        for one in page.standings
    ]
