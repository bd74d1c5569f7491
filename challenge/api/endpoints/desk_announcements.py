"""Announcements by organisers: published, with their mails, and withdrawn."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from ninja import Router, Schema
from pydantic import Field

from challenge.api import paging
from challenge.api.access import ORGANISE, SignedInRequest
from challenge.api.desk_access import CHALLENGE, Language, challenge_of
from challenge.api.types import (
    LIMIT_DEFAULT,
    TEXT_PATTERN,
    Cursor,
    Done,
    Given,
    Limit,
    RowId,
    Slug,
    Translated,
)
from challenge.errors import refuse
from challenge.models import Announcement
from challenge.rules.roles import Act
from challenge.selectors import pages
from challenge.services.notifications import announcements as service
from challenge.services.notifications.messages import BODY_CHARACTERS, SUBJECT_CHARACTERS

router = Router(tags=["organisers"])

MailTo = Literal["nobody", "subscribers", "participants"]
Title = Annotated[str, Field(max_length=SUBJECT_CHARACTERS, pattern=TEXT_PATTERN)]
Body = Annotated[str, Field(max_length=BODY_CHARACTERS, pattern=TEXT_PATTERN)]
Titles = Annotated[dict[Language, Title], Field(examples=[{"en": "New data"}])]
Bodies = Annotated[dict[Language, Body], Field(examples=[{"en": "See **Data**."}])]


class AnnouncementIn(Given):
    """The texts by language, ``body`` in Markdown; who reads another language gets the first.

    ``mail_to``: nobody, participants who asked for announcements, or all participants, which is
    for a change of the rules.
    """

    title: Titles
    body: Bodies
    mail_to: MailTo


class DeskAnnouncement(Schema):
    """An announcement on the site; ``mailed_at`` is null while its mails wait, or without any."""

    id: int
    title: Translated
    body: Translated
    published_at: datetime
    mail_to: MailTo
    mailed_at: datetime | None
    created_by: str | None


class DeskAnnouncements(Schema):
    """A page of announcements, the latest first."""

    items: list[DeskAnnouncement]
    next_cursor: str | None


@router.get(f"{CHALLENGE}/announcements", response=DeskAnnouncements, auth=ORGANISE)
def list_desk_announcements(
    request: SignedInRequest, slug: Slug, cursor: Cursor | None = None, limit: Limit = LIMIT_DEFAULT
) -> dict[str, Any]:
    """What was announced, to whom it is mailed, and by whom."""
    rows = pages.news(challenge_of(request, slug, Act.READ)).select_related("created_by")
    found, next_cursor = paging.page(rows, cursor=cursor, limit=limit, time_field="published_at")
    return {"items": [_out(one) for one in found], "next_cursor": next_cursor}


@router.post(f"{CHALLENGE}/announcements", response=DeskAnnouncement, auth=ORGANISE)
def publish_announcement(
    request: SignedInRequest, slug: Slug, given: AnnouncementIn
) -> dict[str, Any]:
    """Announce something now: on the site, in the Atom feed, and by mail."""
    made = service.publish(
        challenge=challenge_of(request, slug, Act.PAGES),
        actor=request.user,
        title={str(language): text for language, text in given.title.items()},
        body={str(language): text for language, text in given.body.items()},
        mail_to=Announcement.MailTo(given.mail_to),
    )
    return _out(made)


@router.delete(f"{CHALLENGE}/announcements/{{announcement_id}}", response=Done, auth=ORGANISE)
def withdraw_announcement(request: SignedInRequest, slug: Slug, announcement_id: RowId) -> Done:
    """Take an announcement off the site and the feed; mails that left stay sent."""
    challenge = challenge_of(request, slug, Act.PAGES)
    found = pages.news(challenge).select_related("challenge").filter(pk=announcement_id).first()
    if found is None:
        raise refuse("not-found")
    service.withdraw(announcement=found, actor=request.user)
    return Done()


def _out(one: Announcement) -> dict[str, Any]:
    return {
        "id": one.pk,
        "title": one.title,
        "body": one.body,
        "published_at": one.published_at,
        "mail_to": one.mail_to,
        "mailed_at": one.mailed_at,
        "created_by": one.created_by.username if one.created_by else None,
    }
