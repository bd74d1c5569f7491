"""For organisers: how many pixels submissions of different teams have in common."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from ninja import Field, Router, Schema

from challenge.api.access import ORGANISE, SignedInRequest
from challenge.api.types import Done, Slug
from challenge.errors import refuse
from challenge.models import Phase, PixelComparison, Submission
from challenge.rules.roles import Act
from challenge.selectors import duplicates as selector
from challenge.selectors import pages, roles
from challenge.services.submissions import pixel_comparisons as service

router = Router(tags=["organisers"])

PHASE = "/organise/challenges/{slug}/phases/{phase}"


class ComparisonRequest(Schema):
    """Which submissions are compared: those of the best teams, and any others of the phase."""

    best: int = Field(20, ge=0, le=service.MOST, description="how many teams, the best first")
    submissions: list[UUID] = Field(default_factory=list, max_length=service.MOST)


class ComparedSubmission(Schema):
    """A submission and its team."""

    submission: UUID
    number: int
    team: str
    team_id: int


class PairOut(Schema):
    """Two submissions of different teams, and their equal pixels as a number and as a fraction."""

    first: ComparedSubmission
    second: ComparedSubmission
    equal_pixels: int
    share: float


class UnreadOut(Schema):
    """A submission that could not be compared, and why."""

    submission: ComparedSubmission
    code: str


class ComparisonOut(Schema):
    """A comparison: its state, and its pairs, the most alike first, once it has succeeded."""

    state: str
    queued_at: datetime
    finished_at: datetime | None
    error_code: str
    pairs: list[PairOut]
    unread: list[UnreadOut]


@router.get(f"{PHASE}/comparison", response=ComparisonOut, auth=ORGANISE)
def get_comparison(request: SignedInRequest, slug: Slug, phase: Slug) -> dict[str, Any]:
    """The phase's comparison that has not ended, else the last one. For organisers alone."""
    shown = _phase(request, slug, phase, Act.READ)
    row = selector.open_comparison(shown) or selector.last_comparison(shown)
    if row is None:
        raise refuse("not-found")
    return _out(row)


@router.post(f"{PHASE}/comparison", response=ComparisonOut, auth=ORGANISE)
def compare_submissions(
    request: SignedInRequest, slug: Slug, phase: Slug, payload: ComparisonRequest
) -> dict[str, Any]:
    """Ask a worker for the share of equal pixels of each pair of teams."""
    shown = _phase(request, slug, phase, Act.VERDICTS)
    row = service.request(
        phase=shown, actor=request.user, best=payload.best, chosen=payload.submissions
    )
    return _out(row)


@router.delete(f"{PHASE}/comparison", response=Done, auth=ORGANISE)
def cancel_comparison(request: SignedInRequest, slug: Slug, phase: Slug) -> Done:
    """End the comparison that has not ended, without a result; 404 where there is none."""
    row = selector.open_comparison(_phase(request, slug, phase, Act.VERDICTS))
    if row is None:
        raise refuse("not-found")
    service.cancel(row=row, actor=request.user)
    return Done()


def _out(row: PixelComparison) -> dict[str, Any]:
    found = selector.near_twins(row)
    return {
        "state": row.state,
        "queued_at": row.queued_at,
        "finished_at": row.finished_at,
        "error_code": row.error_code,
        "pairs": [
            {
                "first": submission_out(pair.first),
                "second": submission_out(pair.second),
                "equal_pixels": pair.equal_px,
                "share": pair.share,
            }
            for pair in found.pairs
        ],
        "unread": [{"submission": submission_out(one), "code": code} for one, code in found.unread],
    }


def submission_out(one: Submission) -> dict[str, Any]:
    """Return a submission and its team as a ``ComparedSubmission``."""
    team = one.entry.team
    return {"submission": one.pk, "number": one.number, "team": team.name, "team_id": team.pk}


def _phase(request: SignedInRequest, slug: str, phase: str, act: Act) -> Phase:
    challenge = pages.challenge_by_slug(slug, user=request.user)
    roles.require(request.user, act, challenge)
    return pages.phase_by_slug(slug, phase, user=request.user)
