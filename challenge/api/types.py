"""Shapes that many operations share."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from ninja import Schema
from pydantic import ConfigDict, Field

from challenge.api.paging import CURSOR_PATTERN, PAGE_DEFAULT, PAGE_MAX

SLUG_PATTERN = r"^[-a-zA-Z0-9_]{1,50}$"
PHASE_PATTERN = r"^[-a-zA-Z0-9_]{1,50}/[-a-zA-Z0-9_]{1,50}$"
# PostgreSQL keeps no NUL in a text.
TEXT_PATTERN = r"^[^\x00]*$"
ID_MAX = 2**31 - 1

Slug = Annotated[str, Field(pattern=SLUG_PATTERN, examples=["flair-1"])]
PhaseName = Annotated[
    str, Field(pattern=PHASE_PATTERN, examples=["flair-1/test"], description="challenge/phase")
]
RowId = Annotated[int, Field(ge=1, le=ID_MAX)]
# In a body the number 1 is no true and the text "1" no number.
Flag = Annotated[bool, Field(strict=True)]
Cursor = Annotated[
    str,
    Field(pattern=CURSOR_PATTERN, description="`next_cursor` of the page before"),
]
Limit = Annotated[int, Field(ge=1, le=PAGE_MAX, description="rows of a page")]
LIMIT_DEFAULT = PAGE_DEFAULT
Translated = Annotated[
    dict[str, str], Field(description="text by language", examples=[{"en": "Test", "fr": "Test"}])
]
Window = Literal["upcoming", "open", "closed"]


class Given(Schema):
    """What a client sends: a field that we do not know is a mistake, not noise."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=False)


class Done(Schema):
    """An act without anything else to tell."""

    done: Literal[True] = True


class Problem(Schema):
    """A refusal (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    code: Annotated[str, Field(description="stable; see GET /api/v1/problems")]
    detail: Annotated[str, Field(description="what was found, what is allowed, what to do")]
    page: Annotated[
        str | None, Field(description="the words for who sees a page, where they differ")
    ] = None
    params: dict[str, Any] = {}
    errors: list[FieldError] | None = None


class FieldError(Schema):
    """Where a request is not valid."""

    code: str
    message: str
    field: str


class Finding(Schema):
    """A problem of an archive, or a note about it."""

    code: str
    message: str
    file: str | None = None
    params: dict[str, Any] = {}


class Quota(Schema):
    """What the team used and may still submit; null: no limit.

    ``archives_bytes`` are those of the team's kept archives and of its members' uploads that were
    not submitted.
    """

    used_today: int
    daily_limit: int | None
    left_today: int | None
    used_total: int
    total_limit: int | None
    left_total: int | None
    left: int | None
    invalid_today: int
    invalid_limit: int | None
    invalid_left: int | None
    refills_at: datetime | None
    archives_bytes: int
    archives_limit_bytes: int
