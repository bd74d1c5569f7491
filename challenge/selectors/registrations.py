"""Who registered to a challenge, and whom its admission list approves at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from allauth.account.models import EmailAddress
from django.core.paginator import Page, Paginator
from django.db.models import Count, Exists, OuterRef, Q, Subquery

from challenge.errors import refuse
from challenge.models import AdmissionEntry, Challenge, Membership, Registration, Submission, User
from challenge.rules import admission
from challenge.selectors import disqualifications

PAGE_ROWS = 50


@dataclass(frozen=True)
class Report:
    """What saving a list would do: entries that are new, those known, registrations approved."""

    listed: admission.Listed
    new: list[str]
    known: int
    approves: int


def page(
    challenge: Challenge, *, state: str = "", search: str = "", number: str | int = 1
) -> Page[Any]:
    """Return a page of registrations, those that wait first, annotated (two queries).

    ``team_name``, and ``team_stands``: the team has submissions that are not disqualified.
    """
    # The desk has no page of the platform's own team.
    membership = Membership.objects.filter(
        challenge=challenge, user=OuterRef("user"), team__is_platform=False
    )
    standing = disqualifications.standing(
        Submission.objects.filter(
            entry__team__memberships__user=OuterRef("user"), entry__phase__challenge=challenge
        )
    )
    rows = (
        Registration.objects.filter(challenge=challenge)
        .select_related("user")
        .annotate(
            team_id=Subquery(membership.values("team")[:1]),
            team_name=Subquery(membership.values("team__name")[:1]),
            team_stands=Exists(standing),
        )
    )
    if state in Registration.State.values:
        rows = rows.filter(state=state)
    if search:
        found = Q(user__username__icontains=search) | Q(user__affiliation__icontains=search)
        rows = rows.filter(found | Q(user__email__icontains=search))
    return Paginator(rows.order_by("-accepted_at", "-pk"), PAGE_ROWS).get_page(number)


def counts(challenge: Challenge) -> dict[str, int]:
    """Return how many registrations are in each state (one query)."""
    rows = Registration.objects.filter(challenge=challenge).order_by().values_list("state")
    found = dict(rows.annotate(n=Count("pk")))
    return {state: found.get(state, 0) for state in Registration.State.values}


def versions(challenge: Challenge) -> list[tuple[str, int]]:
    """Return how many approved participants accepted which version of the rules (one query)."""
    rows = Registration.objects.filter(
        challenge=challenge, state=Registration.State.APPROVED
    ).order_by("terms_version")
    return list(rows.values_list("terms_version").annotate(n=Count("pk")))


def get(challenge: Challenge, registration_id: int) -> Registration:
    """Return a registration of a challenge. Raises NotFound."""
    rows = Registration.objects.select_related("user", "challenge").filter(challenge=challenge)
    found = rows.filter(pk=registration_id).first()
    if found is None:
        raise refuse("not-found")
    return found


def entries(challenge: Challenge, *, search: str = "", number: str | int = 1) -> Page[Any]:
    """Return a page of the admission list, domains first (two queries)."""
    rows = AdmissionEntry.objects.filter(challenge=challenge).select_related("added_by")
    if search:
        rows = rows.filter(value__icontains=search)
    return Paginator(rows.order_by("value", "pk"), 2 * PAGE_ROWS).get_page(number)


def is_admitted(user: User, challenge: Challenge) -> bool:
    """Say whether a confirmed address of a person is on the list, or its domain (two queries)."""
    keys = [key for address in _confirmed([user]) for key in admission.keys_of(address.email)]
    return AdmissionEntry.objects.filter(challenge=challenge, key__in=keys).exists()


def waiting_for(challenge: Challenge, keys: set[str]) -> list[Registration]:
    """Return the registrations that wait and that entries with these keys admit (two queries)."""
    waiting = Registration.objects.filter(
        challenge=challenge, state=Registration.State.PENDING
    ).select_related("user", "challenge")
    people = {registration.user_id: registration for registration in waiting}
    admitted = {
        address.user_id
        for address in _confirmed([registration.user for registration in people.values()])
        if keys.intersection(admission.keys_of(address.email))
    }
    return [registration for pk, registration in people.items() if pk in admitted]


def report(challenge: Challenge, text: str) -> Report:
    """Return what saving a list would do, without saving it (three queries)."""
    listed = admission.read(text)
    keys = {admission.key(entry): entry for entry in listed.entries}
    rows = AdmissionEntry.objects.filter(challenge=challenge, key__in=keys)
    known = set(rows.values_list("key", flat=True))
    return Report(
        listed=listed,
        new=[entry for key, entry in keys.items() if key not in known],
        known=len(known),
        approves=len(waiting_for(challenge, set(keys))),
    )


def _confirmed(people: list[User]) -> list[EmailAddress]:
    return list(EmailAddress.objects.filter(user__in=people, verified=True))
