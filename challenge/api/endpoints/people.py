"""The person who asks: who they are here, what their token may do."""

from __future__ import annotations

from datetime import datetime

from ninja import Router, Schema

from challenge.api.access import READ, SUBMIT, SignedInRequest
from challenge.api.types import Given, Slug
from challenge.errors import refuse
from challenge.models import Registration
from challenge.rules.roles import Role
from challenge.selectors import pages, roles
from challenge.selectors import people as people_selectors
from challenge.selectors import teams as teams_selectors
from challenge.services.teams import teams

router = Router(tags=["account"])


class RegistrationOut(Schema):
    """A person's part in a challenge."""

    challenge: str
    state: str
    terms_version: str
    accepted_at: datetime
    team: str | None = None
    team_id: int | None = None


class Me(Schema):
    """The person and their token."""

    username: str
    language: str
    scopes: list[str]
    token_expires_at: datetime | None
    registrations: list[RegistrationOut]
    organises: list[str]
    roles: dict[str, Role]


class Accept(Given):
    """Acceptance of the rules, by the version that was read."""

    accept_terms_version: str


def registration_out(registration: Registration) -> RegistrationOut:
    """A registration with the person's team."""
    membership = people_selectors.membership_of(registration.user, registration.challenge)
    return RegistrationOut(
        challenge=registration.challenge.slug,
        state=registration.state,
        terms_version=registration.terms_version,
        accepted_at=registration.accepted_at,
        team=membership.team.name if membership else None,
        team_id=membership.team_id if membership else None,
    )


@router.get("/me", response=Me, auth=READ)
def get_me(request: SignedInRequest) -> Me:
    """Who is asking: name, scopes, challenges and teams."""
    user = request.user
    identity = request.auth
    in_teams = {
        team_of_user.challenge_id: team_of_user.team
        for team_of_user in teams_selectors.of_user(user)
    }
    registrations = Registration.objects.filter(user=user).select_related("challenge")
    held = roles.held_by(user).select_related("challenge").order_by("challenge__slug")
    return Me(
        username=user.username,
        language=user.language,
        scopes=sorted(identity.scopes),
        token_expires_at=identity.token.expires_at if identity.token else None,
        registrations=[
            RegistrationOut(
                challenge=registration.challenge.slug,
                state=registration.state,
                terms_version=registration.terms_version,
                accepted_at=registration.accepted_at,
                team=team.name if (team := in_teams.get(registration.challenge_id)) else None,
                team_id=team.pk if team else None,
            )
            for registration in registrations
        ],
        organises=[row.challenge.slug for row in held],
        roles={row.challenge.slug: Role(row.role) for row in held},
    )


@router.get("/challenges/{slug}/registration", response=RegistrationOut, auth=READ)
def get_registration(request: SignedInRequest, slug: Slug) -> RegistrationOut:
    """One's own registration to a challenge; 403 `not-registered` without one."""
    challenge = pages.challenge_by_slug(slug, user=request.user)
    registration = people_selectors.registration_of(request.user, challenge)
    if registration is None:
        raise refuse("not-registered", challenge=challenge.slug)
    return registration_out(registration)


@router.post("/challenges/{slug}/registration", response=RegistrationOut, auth=SUBMIT)
def register(request: SignedInRequest, slug: Slug, given: Accept) -> RegistrationOut:
    """Take part: accept the rules and get a team of one."""
    challenge = pages.challenge_by_slug(slug, user=request.user)
    registration = teams.register(
        user=request.user,
        challenge=challenge,
        accept_terms_version=given.accept_terms_version,
    )
    return registration_out(registration)
