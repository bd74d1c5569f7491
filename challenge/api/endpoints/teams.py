"""Teams: one's own and others', invitations, merges."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from django.conf import settings
from django.db import transaction
from ninja import Router, Schema
from pydantic import Field

from challenge.api.access import READ, SUBMIT, SignedInRequest
from challenge.api.types import TEXT_PATTERN, Done, Flag, Given, RowId, Slug
from challenge.errors import refuse
from challenge.models import Challenge, MergeRequest, Team, User
from challenge.selectors import pages
from challenge.selectors import people as people_selectors
from challenge.selectors import teams as selectors
from challenge.services.teams import merges, teams

router = Router(tags=["teams"])

TEAM = "/challenges/{slug}/team"
Name = Annotated[str, Field(max_length=60, pattern=TEXT_PATTERN)]
Affiliation = Annotated[str, Field(max_length=200, pattern=TEXT_PATTERN)]
Username = Annotated[str, Field(max_length=150, pattern=TEXT_PATTERN)]


class MemberOut(Schema):
    """A team mate."""

    username: str
    role: str
    joined_at: datetime


class TeamOut(Schema):
    """A team as everyone sees it."""

    id: int
    name: str
    affiliation: str
    members: list[MemberOut]


class Choices(Schema):
    """What a team's page shows to others than its members and organisers."""

    members: bool
    methods: bool
    ranks: bool
    history: bool


class InvitationOut(Schema):
    """An open invitation; its token is shown once, to who made it."""

    id: int
    email: str
    expires_at: datetime


class NewInvitation(InvitationOut):
    """An invitation just made, with its link."""

    token: str
    url: str


class MergeOut(Schema):
    """Another team asks to merge."""

    id: int
    from_team: str
    from_team_id: int
    created_at: datetime


class MyTeam(TeamOut):
    """One's own team, with what waits for an answer."""

    role: str
    shows: Choices
    invitations: list[InvitationOut]
    merge_requests: list[MergeOut]


class TeamIn(Given):
    """A new team."""

    name: Name
    affiliation: Affiliation = ""


class ShownIn(Given):
    """What the team's page shows to others; what is left out stays."""

    members: Flag | None = None
    methods: Flag | None = None
    ranks: Flag | None = None
    history: Flag | None = None


class TeamChange(Given):
    """What is to change; what is left out stays."""

    name: Name | None = None
    affiliation: Affiliation | None = None
    shows: ShownIn | None = None


class CaptainIn(Given):
    """Who takes over."""

    username: Username


class InvitationIn(Given):
    """To whom; empty: whoever has the link."""

    email: Annotated[str, Field(max_length=254, pattern=TEXT_PATTERN)] = ""


class TokenIn(Given):
    """The token of an invitation."""

    token: Annotated[str, Field(max_length=100, pattern=TEXT_PATTERN)]


class MergeIn(Given):
    """The team to merge with."""

    team_id: Annotated[RowId, Field(strict=True)]


class AnswerIn(Given):
    """Yes or no."""

    accepted: Flag


def _mine(request: SignedInRequest, slug: str) -> tuple[Challenge, Team]:
    challenge = pages.challenge_by_slug(slug, user=request.user)
    team = people_selectors.team_of(request.user, challenge)
    if team is None:
        raise refuse("not-registered", challenge=challenge.slug)
    team.challenge = challenge
    return challenge, team


def _my_team(request: SignedInRequest, slug: str) -> dict[str, Any]:
    _challenge, team = _mine(request, slug)
    members = selectors.members(team)
    me = next(member for member in members if member.username == request.user.username)
    return {
        "id": team.pk,
        "name": team.name,
        "affiliation": team.affiliation,
        "members": members,
        "role": me.role,
        "shows": Choices(
            members=team.shows_members,
            methods=team.shows_methods,
            ranks=team.shows_ranks,
            history=team.shows_history,
        ),
        "invitations": list(selectors.open_invitations(team)),
        "merge_requests": [
            MergeOut(
                id=merge_request.pk,
                from_team=merge_request.from_team.name,
                from_team_id=merge_request.from_team_id,
                created_at=merge_request.created_at,
            )
            for merge_request in selectors.open_merge_requests(team)
        ],
    }


@router.get(TEAM, response=MyTeam, auth=READ)
def get_my_team(request: SignedInRequest, slug: Slug) -> dict[str, Any]:
    """One's own team in a challenge."""
    return _my_team(request, slug)


@router.post(TEAM, response=MyTeam, auth=SUBMIT)
def create_team(request: SignedInRequest, slug: Slug, given: TeamIn) -> dict[str, Any]:
    """Found a team and lead it, leaving a team of one that has not submitted."""
    challenge = pages.challenge_by_slug(slug, user=request.user)
    teams.create(
        user=request.user,
        challenge=challenge,
        name=given.name,
        affiliation=given.affiliation,
    )
    return _my_team(request, slug)


@router.patch(TEAM, response=MyTeam, auth=SUBMIT)
def change_team(request: SignedInRequest, slug: Slug, given: TeamChange) -> dict[str, Any]:
    """Rename one's team, correct its affiliation, say what its page shows (captain)."""
    _challenge, team = _mine(request, slug)
    with transaction.atomic():
        if given.shows is not None:
            wanted = given.shows.model_dump(exclude_none=True)
            choices = {f"shows_{name}": value for name, value in wanted.items()}
            teams.choose_shown(team=team, actor=request.user, choices=choices)
        teams.rename(
            team=team,
            actor=request.user,
            name=team.name if given.name is None else given.name,
            affiliation=given.affiliation,
        )
    return _my_team(request, slug)


@router.post(f"{TEAM}/leave", response=Done, auth=SUBMIT)
def leave_team(request: SignedInRequest, slug: Slug) -> Done:
    """Leave a team that has not submitted yet; one is a team of one again."""
    _challenge, team = _mine(request, slug)
    teams.leave(team=team, actor=request.user)
    return Done()


@router.post(f"{TEAM}/captain", response=MyTeam, auth=SUBMIT)
def transfer_captain(request: SignedInRequest, slug: Slug, given: CaptainIn) -> dict[str, Any]:
    """Hand the captain's role to a team mate."""
    _challenge, team = _mine(request, slug)
    teams.transfer_captain(team=team, actor=request.user, to=_mate(team, given.username))
    return _my_team(request, slug)


@router.delete(f"{TEAM}/members/{{username}}", response=MyTeam, auth=SUBMIT)
def remove_member(request: SignedInRequest, slug: Slug, username: Username) -> dict[str, Any]:
    """Remove a team mate (captain) while nothing was submitted."""
    _challenge, team = _mine(request, slug)
    teams.check_captain(team, request.user)
    teams.remove_member(team=team, actor=request.user, user=_mate(team, username))
    return _my_team(request, slug)


def _mate(team: Team, username: str) -> User:
    member = User.objects.filter(username=username, memberships__team=team).first()
    if member is None:
        raise refuse("not-found")
    return member


@router.post(f"{TEAM}/invitations", response=NewInvitation, auth=SUBMIT)
def invite(request: SignedInRequest, slug: Slug, given: InvitationIn) -> dict[str, Any]:
    """Make an invitation (captain). Its link is mailed to `email`; without one, pass it on."""
    _challenge, team = _mine(request, slug)
    invitation, token = merges.invite(team=team, actor=request.user, email=given.email)
    return {
        "id": invitation.pk,
        "email": invitation.email,
        "expires_at": invitation.expires_at,
        "token": token,
        "url": f"{settings.SITE_URL}/invitations/{token}",
    }


@router.delete(f"{TEAM}/invitations/{{invitation_id}}", response=Done, auth=SUBMIT)
def revoke_invitation(request: SignedInRequest, slug: Slug, invitation_id: RowId) -> Done:
    """Withdraw an open invitation (captain)."""
    _challenge, team = _mine(request, slug)
    invitation = team.invitations.select_related("team").filter(pk=invitation_id).first()
    if invitation is None:
        raise refuse("not-found")
    merges.revoke(invitation=invitation, actor=request.user)
    return Done()


@router.post("/invitations/accept", response=TeamOut, auth=SUBMIT)
def accept_invitation(request: SignedInRequest, given: TokenIn) -> dict[str, Any]:
    """Join the team of an invitation."""
    team = merges.accept(token=given.token, user=request.user)
    return _team_out(team)


@router.post(f"{TEAM}/merge-requests", response=Done, auth=SUBMIT)
def ask_merge(request: SignedInRequest, slug: Slug, given: MergeIn) -> Done:
    """Ask another team to merge with one's own (captain)."""
    challenge, team = _mine(request, slug)
    other = selectors.get(given.team_id, challenge=challenge)
    merges.ask(from_team=team, to_team=other, actor=request.user)
    return Done()


@router.post(f"{TEAM}/merge-requests/{{request_id}}", response=MyTeam, auth=SUBMIT)
def answer_merge(
    request: SignedInRequest, slug: Slug, request_id: RowId, given: AnswerIn
) -> dict[str, Any]:
    """Answer another team's request (captain); accepted, its people and submissions come over."""
    _challenge, team = _mine(request, slug)
    asked = MergeRequest.objects.filter(pk=request_id, to_team=team).first()
    if asked is None:
        raise refuse("not-found")
    merges.answer(request=asked, actor=request.user, accepted=given.accepted)
    return _my_team(request, slug)


def _team_out(team: Team) -> dict[str, Any]:
    return {
        "id": team.pk,
        "name": team.name,
        "affiliation": team.affiliation,
        "members": selectors.members(team),
    }
