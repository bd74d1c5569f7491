"""One mailbox, one registration, one quota: also for who deletes the account and comes again.

With each registration a keyed hash of the mailbox is kept, until every phase of the challenge is
closed (`sweep`, called with the sweep of files). An account that is deleted leaves it behind
only where it says something: its team has submitted, or its registration was refused.
"""

from __future__ import annotations

from datetime import datetime
from typing import TypeVar

from allauth.account.models import EmailAddress
from django.db import transaction
from django.db.models import Exists, Model, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.crypto import salted_hmac

from challenge.errors import refuse
from challenge.models import (
    Challenge,
    FormerMembership,
    Mailbox,
    Membership,
    Phase,
    QuotaLine,
    Registration,
    User,
)
from challenge.rules import mailboxes as rule

_SALT = "challenge.mailbox"

M = TypeVar("M", bound=Model)


def digest(address: str, *, scope: object) -> str:
    """Return the keyed hash (HMAC-SHA-256, key SECRET_KEY) of an address's mailbox.

    ``scope`` is what it is for: hashes of different scopes cannot be compared.
    """
    text = f"{scope}\n{rule.normalise(address)}"
    return salted_hmac(_SALT, text, algorithm="sha256").hexdigest()


def bind(*, user: User, challenge: Challenge) -> Mailbox:
    """Bind a mailbox to a person who registers; also one that a deleted account left behind.

    Raises Conflict ``mailbox-registered`` while another account takes part with it. The caller
    has a transaction.
    """
    mailbox, _ = Mailbox.objects.get_or_create(
        challenge=challenge,
        digest=digest(user.email, scope=challenge.pk),
        defaults={"user": user},
    )
    mailbox = Mailbox.objects.select_for_update().get(pk=mailbox.pk)
    if mailbox.user_id not in (None, user.pk):
        raise refuse("mailbox-registered")
    if mailbox.user_id is None:
        mailbox.user = user
        mailbox.save(update_fields=["user"])
    return mailbox


def mark(registration: Registration) -> None:
    """Note with a person's mailboxes whether the registration was refused."""
    Mailbox.objects.filter(challenge=registration.challenge_id, user=registration.user_id).update(
        is_refused=registration.state == Registration.State.REFUSED
    )


@transaction.atomic
def bind_confirmed(user: User, *, now: datetime | None = None) -> None:
    """Bind all confirmed addresses of a person in each challenge that is not over.

    An address that another account takes part with there stays that account's.
    """
    registrations = Registration.objects.filter(user=user).select_related("challenge")
    for registration in _not_over(registrations, now=now or timezone.now()):
        refused = registration.state == Registration.State.REFUSED
        for address in _addresses(user):
            mailbox, _ = Mailbox.objects.get_or_create(
                challenge=registration.challenge,
                digest=digest(address, scope=registration.challenge_id),
                defaults={"user": user, "is_refused": refused},
            )
            Mailbox.objects.filter(pk=mailbox.pk, user=None).update(user=user)


def bind_after_confirmation(*, email_address: EmailAddress, **_signal: object) -> None:
    """Receive allauth's ``email_confirmed``: an address is confirmed before it comes into use."""
    bind_confirmed(email_address.user)


def unbind(*, user: User, now: datetime) -> None:
    """Before an account is deleted: keep what its mailboxes used, and forget the others.

    The caller has a transaction, and deletes the account in it.
    """
    bind_confirmed(user, now=now)
    memberships = Membership.objects.filter(user=user)
    submitted = QuotaLine.objects.filter(entry__team=OuterRef("team"))
    for membership in _not_over(memberships, now=now).filter(Exists(submitted)):
        mailboxes = Mailbox.objects.filter(user=user, challenge=membership.challenge_id)
        FormerMembership.objects.bulk_create(
            FormerMembership(mailbox=mailbox, team=membership.team, left_at=now)
            for mailbox in mailboxes
        )
    Mailbox.objects.filter(user=user, is_refused=False, former_memberships=None).delete()


def sweep(*, now: datetime | None = None) -> int:
    """Delete the mailboxes of challenges that are over, bind those that are missing.

    Missing are those of registrations from before mailboxes were kept, and of challenges to which
    a phase was added. Returns how many were deleted.
    """
    now = now or timezone.now()
    is_open = _open_phases("pk", now=now)
    over = Challenge.objects.filter(phases__isnull=False).exclude(Exists(is_open))
    deleted, _ = Mailbox.objects.filter(challenge__in=over).delete()
    missing = _not_over(Registration.objects.all(), now=now).exclude(
        Exists(Mailbox.objects.filter(challenge=OuterRef("challenge"), user=OuterRef("user")))
    )
    for user in User.objects.filter(pk__in=missing.values("user")):
        bind_confirmed(user, now=now)
    return deleted


def _addresses(user: User) -> set[str]:
    confirmed = EmailAddress.objects.filter(user=user, verified=True)
    return {user.email, *confirmed.values_list("email", flat=True)}


def _not_over(rows: QuerySet[M], *, now: datetime) -> QuerySet[M]:
    """Filter rows with a challenge: those in which a phase is open or to come, or none exists."""
    has_none = ~Exists(Phase.objects.filter(challenge=OuterRef("challenge")))
    return rows.filter(Exists(_open_phases("challenge", now=now)) | has_none)


def _open_phases(challenge: str, *, now: datetime) -> QuerySet[Phase]:
    """Phases that are not closed of the challenge that the outer query calls ``challenge``."""
    return Phase.objects.filter(challenge=OuterRef(challenge)).filter(
        Q(closes_at__isnull=True) | Q(closes_at__gt=now)
    )
