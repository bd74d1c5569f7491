"""A challenge, its phases and what organisers send about them, for the operations of the desk."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, BeforeValidator, Field

from challenge.api.access import SignedInRequest
from challenge.api.types import TEXT_PATTERN
from challenge.models import Challenge, Phase
from challenge.rules.roles import Act
from challenge.selectors import pages, roles

CHALLENGE = "/organise/challenges/{slug}"
YEARS = range(1970, 9001)
RFC_3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d+)?)?([Zz]|[+-]\d\d:?\d\d)", re.ASCII
)

Reason = Annotated[str, Field(min_length=1, max_length=2000, pattern=TEXT_PATTERN)]
# The languages that a text may be written in; those of challenge files.
Language = Literal["en", "fr"]


def _moment(value: object) -> object:
    """Let pass what is written as RFC 3339 says; pydantic alone would take a number, too."""
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str) or not RFC_3339.fullmatch(value):
        raise ValueError("must be a day and a time with its offset, such as 2026-05-04T12:00:00Z")
    if int(value[:4]) not in YEARS:
        raise ValueError(f"must be of the years {YEARS[0]} to {YEARS[-1]}")
    return value


Moment = Annotated[
    AwareDatetime,
    BeforeValidator(_moment),
    Field(description="RFC 3339, with its offset", examples=["2026-05-04T12:00:00Z"]),
]


def challenge_of(request: SignedInRequest, slug: str, act: Act) -> Challenge:
    """Return a challenge to whoever may do an act in it. Raises NotFound, NotAllowed."""
    challenge = pages.challenge_by_slug(slug, user=request.user)
    roles.require(request.user, act, challenge)
    return challenge


def phase_of(request: SignedInRequest, slug: str, phase: str, act: Act) -> Phase:
    """Return a phase to whoever may do an act in its challenge. Raises NotFound, NotAllowed."""
    challenge_of(request, slug, act)
    return pages.phase_by_slug(slug, phase, user=request.user)
