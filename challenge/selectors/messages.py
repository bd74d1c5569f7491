"""Whom a message of the organisers reaches, and what became of the messages that were sent."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import Count, Exists, OuterRef, Q, QuerySet

from challenge.errors import refuse
from challenge.models import (
    Challenge,
    Message,
    MessageDelivery,
    RankLine,
    Registration,
    Submission,
    User,
)

PAGE_ROWS = 50
SUBMITTED = ("", "yes", "no")


@dataclass(frozen=True)
class Audience:
    """To whom: registrations in ``state``, narrowed by a phase.

    With ``phase`` (a slug): ``submitted`` "yes" or "no" says whether the team has handed anything
    in there, ``rank_to`` takes the teams up to that rank.
    """

    state: str = Registration.State.APPROVED.value
    phase: str = ""
    submitted: str = ""
    rank_to: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as it is stored with the message."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Audience:
        """Return what :meth:`to_json` made."""
        return cls(**stored)


def recipients(challenge: Challenge, audience: Audience, *, about_rules: bool) -> QuerySet[User]:
    """Return the people whom a message reaches, each once.

    Without those who want no messages, unless it is ``about_rules``. Raises Refusal
    ``message-audience-invalid`` for a phase, a state or a rank that there is none of.
    """
    _check(challenge, audience)
    registered = Registration.objects.filter(
        challenge=challenge, user=OuterRef("pk"), state=audience.state
    )
    people = User.objects.filter(Exists(registered), is_active=True).exclude(email="")
    if not about_rules:
        people = people.filter(mail_on_message=True)
    of_team = {"entry__phase__challenge": challenge, "entry__phase__slug": audience.phase}
    mine = Q(entry__team__memberships__user=OuterRef("pk"))
    sent = Exists(Submission.objects.filter(mine, **of_team))
    if audience.submitted == "yes":
        people = people.filter(sent)
    elif audience.submitted == "no":
        people = people.filter(~sent)
    if audience.rank_to is not None:
        lines = RankLine.objects.filter(mine, rank__lte=audience.rank_to, **of_team)
        people = people.filter(Exists(lines))
    return people.order_by("pk")


def rows(challenge: Challenge) -> QuerySet[Any]:
    """Return the messages of a challenge with their deliveries counted."""
    return _counted(Message.objects.filter(challenge=challenge).select_related("sent_by"))


def page(challenge: Challenge, *, number: str | int = 1) -> Page[Any]:
    """Return a page of :func:`rows`, the newest first (two queries)."""
    found = rows(challenge).order_by("-created_at", "-pk")
    return Paginator(found, PAGE_ROWS).get_page(number)


def get(challenge: Challenge, message_id: int) -> Any:
    """Return a message of a challenge, its deliveries counted. Raises NotFound."""
    found = rows(challenge).filter(pk=message_id).first()
    if found is None:
        raise refuse("not-found")
    return found


def unsent(message: Message) -> QuerySet[MessageDelivery]:
    """Return the deliveries that wait or were given up, with their people (one query)."""
    return message.deliveries.filter(sent_at=None).select_related("user")


def _counted(messages: QuerySet[Message]) -> QuerySet[Any]:
    return messages.annotate(
        recipient_count=Count("deliveries"),
        sent_count=Count("deliveries", filter=Q(deliveries__sent_at__isnull=False)),
        given_up_count=Count("deliveries", filter=Q(deliveries__given_up_at__isnull=False)),
    )


def _check(challenge: Challenge, audience: Audience) -> None:
    narrowed = audience.submitted or audience.rank_to is not None
    phases = challenge.phases.filter(slug=audience.phase)
    for what, wrong in (
        (audience.state, audience.state not in Registration.State.values),
        (audience.phase or "–", bool(audience.phase or narrowed) and not phases.exists()),
        (audience.submitted, audience.submitted not in SUBMITTED),
        (str(audience.rank_to), audience.rank_to is not None and audience.rank_to < 1),
    ):
        if wrong:
            raise refuse("message-audience-invalid", found=what[:40])
