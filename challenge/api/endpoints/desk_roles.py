"""The desk's people: roles and invitations to them. Owners change them, every organiser reads."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from ninja import Router, Schema
from pydantic import Field

from challenge.api.access import ORGANISE, SignedInRequest
from challenge.api.desk_access import CHALLENGE, Moment, challenge_of
from challenge.api.types import TEXT_PATTERN, Done, Given, RowId, Slug
from challenge.errors import refuse
from challenge.models import Challenge, Invitation, User
from challenge.rules.roles import Act, Role
from challenge.selectors import roles as selector
from challenge.services.challenges import roles as service

router = Router(tags=["organisers"])

Username = Annotated[str, Field(max_length=150, pattern=TEXT_PATTERN)]


class RoleOut(Schema):
    """A person's role; ``expires_at`` null: it has no end."""

    username: str
    role: Role
    expires_at: datetime | None
    granted_by: str | None
    granted_at: datetime | None


class RoleInvitationOut(Schema):
    """An invitation to a role that can still be accepted, by its link, which is mailed."""

    id: int
    email: str
    role: Role
    role_expires_at: datetime | None
    expires_at: datetime


class Roles(Schema):
    """Who organises the challenge. ``invitations`` is null for who may not invite."""

    items: list[RoleOut]
    invitations: list[RoleInvitationOut] | None


class RoleIn(Given):
    """The role, and when it ends (null: it does not)."""

    role: Role
    expires_at: Moment | None = None


class RoleInvitationIn(RoleIn):
    """Whom to invite; the role begins when the invitation is accepted on the site."""

    email: Annotated[str, Field(min_length=1, max_length=254, pattern=TEXT_PATTERN)]


@router.get(f"{CHALLENGE}/roles", response=Roles, auth=ORGANISE)
def list_roles(request: SignedInRequest, slug: Slug) -> dict[str, Any]:
    """Who organises the challenge, as what and until when."""
    challenge = challenge_of(request, slug, Act.READ)
    may_invite = selector.may(request.user, Act.ROLES, challenge)
    return {
        "items": [_role_out(row) for row in selector.of_challenge(challenge)],
        "invitations": [_invitation_out(one) for one in selector.open_invitations(challenge)]
        if may_invite
        else None,
    }


@router.post(f"{CHALLENGE}/role-invitations", response=RoleInvitationOut, auth=ORGANISE)
def invite_to_role(request: SignedInRequest, slug: Slug, given: RoleInvitationIn) -> dict[str, Any]:
    """Invite an address to a role; the link is mailed."""
    invited = service.invite(
        challenge=challenge_of(request, slug, Act.ROLES),
        actor=request.user,
        email=given.email,
        role=given.role,
        expires_at=given.expires_at,
    )
    return _invitation_out(invited)


@router.delete(f"{CHALLENGE}/role-invitations/{{invitation_id}}", response=Done, auth=ORGANISE)
def withdraw_role_invitation(request: SignedInRequest, slug: Slug, invitation_id: RowId) -> Done:
    """Withdraw an invitation to a role."""
    challenge = challenge_of(request, slug, Act.ROLES)
    found = selector.open_invitations(challenge).filter(pk=invitation_id)
    invitation = found.select_related("challenge").first()
    if invitation is None:
        raise refuse("not-found")
    service.withdraw(invitation=invitation, actor=request.user)
    return Done()


@router.patch(f"{CHALLENGE}/roles/{{username}}", response=RoleOut, auth=ORGANISE)
def change_role(
    request: SignedInRequest, slug: Slug, username: Username, given: RoleIn
) -> dict[str, Any]:
    """Change the role of a person who has one, or when it ends."""
    challenge = challenge_of(request, slug, Act.ROLES)
    changed = service.set_role(
        challenge=challenge,
        user=_person(challenge, username),
        role=given.role,
        expires_at=given.expires_at,
        actor=request.user,
    )
    return _role_out(changed)


@router.delete(f"{CHALLENGE}/roles/{{username}}", response=Done, auth=ORGANISE)
def revoke_role(request: SignedInRequest, slug: Slug, username: Username) -> Done:
    """Revoke a person's role; one's own, which everybody may give up."""
    is_own = username == request.user.username
    challenge = challenge_of(request, slug, Act.READ if is_own else Act.ROLES)
    service.revoke(challenge=challenge, user=_person(challenge, username), actor=request.user)
    return Done()


def _person(challenge: Challenge, username: str) -> User:
    for row in selector.of_challenge(challenge):
        if row.user.username == username:
            return row.user
    raise refuse("not-found")


def _role_out(row: Any) -> dict[str, Any]:
    return {
        "username": row.user.username,
        "role": row.role,
        "expires_at": row.expires_at,
        "granted_by": row.granted_by.username if row.granted_by else None,
        "granted_at": row.granted_at,
    }


def _invitation_out(invitation: Invitation) -> dict[str, Any]:
    return {
        "id": invitation.pk,
        "email": invitation.email,
        "role": invitation.role,
        "role_expires_at": invitation.role_expires_at,
        "expires_at": invitation.expires_at,
    }
