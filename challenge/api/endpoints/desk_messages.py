"""Messages to participants: previewed, tried on oneself, sent, and what became of the mails."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from ninja import Router, Schema
from pydantic import Field

from challenge.api import paging
from challenge.api.access import ORGANISE, SignedInRequest
from challenge.api.desk_access import CHALLENGE, Language, challenge_of
from challenge.api.types import (
    ID_MAX,
    LIMIT_DEFAULT,
    TEXT_PATTERN,
    Cursor,
    Flag,
    Given,
    Limit,
    RowId,
    Slug,
)
from challenge.models import Registration
from challenge.rules.roles import Act
from challenge.selectors import messages as selector
from challenge.selectors import roles
from challenge.selectors.messages import Audience
from challenge.services.notifications import messages as service

router = Router(tags=["organisers"])

RANK_MAX = 100_000
UNSENT_LISTED = 200
Subject = Annotated[str, Field(max_length=service.SUBJECT_CHARACTERS, pattern=TEXT_PATTERN)]
Body = Annotated[str, Field(max_length=service.BODY_CHARACTERS, pattern=TEXT_PATTERN)]
Subjects = Annotated[dict[Language, Subject], Field(examples=[{"en": "Hello", "fr": "Bonjour"}])]
Bodies = Annotated[dict[Language, Body], Field(examples=[{"en": "Welcome.", "fr": "Bienvenue."}])]
State = Literal["approved", "pending", "refused"]
RankTo = Annotated[int, Field(ge=1, le=RANK_MAX, strict=True)]


class AudienceIn(Given):
    """To whom: registrations in ``state``, narrowed by a phase.

    With ``phase``: ``submitted`` says whether their team handed anything in there, ``rank_to``
    takes the teams up to that rank.
    """

    state: State = "approved"
    phase: Slug | None = None
    submitted: Literal["", "yes", "no"] = ""
    rank_to: RankTo | None = None


class TestMessageIn(Given):
    """The texts by language; who reads another one gets the first.

    ``about_rules``: it tells a change of the rules, and also reaches who wants no messages.
    """

    subject: Subjects
    body: Bodies
    about_rules: Flag = False


class MessagePreviewIn(TestMessageIn):
    """A message and its audience."""

    audience: AudienceIn = Field(default_factory=AudienceIn)


class MessageIn(MessagePreviewIn):
    """``expected`` is the number of ``recipients`` that the preview showed."""

    expected: Annotated[int, Field(ge=0, le=ID_MAX, strict=True)]


class MailOut(Schema):
    """A mail as it arrives in one language."""

    language: str
    subject: str
    text: str


class MessagePreview(Schema):
    """How a message would arrive, how many get it, and how many want none (and get none)."""

    recipients: int
    opted_out: int
    mails: list[MailOut]


class TestSent(Schema):
    """How many mails are on their way to oneself: one for each language."""

    mails: int


class MessageLine(Schema):
    """A message that was sent: of its recipients ``sent`` got it, ``given_up`` never will."""

    id: int
    subject: dict[str, str]
    body: dict[str, str]
    audience: dict[str, Any]
    about_rules: bool
    sent_by: str | None
    created_at: datetime
    recipients: int
    sent: int
    given_up: int


class Messages(Schema):
    """A page of messages, the newest first."""

    items: list[MessageLine]
    next_cursor: str | None


class DeliveryOut(Schema):
    """A mail that waits, or that was given up at ``given_up_at``; the account may be deleted."""

    username: str | None
    given_up_at: datetime | None


class MessageDetail(MessageLine):
    """A message with those who have not got it (200 at most); null for who sees no addresses."""

    unsent: list[DeliveryOut] | None


@router.get(f"{CHALLENGE}/messages", response=Messages, auth=ORGANISE)
def list_messages(
    request: SignedInRequest, slug: Slug, cursor: Cursor | None = None, limit: Limit = LIMIT_DEFAULT
) -> dict[str, Any]:
    """The messages that were sent, and what became of their mails."""
    rows = selector.rows(challenge_of(request, slug, Act.READ))
    messages, next_cursor = paging.page(rows, cursor=cursor, limit=limit)
    return {"items": [_line(message) for message in messages], "next_cursor": next_cursor}


@router.post(f"{CHALLENGE}/messages/preview", response=MessagePreview, auth=ORGANISE)
def preview_message(
    request: SignedInRequest, slug: Slug, given: MessagePreviewIn
) -> dict[str, Any]:
    """How a message would arrive, and how many it would reach; nothing is sent."""
    shown = service.preview(
        challenge=challenge_of(request, slug, Act.PEOPLE),
        actor=request.user,
        subject=_texts(given.subject),
        body=_texts(given.body),
        audience=_audience(given.audience),
        about_rules=given.about_rules,
    )
    mails = [
        {"language": language, "subject": subject, "text": text}
        for language, subject, text in shown.mails
    ]
    return {"recipients": shown.recipients, "opted_out": shown.opted_out, "mails": mails}


@router.post(f"{CHALLENGE}/messages/test", response=TestSent, auth=ORGANISE)
def test_message(request: SignedInRequest, slug: Slug, given: TestMessageIn) -> dict[str, int]:
    """Send a message to oneself alone."""
    mails = service.send_test(
        challenge=challenge_of(request, slug, Act.PEOPLE),
        actor=request.user,
        subject=_texts(given.subject),
        body=_texts(given.body),
        about_rules=given.about_rules,
    )
    return {"mails": mails}


@router.post(f"{CHALLENGE}/messages", response=MessageLine, auth=ORGANISE)
def send_message(request: SignedInRequest, slug: Slug, given: MessageIn) -> dict[str, Any]:
    """Send a message, one mail a person; refused where the audience is no longer ``expected``."""
    challenge = challenge_of(request, slug, Act.PEOPLE)
    sent = service.send(
        challenge=challenge,
        actor=request.user,
        subject=_texts(given.subject),
        body=_texts(given.body),
        audience=_audience(given.audience),
        expected=given.expected,
        about_rules=given.about_rules,
    )
    return _line(selector.get(challenge, sent.pk))


# After the addresses with a word in the place of the number: the first that fits answers.
@router.get(f"{CHALLENGE}/messages/{{message_id}}", response=MessageDetail, auth=ORGANISE)
def get_message(request: SignedInRequest, slug: Slug, message_id: RowId) -> dict[str, Any]:
    """One message, and who has not got it."""
    challenge = challenge_of(request, slug, Act.READ)
    message = selector.get(challenge, message_id)
    unsent = None
    if roles.may(request.user, Act.PEOPLE, challenge):
        unsent = [
            {"username": one.user.username if one.user else None, "given_up_at": one.given_up_at}
            for one in selector.unsent(message)[:UNSENT_LISTED]
        ]
    return {**_line(message), "unsent": unsent}


def _texts(given: Mapping[Language, str]) -> dict[str, str]:
    return {str(language): text for language, text in given.items()}


def _audience(given: AudienceIn) -> Audience:
    return Audience(
        state=Registration.State(given.state).value,
        phase=given.phase or "",
        submitted=given.submitted,
        rank_to=given.rank_to,
    )


def _line(message: Any) -> dict[str, Any]:
    return {
        "id": message.pk,
        "subject": message.subject,
        "body": message.body,
        "audience": message.audience,
        "about_rules": message.about_rules,
        "sent_by": message.sent_by.username if message.sent_by else None,
        "created_at": message.created_at,
        "recipients": message.recipient_count,
        "sent": message.sent_count,
        "given_up": message.given_up_count,
    }
