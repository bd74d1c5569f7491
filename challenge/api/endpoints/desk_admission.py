"""Whose registrations are approved at once: by an organiser, or by a list of addresses."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from ninja import Router, Schema
from pydantic import Field

from challenge.api import paging
from challenge.api.access import ORGANISE, SignedInRequest
from challenge.api.desk_access import CHALLENGE, challenge_of
from challenge.api.types import (
    LIMIT_DEFAULT,
    TEXT_PATTERN,
    Cursor,
    Done,
    Flag,
    Given,
    Limit,
    RowId,
    Slug,
)
from challenge.models import AdmissionEntry
from challenge.rules.roles import Act
from challenge.selectors import registrations as selector
from challenge.services.teams import admission as service

router = Router(tags=["organisers"])

TEXT_CHARACTERS = 500_000


class AdmissionEntryOut(Schema):
    """An address, or ``@domain`` for all addresses of a domain."""

    id: int
    value: str
    added_at: datetime


class Admission(Schema):
    """Whether registrations wait for approval, and a page of the list, the newest first."""

    approval_required: bool
    items: list[AdmissionEntryOut]
    next_cursor: str | None


class ModeIn(Given):
    """False: every registration is approved at once."""

    approval_required: Flag


class EntriesIn(Given):
    """``entries``: one a line, or a CSV, whose column ``email`` counts, else the first."""

    entries: Annotated[str, Field(max_length=TEXT_CHARACTERS, pattern=TEXT_PATTERN)]


class BadLineOut(Schema):
    """A line, counted from 1, that is neither an address nor a domain."""

    line: int
    found: str


class EntriesReport(Schema):
    """What adding the text would do; with ``bad`` lines, or ``too_many``, it would be refused."""

    new: list[str]
    known: int
    repeated: int
    approves: int
    bad: list[BadLineOut]
    too_many: bool


class EntriesAdded(Schema):
    """Entries that are new, and registrations that waited, approved now and mailed."""

    added: int
    approved: int


@router.get(f"{CHALLENGE}/admission", response=Admission, auth=ORGANISE)
def list_admission(
    request: SignedInRequest, slug: Slug, cursor: Cursor | None = None, limit: Limit = LIMIT_DEFAULT
) -> dict[str, Any]:
    """The list of addresses and domains whose registrations are approved at once."""
    challenge = challenge_of(request, slug, Act.PEOPLE)
    rows = AdmissionEntry.objects.filter(challenge=challenge)
    entries, next_cursor = paging.page(rows, cursor=cursor, limit=limit, time_field="added_at")
    return {
        "approval_required": challenge.approval_required,
        "items": [{"id": one.pk, "value": one.value, "added_at": one.added_at} for one in entries],
        "next_cursor": next_cursor,
    }


@router.patch(f"{CHALLENGE}/admission", response=Done, auth=ORGANISE)
def set_admission(request: SignedInRequest, slug: Slug, given: ModeIn) -> Done:
    """Say whether registrations wait for approval; those that wait already go on waiting."""
    service.require_approval(
        challenge=challenge_of(request, slug, Act.PEOPLE),
        actor=request.user,
        required=given.approval_required,
    )
    return Done()


@router.post(f"{CHALLENGE}/admission/check", response=EntriesReport, auth=ORGANISE)
def check_admission_entries(
    request: SignedInRequest, slug: Slug, given: EntriesIn
) -> dict[str, Any]:
    """What adding a text to the list would do; nothing is written."""
    report = selector.report(challenge_of(request, slug, Act.PEOPLE), given.entries)
    return {
        "new": report.new,
        "known": report.known,
        "repeated": report.listed.repeated,
        "approves": report.approves,
        "bad": [{"line": line.number, "found": line.found} for line in report.listed.bad],
        "too_many": report.listed.too_many,
    }


@router.post(f"{CHALLENGE}/admission", response=EntriesAdded, auth=ORGANISE)
def add_admission_entries(request: SignedInRequest, slug: Slug, given: EntriesIn) -> dict[str, int]:
    """Add a text's entries to the list; who waits and is on it is approved and mailed."""
    added, approved = service.add(
        challenge=challenge_of(request, slug, Act.PEOPLE),
        actor=request.user,
        text=given.entries,
    )
    return {"added": added, "approved": approved}


@router.delete(f"{CHALLENGE}/admission/{{entry_id}}", response=Done, auth=ORGANISE)
def remove_admission_entry(request: SignedInRequest, slug: Slug, entry_id: RowId) -> Done:
    """Take an entry off the list; who was approved by it stays approved."""
    service.remove(
        challenge=challenge_of(request, slug, Act.PEOPLE), actor=request.user, entry_id=entry_id
    )
    return Done()
