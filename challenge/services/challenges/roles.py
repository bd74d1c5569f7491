"""Roles on a challenge's desk: invited, accepted, changed, revoked, given up; all audited.

Nobody gets a role without accepting it: the person's team no longer ranks (decision 346). The last
owner stays. Only the operator's own commands (``actor`` None) give a role at once.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from challenge.errors import refuse
from challenge.models import Challenge, ChallengeRole, Invitation, User
from challenge.rules.roles import Act, Role
from challenge.selectors import roles
from challenge.services import audit, invitations, throttles
from challenge.services.leaderboard import ranks


def invite(
    *,
    challenge: Challenge,
    actor: User,
    email: str,
    role: Role,
    expires_at: datetime | None = None,
    now: datetime | None = None,
) -> Invitation:
    """Invite an address to a role (``Act.ROLES``); a worker mails the link.

    ``expires_at`` is when the role ends. Raises what `roles.require` raises, Conflict
    ``role-held``, Refusal ``role-expiry-invalid``, ``email-invalid``, ``invitation-open``,
    ``invited-often``, ``too-many-requests``.
    """
    now = now or timezone.now()
    roles.require(actor, Act.ROLES, challenge)
    email = email.strip()
    invitations.check_address(email)
    _check_expiry(expires_at, now=now)
    throttles.check_invitations(actor.pk)
    with transaction.atomic():
        _lock(challenge)
        of_address = roles.in_force(now=now).filter(challenge=challenge, user__email__iexact=email)
        if (held := of_address.first()) is not None:
            raise refuse("role-held", email=email, role=_word(held.role))
        invitation, _token = invitations.to_role(
            challenge, email=email, actor=actor, role=role, role_expires_at=expires_at, now=now
        )
        audit.record(
            "role.invite",
            actor=actor,
            challenge=challenge,
            target=f"invitation {invitation.pk}",
            now=now,
            role=role.value,
            expires_at=_plain(expires_at),
        )
    return invitation


def withdraw(*, invitation: Invitation, actor: User, now: datetime | None = None) -> None:
    """Withdraw an open invitation to a role (``Act.ROLES``)."""
    now = now or timezone.now()
    if invitation.challenge is None:
        raise refuse("not-found")
    roles.require(actor, Act.ROLES, invitation.challenge)
    if invitations.withdraw(Invitation.objects.filter(pk=invitation.pk), now=now):
        audit.record(
            "role.withdraw-invitation",
            actor=actor,
            challenge=invitation.challenge,
            target=f"invitation {invitation.pk}",
            now=now,
            role=invitation.role,
        )


def accept(*, token: str, user: User, now: datetime | None = None) -> ChallengeRole:
    """Take the role of an invitation, once.

    Raises ``invitation-over``, also for an invitation to a team or to a role that has ended,
    ``invitation-for-another``, Conflict ``role-held``.
    """
    now = now or timezone.now()
    with transaction.atomic():
        challenge = invitations.find(token, now=now).challenge
        if challenge is None:
            raise refuse("invitation-over")
        _lock(challenge)
        invitation = invitations.find(token, now=now)
        if invitation.role_expires_at is not None and invitation.role_expires_at <= now:
            raise refuse("invitation-over")
        held = roles.in_force(now=now).filter(challenge=challenge, user=user).first()
        if held is not None:
            raise refuse("role-held", email=user.email, role=_word(held.role))
        invitations.accept(invitation, user=user, now=now)
        return _write(
            challenge,
            user,
            role=Role(invitation.role),
            expires_at=invitation.role_expires_at,
            granted_by=invitation.created_by,
            actor=user,
            action="role.accept",
            now=now,
        )


def set_role(
    *,
    challenge: Challenge,
    user: User,
    role: Role,
    actor: User | None,
    expires_at: datetime | None = None,
    now: datetime | None = None,
) -> ChallengeRole:
    """Change the role that a person has, or when it ends (``Act.ROLES``).

    ``actor`` None, the operator's command, also gives a first one. Raises what `roles.require`
    raises, NotFound for a person without a role, Refusal ``role-expiry-invalid``, Conflict
    ``last-owner``.
    """
    now = now or timezone.now()
    if actor is not None:
        roles.require(actor, Act.ROLES, challenge)
    _check_expiry(expires_at, now=now)
    with transaction.atomic():
        _lock(challenge)
        held = roles.in_force(now=now).filter(challenge=challenge, user=user).first()
        if held is None and actor is not None:
            raise refuse("not-found")
        if held is not None and (held.role, held.expires_at) == (role.value, expires_at):
            return held
        if role is not Role.OWNER or expires_at is not None:
            _check_last_owner(challenge, user)
        return _write(
            challenge,
            user,
            role=role,
            expires_at=expires_at,
            granted_by=actor,
            actor=actor,
            action="role.change",
            now=now,
        )


def revoke(*, challenge: Challenge, user: User, actor: User, now: datetime | None = None) -> None:
    """End a person's role (``Act.ROLES``), or one's own, which everybody may give up.

    Its open invitations to roles end with it. Raises what `roles.require` raises, NotFound for a
    person without a role, Conflict ``last-owner``.
    """
    now = now or timezone.now()
    is_own = actor.pk == user.pk
    if not is_own:
        roles.require(actor, Act.ROLES, challenge)
    with transaction.atomic():
        _lock(challenge)
        held = roles.in_force(now=now).filter(challenge=challenge, user=user).first()
        if held is None:
            raise refuse("not-found")
        _check_last_owner(challenge, user)
        _write(
            challenge,
            user,
            role=Role(held.role),
            expires_at=now,
            granted_by=held.granted_by,
            actor=actor,
            action="role.leave" if is_own else "role.revoke",
            now=now,
        )


def _write(
    challenge: Challenge,
    user: User,
    *,
    role: Role,
    expires_at: datetime | None,
    granted_by: User | None,
    actor: User | None,
    action: str,
    now: datetime,
) -> ChallengeRole:
    """Write a person's role, what it was before into the trail, and the ranks that it moves."""
    row = ChallengeRole.objects.filter(challenge=challenge, user=user).first()
    before = _facts(row, now=now)
    row = row or ChallengeRole(challenge=challenge, user=user)
    row.role, row.expires_at = role.value, expires_at
    row.granted_by, row.granted_at = granted_by, now
    row.save()
    roles.forget(user)
    if role is not Role.OWNER or expires_at is not None:
        invitations.withdraw(challenge.role_invitations.filter(created_by=user), now=now)
    audit.record(
        action,
        actor=actor,
        challenge=challenge,
        target=user.username,
        now=now,
        before=before,
        after=_facts(row, now=now),
    )
    for phase in roles.phases_of(user, challenge=challenge):
        ranks.recompute(phase=phase, now=now)
    return row


def _facts(row: ChallengeRole | None, *, now: datetime) -> dict[str, Any]:
    if row is None or (row.expires_at is not None and row.expires_at <= now):
        return {"role": None}
    return {"role": row.role, "expires_at": _plain(row.expires_at)}


def _check_last_owner(challenge: Challenge, user: User) -> None:
    owners = roles.lasting_owners(challenge)
    if owners.filter(user=user).exists() and not owners.exclude(user=user).exists():
        raise refuse("last-owner", challenge=challenge.slug)


def _check_expiry(expires_at: datetime | None, *, now: datetime) -> None:
    if expires_at is not None and expires_at <= now:
        raise refuse("role-expiry-invalid")


def _lock(challenge: Challenge) -> None:
    """Let one change of a challenge's roles wait for the other: two owners never leave at once."""
    Challenge.objects.select_for_update().only("pk").get(pk=challenge.pk)


def _word(role: str) -> str:
    return str(roles.LABELS[role])


def _plain(at: datetime | None) -> str | None:
    return at.isoformat() if at is not None else None
