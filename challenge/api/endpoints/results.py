"""Final results: the signed versions for everybody; for organisers the draft and its signing."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from ninja import Router, Schema

from challenge.api.access import ANYONE, ORGANISE, SignedInRequest
from challenge.api.desk_access import phase_of
from challenge.api.types import Slug
from challenge.errors import Refusal
from challenge.models import FinalResult
from challenge.rules.roles import Act
from challenge.selectors import final_results as selector
from challenge.selectors import pages
from challenge.services.leaderboard import final_results as service

router = Router(tags=["results"])

PHASE = "/challenges/{slug}/phases/{phase}"


class ResultOut(Schema):
    """One version of a final result, as it was signed; verify it with the key of receipts.

    ``result`` is the document that was signed: Ed25519 over its canonical JSON (sorted keys, no
    spaces, UTF-8). ``signature`` and ``key`` are base64, ``reason`` says why there is this version.
    """

    version: int
    signed_at: datetime
    reason: str
    result: dict[str, Any]
    signature: str
    key: str


class Results(Schema):
    """All versions of a phase's final result, the last first; empty before one was signed."""

    items: list[ResultOut]


class ObstacleOut(Schema):
    """Why a result cannot be signed now."""

    code: str
    detail: str


class MissingDocuments(Schema):
    """A team that was asked for documents which are not accepted."""

    team: str
    rank: int
    state: str


class ResultDraft(Schema):
    """The lines that would be signed now, best first, and what stands against it.

    Send ``digest`` back to sign exactly these lines, although ``documents`` of these teams are not
    accepted.
    """

    digest: str
    obstacles: list[ObstacleOut]
    documents: list[MissingDocuments]
    lines: list[dict[str, Any]]


class Signing(Schema):
    """``digest`` is the draft's; ``reason`` is public, and needed from the second version on."""

    digest: str
    reason: str = ""


@router.get(f"{PHASE}/results", response=Results, auth=ANYONE)
def list_results(request: HttpRequest, slug: Slug, phase: Slug) -> dict[str, Any]:
    """The signed versions of a phase's final result."""
    shown = pages.phase_by_slug(slug, phase, user=request.user)
    return {"items": [_result_out(one) for one in selector.versions(shown)]}


@router.get(f"/organise{PHASE}/result", response=ResultDraft, auth=ORGANISE)
def get_result_draft(request: SignedInRequest, slug: Slug, phase: Slug) -> dict[str, Any]:
    """What would be signed as the phase's final result now."""
    draft = selector.draft(phase_of(request, slug, phase, Act.READ), now=timezone.now())
    return {
        "digest": service.digest(draft),
        "obstacles": [obstacle_out(one) for one in draft.obstacles],
        "documents": draft.documents,
        "lines": draft.lines,
    }


@router.post(f"/organise{PHASE}/result", response=ResultOut, auth=ORGANISE)
def sign_result(
    request: SignedInRequest, slug: Slug, phase: Slug, payload: Signing
) -> dict[str, Any]:
    """Sign the phase's lines as the next version of its final result; it is public at once."""
    shown = phase_of(request, slug, phase, Act.FINALS)
    signed = service.sign(
        phase=shown, actor=request.user, confirmed=payload.digest, reason=payload.reason
    )
    return _result_out(signed)


def obstacle_out(refusal: Refusal) -> dict[str, str]:
    """Return a refusal as an ``ObstacleOut``."""
    return {"code": refusal.code, "detail": str(refusal.message)}


def _result_out(result: FinalResult) -> dict[str, Any]:
    return {
        "version": result.version,
        "signed_at": result.signed_at,
        "reason": result.reason,
        **result.signed,
    }
