"""For organisers: registrations, all submissions, re-scoring, verdicts, exports."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from ninja import Router, Schema
from pydantic import Field

from challenge.api import paging
from challenge.api.access import ORGANISE, SignedInRequest
from challenge.api.desk_access import CHALLENGE, Reason, challenge_of, phase_of
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
from challenge.models import Registration, Submission
from challenge.rules.disclosure import Viewer
from challenge.rules.roles import Act
from challenge.selectors import roles
from challenge.selectors import submissions as selectors
from challenge.services.submissions import disqualifications, rescoring
from challenge.services.teams import teams

router = Router(tags=["organisers"])


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
    """``force``: score again even what is scored under the present labels and task.

    ``confirm`` is the ``confirmation`` of the problem that the same request gets without it
    (``rescore-unconfirmed``, with the ``count`` that would be queued).
    """

    force: Flag = False
    confirm: Annotated[str, Field(max_length=64, pattern=TEXT_PATTERN)] = ""


class Queued(Schema):
    """How many evaluations were queued."""

    queued: int


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
    challenge = challenge_of(request, slug, Act.PEOPLE)
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
    challenge = challenge_of(request, slug, Act.PEOPLE)
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
    rows = selectors.of_challenge(challenge_of(request, slug, Act.READ), user=request.user)
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
    """Score one submission again under its phase's present labels and task; asks first (409)."""
    submission = _submission(request, submission_id, Act.RESCORE)
    queued = rescoring.enqueue(
        phase=submission.entry.phase,
        submissions=[submission],
        force=given.force,
        actor=request.user,
        confirmed=given.confirm,
    )
    return {"queued": len(queued)}


@router.post(f"{CHALLENGE}/phases/{{phase}}/rescore", response=Queued, auth=ORGANISE)
def rescore_phase(
    request: SignedInRequest, slug: Slug, phase: Slug, given: RescoreIn
) -> dict[str, int]:
    """Score every submission of a phase again, behind live ones; asks first (409)."""
    queued = rescoring.enqueue(
        phase=phase_of(request, slug, phase, Act.RESCORE),
        force=given.force,
        actor=request.user,
        confirmed=given.confirm,
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
