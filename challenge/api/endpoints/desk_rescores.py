"""Scoring a phase again under other labels or another task: preview, then publication."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from ninja import Router, Schema
from pydantic import Field

from challenge.api.access import ORGANISE, SignedInRequest
from challenge.api.desk_access import CHALLENGE, phase_of
from challenge.api.endpoints.organisers import Queued
from challenge.api.types import ID_MAX, TEXT_PATTERN, Done, Given, Slug
from challenge.errors import refuse
from challenge.models import GroundTruth, Phase, Rescore, TaskSpec
from challenge.rules.roles import Act
from challenge.selectors import rescores as selector
from challenge.services.submissions import rescores as service

router = Router(tags=["organisers"])

RESCORES = f"{CHALLENGE}/phases/{{phase}}/rescores"
Version = Annotated[int, Field(ge=1, le=ID_MAX, strict=True)]
Digest = Annotated[str, Field(max_length=64, pattern=TEXT_PATTERN)]


class ChangeOut(Schema):
    """A team's line before and after, as the leaderboard may show it; null: not on it."""

    team: str
    miou_before: float | None
    miou_after: float | None
    rank_before: int | None
    rank_after: int | None


class MissingOut(Schema):
    """A submission with neither evidence nor a score under both.

    ``decides``: it decides a line of the leaderboard, which keeps the re-score from publication.
    """

    submission: UUID
    team: str
    number: int
    has_archive: bool
    decides: bool


class RescoreOut(Schema):
    """A re-score. Once ``previewed``, ``changes`` are what publishing ``digest`` would do.

    ``scored`` of ``total`` evaluations have a verdict under these labels and this task. ``missing``
    lists 50 at most of the ``missing_count``; ``blocking`` of them keep it from publication.
    """

    state: Literal["queued", "running", "previewed", "published", "failed", "cancelled"]
    method: Literal["evidence", "archives"]
    labels: str
    labels_version: int
    task_version: int
    queued_at: datetime
    finished_at: datetime | None
    error_code: str
    requested_by: str | None
    digest: str
    confirmed_at: datetime | None
    scored: int
    total: int
    changes: list[ChangeOut]
    missing: list[MissingOut]
    missing_count: int
    blocking: int


class Rescores(Schema):
    """The re-score that has not ended, and the last ones that have, the newest first."""

    current: RescoreOut | None
    earlier: list[RescoreOut]


class RescoreRequestIn(Given):
    """Under which version of the phase's labels and of the task, and from what.

    Left out: the labels that count, the newest task. From ``archives`` everything is queued:
    ``confirm`` is the ``confirmation`` of the problem that the request gets without it.
    """

    method: Literal["evidence", "archives"]
    labels_version: Version | None = None
    task_version: Version | None = None
    confirm: Digest = ""


class PublishIn(Given):
    """``digest`` is that of the preview."""

    digest: Digest


class ConfirmIn(Given):
    """``confirm`` is the ``confirmation`` of the problem that the request gets without it."""

    confirm: Digest = ""


@router.get(RESCORES, response=Rescores, auth=ORGANISE)
def list_rescores(request: SignedInRequest, slug: Slug, phase: Slug) -> dict[str, Any]:
    """The phase's re-scores under other labels or another task, with their previews."""
    shown = phase_of(request, slug, phase, Act.READ)
    row = selector.open_of(shown)
    return {
        "current": _out(row) if row is not None else None,
        "earlier": [_out(one) for one in selector.ended_of(shown)],
    }


@router.post(RESCORES, response=RescoreOut, auth=ORGANISE)
def request_rescore(
    request: SignedInRequest, slug: Slug, phase: Slug, given: RescoreRequestIn
) -> dict[str, Any]:
    """Ask a worker for a preview; nothing is published by it."""
    wanted = phase_of(request, slug, phase, Act.LABELS)
    row = service.request(
        phase=wanted,
        ground_truth=_labels(wanted, given.labels_version),
        task_spec=_task(wanted, given.task_version),
        method=Rescore.Method(given.method),
        actor=request.user,
        confirmed=given.confirm,
    )
    return _out(row)


@router.post(f"{RESCORES}/preview", response=Done, auth=ORGANISE)
def preview_rescore_again(request: SignedInRequest, slug: Slug, phase: Slug) -> Done:
    """Ask for another preview, such as after a submission was scored."""
    service.preview_again(row=_current(request, slug, phase), actor=request.user)
    return Done()


@router.post(f"{RESCORES}/publish", response=Done, auth=ORGANISE)
def publish_rescore(request: SignedInRequest, slug: Slug, phase: Slug, given: PublishIn) -> Done:
    """Have a worker publish exactly what was previewed, or nothing."""
    row = _current(request, slug, phase)
    service.confirm(row=row, actor=request.user, digest=given.digest)
    return Done()


@router.post(f"{RESCORES}/missing", response=Queued, auth=ORGANISE)
def score_missing(
    request: SignedInRequest, slug: Slug, phase: Slug, given: ConfirmIn
) -> dict[str, int]:
    """Queue the archives of what the preview lists as missing; asks first (409)."""
    row = _current(request, slug, phase)
    queued = service.score_missing(row=row, actor=request.user, confirmed=given.confirm)
    return {"queued": queued}


@router.delete(RESCORES, response=Done, auth=ORGANISE)
def give_up_rescore(request: SignedInRequest, slug: Slug, phase: Slug) -> Done:
    """End the re-score without publishing it."""
    service.give_up(row=_current(request, slug, phase), actor=request.user)
    return Done()


def _current(request: SignedInRequest, slug: str, phase: str) -> Rescore:
    row = selector.open_of(phase_of(request, slug, phase, Act.LABELS))
    if row is None:
        raise refuse("not-found")
    return row


def _labels(phase: Phase, version: int | None) -> GroundTruth:
    """Return a version of the phase's labels, those that count by default. Raises NotFound."""
    counting = phase.ground_truth
    if counting is None:
        raise refuse("phase-not-ready")
    rows = GroundTruth.objects.filter(challenge=phase.challenge_id, name=counting.name)
    found = rows.filter(version=version or counting.version).first()
    if found is None:
        raise refuse("not-found")
    return found


def _task(phase: Phase, version: int | None) -> TaskSpec:
    """Return a version of the challenge's task, the newest by default. Raises NotFound."""
    rows = TaskSpec.objects.filter(challenge=phase.challenge_id).order_by("-version")
    found = (rows.filter(version=version) if version else rows).first()
    if found is None:
        raise refuse("not-found")
    return found


def _out(row: Rescore) -> dict[str, Any]:
    scored, total = selector.progress(row)
    result = row.result
    return {
        "state": row.state,
        "method": row.method,
        "labels": row.ground_truth.name,
        "labels_version": row.ground_truth.version,
        "task_version": row.task_spec.version,
        "queued_at": row.queued_at,
        "finished_at": row.finished_at,
        "error_code": row.error_code,
        "requested_by": row.created_by.username if row.created_by else None,
        "digest": row.digest,
        "confirmed_at": row.confirmed_at,
        "scored": scored,
        "total": total,
        "changes": result.get("changes", []),
        "missing": result.get("missing", []),
        "missing_count": len(result.get("missing_ids", [])),
        "blocking": result.get("blocking", 0),
    }
