"""Submissions: hand in an upload, follow it, read its score."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from django.http import StreamingHttpResponse
from django.utils import timezone
from ninja import Router, Schema, Status
from pydantic import Field

from challenge.api import paging
from challenge.api.access import READ, SUBMIT, SignedInRequest
from challenge.api.types import (
    LIMIT_DEFAULT,
    TEXT_PATTERN,
    Cursor,
    Finding,
    Flag,
    Given,
    Limit,
    PhaseName,
)
from challenge.errors import refuse
from challenge.models import Evaluation, Submission
from challenge.rules.disclosure import Viewer
from challenge.rules.lifecycle import State
from challenge.selectors import languages, pages, queue
from challenge.selectors import submissions as selectors
from challenge.services import stream_slots
from challenge.services.storage import archives, uploads
from challenge.services.submissions import downloads, receipts, retention, submissions
from challenge.services.submissions.submissions import MethodFacts
from scoring.engine.problems.problems import Problem

router = Router(tags=["submissions"])

Text = Annotated[str, Field(max_length=10_000, pattern=TEXT_PATTERN)]
Short = Annotated[str, Field(max_length=120, pattern=TEXT_PATTERN)]
Url = Annotated[
    str, Field(max_length=200, pattern=TEXT_PATTERN, examples=["https://example.org/code"])
]
Seconds = Annotated[float, Field(gt=0, lt=1e9, allow_inf_nan=False, strict=True)]
StateName = Literal["queued", "scoring", "scored", "rejected", "failed", "cancelled"]


class SubmissionIn(Given):
    """A finished upload and the fact sheet of the method."""

    phase: PhaseName
    upload: Annotated[UUID, Field(description="the last part of the upload's address")]
    method_name: Annotated[str, Field(min_length=1, max_length=120, pattern=TEXT_PATTERN)]
    method_description: Text = ""
    external_data: Text = ""
    code_url: Url = ""
    paper_url: Url = ""
    baseline_seconds: Seconds | None = None
    method_seconds: Seconds | None = None
    hardware: Short = ""
    mail_on_result: Flag = False


class FinalIn(Given):
    """Whether this submission counts in the final ranking."""

    chosen: Flag


class PlaceOut(Schema):
    """Where a waiting submission stands; ``starts_at`` is an estimate."""

    ahead: int
    waiting: int
    running: int
    starts_at: datetime | None


class ArchiveOut(Schema):
    """The uploaded file; ``removed_at``: no longer kept, as it decides nothing."""

    name: str
    bytes: int
    sha256: str
    removed_at: datetime | None


class SubmissionLine(Schema):
    """A submission in a list."""

    id: UUID
    number: int
    phase: str
    team: str
    team_id: int
    submitted_by: str | None
    created_at: datetime
    state: StateName
    stage: str
    patches_done: int
    patches_total: int
    method_name: str
    miou: float | None
    is_final: bool
    is_baseline: bool
    disqualified_at: datetime | None


class Submissions(Schema):
    """A page of submissions, the newest first."""

    items: list[SubmissionLine]
    next_cursor: str | None


class SubmissionOut(SubmissionLine):
    """A submission whole."""

    method_description: str
    external_data: str
    code_url: str
    paper_url: str
    baseline_seconds: float | None
    method_seconds: float | None
    hardware: str
    archive: ArchiveOut
    queue: PlaceOut | None
    score_hidden: bool
    error_code: str
    problems: list[Finding]
    problems_more: int
    disqualified_reason: str


class ClassScore(Schema):
    """Values of one class."""

    id: int
    name: Any
    iou: float | None
    iou_interval: list[float | None] | None = None
    precision: float | None
    recall: float | None
    f1: float | None
    predicted_pixels: int | None
    truth_pixels: int | None = None
    scored: bool


class DomainScore(Schema):
    """Values of one domain."""

    patches: int | None
    pixels: int | None
    miou: float | None
    ious: list[float | None]
    confusion: list[list[int]] | None = None


class ScoreOut(Schema):
    """A score card, as much of it as may leave.

    While labels are hidden: no domains, no matrix, no precision, values in steps (``miou_step``,
    ``decimals``), null for classes too small to show. ``miou_step`` null: full precision.
    """

    submission: UUID
    spec: str | None
    engine_version: str | None
    patches: int | None
    pixels: int | None
    miou: float | None
    miou_interval: list[float | None] | None
    seconds: int
    notes: list[Finding]
    predicted_frequencies: list[float] | None
    decimals: int | None
    miou_step: float | None
    detail: str
    counted_zones: str = "all"  # as of a leaderboard
    overall_accuracy: float | None = None
    mean_f1: float | None = None
    classes: list[ClassScore] | None = None
    domains: dict[str, DomainScore] | None = None
    confusion_rows: list[list[float] | None] | None = None
    confusion: list[list[int]] | None = None


class Receipt(Schema):
    """A signed receipt; verify it with the key of GET /api/v1/receipts/key."""

    receipt: dict[str, Any]
    signature: str
    key: str


def findings(problems: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Stored problems in the reader's language."""
    lang = languages.current()
    return [{**stored, "message": _message(stored, lang)} for stored in problems]


def _message(stored: dict[str, Any], lang: str) -> str:
    try:
        return Problem.from_json(stored).text(lang)
    except (KeyError, TypeError):
        # Written under an older catalogue: then as it was said at the time.
        return str(stored.get("message", ""))


def line_out(submission: Submission, *, viewer: Viewer) -> dict[str, Any]:
    """A submission as a list shows it. No query for rows of ``selectors.submissions``."""
    evaluation = selectors.current(submission)
    entry = submission.entry
    return {
        "id": submission.id,
        "number": submission.number,
        "phase": str(entry.phase),
        "team": entry.team.name,
        "team_id": entry.team_id,
        "submitted_by": submission.submitted_by.username if submission.submitted_by else None,
        "created_at": submission.created_at,
        "state": evaluation.state if evaluation else State.QUEUED.value,
        "stage": evaluation.stage if evaluation else "",
        "patches_done": evaluation.patches_done if evaluation else 0,
        "patches_total": evaluation.patches_total if evaluation else 0,
        "method_name": submission.method_name,
        "miou": selectors.shown_miou(submission, viewer=viewer),
        "is_final": submission.is_final,
        "is_baseline": submission.is_baseline,
        "disqualified_at": submission.disqualified_at,
    }


def submission_out(submission: Submission, *, viewer: Viewer) -> dict[str, Any]:
    """A submission whole, for who may see it."""
    evaluation = selectors.current(submission)
    is_scored = evaluation is not None and evaluation.state == State.SCORED
    position = queue.position(evaluation) if evaluation else None
    return {
        **line_out(submission, viewer=viewer),
        "method_description": submission.method_description,
        "external_data": submission.external_data,
        "code_url": submission.code_url,
        "paper_url": submission.paper_url,
        "baseline_seconds": submission.baseline_seconds,
        "method_seconds": submission.method_seconds,
        "hardware": submission.hardware,
        "archive": {
            "name": submission.original_name,
            "bytes": submission.archive_bytes,
            "sha256": submission.archive_sha256,
            "removed_at": submission.archive_removed_at,
        },
        "queue": position,
        "score_hidden": is_scored and not selectors.score_visible(submission, viewer=viewer),
        "error_code": evaluation.error_code if evaluation else "",
        "problems": findings(_problems(evaluation)),
        "problems_more": evaluation.problems_more if evaluation else 0,
        "disqualified_reason": submission.disqualified_reason,
    }


def _problems(evaluation: Evaluation | None) -> list[dict[str, Any]]:
    return list(evaluation.problems) if evaluation and evaluation.state == State.REJECTED else []


def _mine(request: SignedInRequest, submission_id: UUID) -> tuple[Submission, Viewer]:
    return selectors.get(submission_id, user=request.user)


@router.post("/submissions", response={201: SubmissionOut}, auth=SUBMIT)
def create_submission(request: SignedInRequest, given: SubmissionIn) -> Status[dict[str, Any]]:
    """Submit a finished upload to a phase."""
    user = request.user
    challenge, _slash, slug = given.phase.partition("/")
    phase = pages.phase_by_slug(challenge, slug, user=user)
    facts = given.dict(exclude={"phase", "upload", "mail_on_result"})
    submission = submissions.submit_upload(
        user=user,
        phase=phase,
        upload=uploads.get(user=user, upload_id=given.upload),
        method=MethodFacts(**facts),
        mail_on_result=given.mail_on_result,
    )
    found, viewer = _mine(request, submission.id)
    return Status(201, submission_out(found, viewer=viewer))


@router.get("/submissions", response=Submissions, auth=READ)
def list_submissions(
    request: SignedInRequest,
    phase: PhaseName | None = None,
    state: StateName | None = None,
    cursor: Cursor | None = None,
    limit: Limit = LIMIT_DEFAULT,
) -> dict[str, Any]:
    """The submissions of one's teams, the newest first."""
    user = request.user
    chosen = None
    if phase is not None:
        challenge, _slash, slug = phase.partition("/")
        chosen = pages.phase_by_slug(challenge, slug, user=user)
    rows = selectors.mine(user, phase=chosen)
    if state is not None:
        rows = rows.filter(evaluations__state=state).distinct()
    found, next_cursor = paging.page(rows, cursor=cursor, limit=limit)
    items = [line_out(one, viewer=Viewer.OWNER) for one in found]
    return {"items": items, "next_cursor": next_cursor}


@router.get("/submissions/{submission_id}", response=SubmissionOut, auth=READ)
def get_submission(request: SignedInRequest, submission_id: UUID) -> dict[str, Any]:
    """One submission: state, progress, place in the queue, what was wrong with it."""
    found, viewer = _mine(request, submission_id)
    return submission_out(found, viewer=viewer)


@router.get("/submissions/{submission_id}/score", response=ScoreOut, auth=READ)
def get_score(request: SignedInRequest, submission_id: UUID) -> dict[str, Any]:
    """The score card. 409 `score-not-ready` before there is one, 403 while it is hidden."""
    detail = selectors.detail(submission_id, user=request.user)
    if detail.score_hidden:
        raise refuse("score-hidden")
    if detail.card is None:
        raise refuse("score-not-ready", state=detail.state)
    return {
        **detail.card,
        "notes": findings(detail.card["notes"]),
        "submission": detail.submission.id,
    }


@router.get("/submissions/{submission_id}/receipt", response=Receipt, auth=READ)
def get_receipt(request: SignedInRequest, submission_id: UUID) -> dict[str, Any]:
    """A signed receipt of a scored submission."""
    found, viewer = _mine(request, submission_id)
    return receipts.sign(found, viewer=viewer, now=timezone.now())


@router.get(
    "/submissions/{submission_id}/archive",
    response={200: None},
    auth=READ,
    openapi_extra={
        "responses": {
            200: {
                "content": {
                    "application/octet-stream": {"schema": {"type": "string", "format": "binary"}}
                }
            }
        }
    },
)
def get_archive(request: SignedInRequest, submission_id: UUID) -> StreamingHttpResponse:
    """The uploaded file, back to its team (and to owners and judges), always as a download."""
    found = selectors.with_archive(submission_id, user=request.user)
    downloads.record(submission=found, actor=request.user)
    stream_slots.occupy_download(request, user_id=request.user.pk, length_bytes=found.archive_bytes)
    response = StreamingHttpResponse(
        archives.read_range(found, first=0, end=found.archive_bytes),
        content_type="application/octet-stream",
    )
    response["Content-Disposition"] = f'attachment; filename="{downloads.file_name(found)}"'
    response["Content-Length"] = str(found.archive_bytes)
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Security-Policy"] = "sandbox"
    return response


@router.delete("/submissions/{submission_id}/archive", response=SubmissionOut, auth=SUBMIT)
def remove_archive(request: SignedInRequest, submission_id: UUID) -> dict[str, Any]:
    """Remove an archive that is no longer needed, to free space; its score and receipt stay.

    409 ``archive-needed`` while the submission waits, stands on the board or is chosen,
    ``archive-awaits-reveal`` before the reveal of private zones.
    """
    found, _viewer = _mine(request, submission_id)
    retention.remove_archive(submission=found, actor=request.user)
    found, viewer = _mine(request, submission_id)
    return submission_out(found, viewer=viewer)


@router.post("/submissions/{submission_id}/cancel", response=SubmissionOut, auth=SUBMIT)
def cancel_submission(request: SignedInRequest, submission_id: UUID) -> dict[str, Any]:
    """Withdraw a submission that still waits; its place is given back."""
    found, _viewer = _mine(request, submission_id)
    submissions.cancel(submission=found, actor=request.user)
    found, viewer = _mine(request, submission_id)
    return submission_out(found, viewer=viewer)


@router.post("/submissions/{submission_id}/final", response=SubmissionOut, auth=SUBMIT)
def choose_final(request: SignedInRequest, submission_id: UUID, given: FinalIn) -> dict[str, Any]:
    """Choose a scored submission for the final ranking, or drop the choice."""
    found, _viewer = _mine(request, submission_id)
    submissions.choose_final(submission=found, actor=request.user, chosen=given.chosen)
    found, viewer = _mine(request, submission_id)
    return submission_out(found, viewer=viewer)
