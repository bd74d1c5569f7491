"""For organisers: registrations, all submissions, re-scoring, verdicts, exports."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from ninja import Router, Schema
from pydantic import Field

from challenge.api import csv_answers, paging
from challenge.api.access import ORGANISE, SignedInRequest
from challenge.api.endpoints.submissions import StateName, Submissions, line_out
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
from challenge.errors import refuse
from challenge.models import Challenge, Phase, Registration, Submission
from challenge.rules import disclosure
from challenge.rules.disclosure import DisclosurePolicy, Viewer
from challenge.rules.roles import Act
from challenge.selectors import leaderboard, pages, phase_disclosure, roles
from challenge.selectors import submissions as selectors
from challenge.services import audit
from challenge.services.submissions import disqualifications, rescoring
from challenge.services.teams import teams

router = Router(tags=["organisers"])

CHALLENGE = "/organise/challenges/{slug}"
Reason = Annotated[str, Field(min_length=1, max_length=2000, pattern=TEXT_PATTERN)]


class RegistrationLine(Schema):
    """A person who wants to take part."""

    id: int
    username: str
    email: str
    affiliation: str
    state: str
    terms_version: str
    accepted_at: datetime
    note: str


class Registrations(Schema):
    """A page of registrations, the newest first."""

    items: list[RegistrationLine]
    next_cursor: str | None


class Decision(Given):
    """Approve or refuse; the person is mailed the note.

    ``lines`` is wanted where the team of who is refused has submitted: "keep" leaves its lines on
    the leaderboards, "remove" disqualifies the team, with the note as the reason.
    """

    approved: Flag
    note: Annotated[str, Field(max_length=2000, pattern=TEXT_PATTERN)] = ""
    lines: Literal["keep", "remove"] | None = None


class ReasonIn(Given):
    """Why; the team reads it."""

    reason: Reason


class RescoreIn(Given):
    """``force``: score again even what is scored under the present labels and task."""

    force: Flag = False


class Queued(Schema):
    """How many evaluations were queued."""

    queued: int


def _challenge(request: SignedInRequest, slug: str, act: Act) -> Challenge:
    challenge = pages.challenge_by_slug(slug, user=request.user)
    roles.require(request.user, act, challenge)
    return challenge


def _phase(request: SignedInRequest, slug: str, phase: str, act: Act) -> Phase:
    _challenge(request, slug, act)
    return pages.phase_by_slug(slug, phase, user=request.user)


def _submission(request: SignedInRequest, submission_id: UUID, act: Act) -> Submission:
    found, _viewer = selectors.get(submission_id, user=request.user)
    roles.require(request.user, act, found.entry.phase.challenge)
    return found


@router.get(f"{CHALLENGE}/registrations", response=Registrations, auth=ORGANISE)
def list_registrations(
    request: SignedInRequest,
    slug: Slug,
    state: Literal["pending", "approved", "refused"] | None = None,
    cursor: Cursor | None = None,
    limit: Limit = LIMIT_DEFAULT,
) -> dict[str, Any]:
    """Who registered, the newest first."""
    challenge = _challenge(request, slug, Act.PEOPLE)
    rows = Registration.objects.filter(challenge=challenge).select_related("user")
    if state is not None:
        rows = rows.filter(state=state)
    registrations, next_cursor = paging.page(
        rows, cursor=cursor, limit=limit, time_field="accepted_at"
    )
    items = [
        RegistrationLine(
            id=registration.pk,
            username=registration.user.username,
            email=registration.user.email,
            affiliation=registration.user.affiliation,
            state=registration.state,
            terms_version=registration.terms_version,
            accepted_at=registration.accepted_at,
            note=registration.note,
        )
        for registration in registrations
    ]
    return {"items": items, "next_cursor": next_cursor}


@router.post(f"{CHALLENGE}/registrations/{{registration_id}}", response=Done, auth=ORGANISE)
def decide_registration(
    request: SignedInRequest, slug: Slug, registration_id: RowId, given: Decision
) -> Done:
    """Approve or refuse a registration."""
    challenge = _challenge(request, slug, Act.PEOPLE)
    rows = Registration.objects.filter(challenge=challenge, pk=registration_id)
    registration = rows.select_related("user", "challenge").first()
    if registration is None:
        raise refuse("not-found")
    teams.decide_registration(
        registration=registration,
        actor=request.user,
        approved=given.approved,
        note=given.note,
        lines=teams.Lines(given.lines) if given.lines else None,
    )
    return Done()


@router.get(f"{CHALLENGE}/submissions", response=Submissions, auth=ORGANISE)
def list_all_submissions(
    request: SignedInRequest,
    slug: Slug,
    phase: Slug | None = None,
    state: StateName | None = None,
    cursor: Cursor | None = None,
    limit: Limit = LIMIT_DEFAULT,
) -> dict[str, Any]:
    """Every team's submissions, the newest first."""
    rows = selectors.of_challenge(_challenge(request, slug, Act.READ), user=request.user)
    if phase is not None:
        rows = rows.filter(entry__phase__slug=phase)
    if state is not None:
        rows = rows.filter(evaluations__state=state).distinct()
    submissions_found, next_cursor = paging.page(rows, cursor=cursor, limit=limit)
    items = [line_out(submission, viewer=Viewer.ORGANISER) for submission in submissions_found]
    return {"items": items, "next_cursor": next_cursor}


@router.post("/organise/submissions/{submission_id}/rescore", response=Queued, auth=ORGANISE)
def rescore_submission(
    request: SignedInRequest, submission_id: UUID, given: RescoreIn
) -> dict[str, int]:
    """Score one submission again under its phase's present labels and task."""
    submission = _submission(request, submission_id, Act.RESCORE)
    queued = rescoring.enqueue(
        phase=submission.entry.phase,
        submissions=[submission],
        force=given.force,
        actor=request.user,
    )
    return {"queued": len(queued)}


@router.post(f"{CHALLENGE}/phases/{{phase}}/rescore", response=Queued, auth=ORGANISE)
def rescore_phase(
    request: SignedInRequest, slug: Slug, phase: Slug, given: RescoreIn
) -> dict[str, int]:
    """Score every submission of a phase again, behind live ones."""
    queued = rescoring.enqueue(
        phase=_phase(request, slug, phase, Act.RESCORE), force=given.force, actor=request.user
    )
    return {"queued": len(queued)}


@router.post("/organise/submissions/{submission_id}/disqualify", response=Done, auth=ORGANISE)
def disqualify_submission(request: SignedInRequest, submission_id: UUID, given: ReasonIn) -> Done:
    """Take a submission off the board."""
    disqualifications.disqualify(
        submission=_submission(request, submission_id, Act.VERDICTS),
        actor=request.user,
        reason=given.reason,
    )
    return Done()


@router.post("/organise/submissions/{submission_id}/reinstate", response=Done, auth=ORGANISE)
def reinstate_submission(request: SignedInRequest, submission_id: UUID, given: ReasonIn) -> Done:
    """Undo a disqualification."""
    disqualifications.reinstate(
        submission=_submission(request, submission_id, Act.VERDICTS),
        actor=request.user,
        reason=given.reason,
    )
    return Done()


@router.get(
    f"{CHALLENGE}/phases/{{phase}}/export",
    response={200: None},
    auth=ORGANISE,
    openapi_extra=csv_answers.OPENAPI,
)
def export_phase(request: SignedInRequest, slug: Slug, phase: Slug) -> Any:
    """All submissions of a phase as CSV; values under the phase's rules of disclosure."""
    phase_shown = _phase(request, slug, phase, Act.EXPORT)
    rows = selectors.of_challenge(phase_shown.challenge, user=request.user).filter(
        entry__phase=phase_shown
    )
    keys = [shown_class.key for shown_class in leaderboard.classes_of(phase_shown)]
    audit.record(
        "submissions.export",
        actor=request.user,
        challenge=phase_shown.challenge,
        target=phase_shown,
    )
    header = ["submission", "number", "team", "submitted_by", "created_at", "state", "method"]
    header += ["miou", *(f"iou_{key}" for key in keys)]
    header += ["archive_bytes", "archive_sha256", "is_baseline", "is_final", "disqualified_at"]
    policy = phase_disclosure.policy_for(phase_shown, viewer=Viewer.ORGANISER)
    lines = (_export_line(row, keys=keys, policy=policy) for row in rows)
    return csv_answers.respond(header, lines, name=f"{slug}-{phase}-submissions.csv")


def _export_line(
    submission: Submission, *, keys: list[str], policy: DisclosurePolicy
) -> list[object]:
    line = line_out(submission, viewer=Viewer.ORGANISER)
    evaluation = selectors.current(submission)
    is_scored = evaluation is not None and evaluation.state == "scored"
    score = evaluation.score if evaluation is not None and is_scored else None
    ious = (
        disclosure.disclose_class_ious(score.class_ious, score.rounded, policy=policy)
        if score is not None
        else {}
    )
    disqualified = submission.disqualified_at
    return [
        str(submission.id),
        submission.number,
        line["team"],
        line["submitted_by"],
        f"{submission.created_at:%Y-%m-%dT%H:%M:%SZ}",
        line["state"],
        submission.method_name,
        line["miou"],
        *(ious.get(key) for key in keys),
        submission.archive_bytes,
        submission.archive_sha256,
        submission.is_baseline,
        submission.is_final,
        f"{disqualified:%Y-%m-%dT%H:%M:%SZ}" if disqualified else None,
    ]
