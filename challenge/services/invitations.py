"""Invitations by a link that is shown or mailed once: to a team, or to a role in a challenge.

What both have in common: the token, the limits of mails to strangers, the one address that may
accept. Who may invite and what acceptance does is theirs (:mod:`challenge.services.teams.merges`,
:mod:`challenge.services.challenges.roles`).
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db.models import QuerySet
from django.utils import timezone

from challenge.errors import refuse
from challenge.models import Challenge, Invitation, Team, User
from challenge.rules.mailboxes import normalise
from challenge.rules.roles import Role
from challenge.services import throttles
from challenge.services.notifications import mails

INVITATION_AGE = timedelta(days=14)
DAY = timedelta(days=1)


def to_team(team: Team, *, email: str, actor: User, now: datetime) -> tuple[Invitation, str]:
    """Make an invitation to a team, mailed where there is an address; return it and its token.

    The caller locks the team's row. Raises what :func:`check_address` and the limits raise.
    """
    return _create(team.invitations.all(), email=email, actor=actor, now=now, team=team)


def to_role(
    challenge: Challenge,
    *,
    email: str,
    actor: User,
    role: Role,
    role_expires_at: datetime | None,
    now: datetime,
) -> tuple[Invitation, str]:
    """Make an invitation to a role, mailed to ``email``; return it and its token.

    The caller locks the challenge's row. Raises what :func:`check_address` and the limits raise.
    """
    return _create(
        challenge.role_invitations.all(),
        email=email,
        actor=actor,
        now=now,
        challenge=challenge,
        role=role.value,
        role_expires_at=role_expires_at,
    )


def check_address(email: str) -> None:
    """Raise Refusal ``email-invalid`` for what is no e-mail address."""
    try:
        validate_email(email)
    except ValidationError:
        raise refuse("email-invalid", email=email[:100]) from None


def find(token: str, *, now: datetime | None = None) -> Invitation:
    """Return the open invitation of a token. Raises Gone ``invitation-over``."""
    invitation = (
        Invitation.objects.select_related("team__challenge", "challenge", "created_by")
        .filter(
            digest=_digest(token),
            accepted_at__isnull=True,
            revoked_at__isnull=True,
            expires_at__gt=now or timezone.now(),
            team__merged_into__isnull=True,
        )
        .first()
    )
    if invitation is None:
        raise refuse("invitation-over")
    return invitation


def accept(invitation: Invitation, *, user: User, now: datetime) -> None:
    """Mark an invitation as accepted; the caller does what it invites to.

    Raises NotAllowed ``invitation-for-another``.
    """
    if invitation.email and invitation.email.casefold() != user.email.casefold():
        raise refuse("invitation-for-another")
    invitation.accepted_by = user
    invitation.accepted_at = now
    invitation.save(update_fields=["accepted_by", "accepted_at"])


def withdraw(invitations: QuerySet[Invitation], *, now: datetime) -> int:
    """Withdraw those of the invitations that are open; returns how many."""
    waiting = invitations.filter(accepted_at__isnull=True, revoked_at__isnull=True)
    return waiting.update(revoked_at=now, mail_token="")


def _create(
    of_same: QuerySet[Invitation],
    *,
    email: str,
    actor: User,
    now: datetime,
    team: Team | None = None,
    challenge: Challenge | None = None,
    role: str = "",
    role_expires_at: datetime | None = None,
) -> tuple[Invitation, str]:
    token = secrets.token_urlsafe(24)
    if email:
        _check_recipient(email, of_same=of_same, now=now)
    invitation = Invitation.objects.create(
        team=team,
        challenge=challenge,
        role=role,
        role_expires_at=role_expires_at,
        email=email,
        digest=_digest(token),
        mail_token=token if email else "",
        created_by=actor,
        expires_at=now + INVITATION_AGE,
    )
    if email:
        mails.notify_workers_on_commit()
    return invitation, token


def _check_recipient(email: str, *, of_same: QuerySet[Invitation], now: datetime) -> None:
    """Refuse a second open invitation to the same, and more mails a day than anybody shall get.

    The mails of all senders to one mailbox count, however its address is written; they are counted
    apart from the rows, too, which go with the sender's account.
    """
    open_one = of_same.filter(
        email__iexact=email, accepted_at=None, revoked_at=None, expires_at__gt=now
    ).first()
    if open_one is not None:
        raise refuse("invitation-open", email=email, expires_at=open_one.expires_at.isoformat())
    mailbox = normalise(email)
    recent = Invitation.objects.filter(
        email__istartswith=mailbox[0], created_at__gt=now - DAY
    ).values_list("email", flat=True)
    limit = int(settings.INVITATIONS_PER_RECIPIENT)
    if sum(normalise(address) == mailbox for address in recent) >= limit or (
        throttles.count_request(
            f"invited:{_digest(mailbox)}", limit=limit, window_s=int(DAY.total_seconds())
        )
    ):
        raise refuse("invited-often", email=email)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
