"""For organisers: registrations, all submissions, re-scoring, verdicts, exports."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from django.http import HttpRequest
from ninja import Router, Schema
from pydantic import Field

from challenge.api import csv_answers, paging
from challenge.api.access import ORGANISE, person
from challenge.api.submissions import StateName, Submissions, line_out
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
from challenge.rules.disclosure import Terms, Viewer
from challenge.selectors import leaderboard, pages, people
from challenge.selectors import submissions as selectors
from challenge.services import evaluations, submissions, teams

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
    """Approve or refuse."""

    approved: Flag
    note: Annotated[str, Field(max_length=2000, pattern=TEXT_PATTERN)] = ""


class ReasonIn(Given):
    """Why; the team reads it."""

    reason: Reason


class RescoreIn(Given):
    """``force``: score again even what is scored under the present labels and task."""

    force: Flag = False


class Queued(Schema):
    """How many evaluations were queued."""

    queued: int


def _challenge(request: HttpRequest, slug: str) -> Challenge:
    challenge = pages.challenge_by_slug(slug, user=person(request))
    if not people.is_organiser(person(request), challenge):
        raise refuse("not-organiser", challenge=challenge.slug)
    return challenge


def _phase(request: HttpRequest, slug: str, phase: str) -> Phase:
    _challenge(request, slug)
    return pages.phase_by_slug(slug, phase, user=person(request))


def _submission(request: HttpRequest, submission_id: UUID) -> Submission:
    found, viewer = selectors.get(submission_id, user=person(request))
    if viewer is not Viewer.ORGANISER:
        raise refuse("not-organiser", challenge=found.entry.phase.challenge.slug)
    return found


@router.get(f"{CHALLENGE}/registrations", response=Registrations, auth=ORGANISE)
def list_registrations(
    request: HttpRequest,
    slug: Slug,
    state: Literal["pending", "approved", "refused"] | None = None,
    cursor: Cursor | None = None,
    limit: Limit = LIMIT_DEFAULT,
) -> dict[str, Any]:
    """Who registered, the newest first."""
    rows = Registration.objects.filter(challenge=_challenge(request, slug)).select_related("user")
    if state is not None:
        rows = rows.filter(state=state)
    found, next_cursor = paging.page(rows, cursor=cursor, limit=limit, time_field="accepted_at")
    items = [
        RegistrationLine(
            id=one.pk,
            username=one.user.username,
            email=one.user.email,
            affiliation=one.user.affiliation,
            state=one.state,
            terms_version=one.terms_version,
            accepted_at=one.accepted_at,
            note=one.note,
        )
        for one in found
    ]
    return {"items": items, "next_cursor": next_cursor}


@router.post(f"{CHALLENGE}/registrations/{{registration_id}}", response=Done, auth=ORGANISE)
def decide_registration(
    request: HttpRequest, slug: Slug, registration_id: RowId, given: Decision
) -> Done:
    """Approve or refuse a registration."""
    rows = Registration.objects.filter(challenge=_challenge(request, slug), pk=registration_id)
    registration = rows.select_related("user", "challenge").first()
    if registration is None:
        raise refuse("not-found")
    teams.decide_registration(
        registration=registration,
        actor=person(request),
        approved=given.approved,
        note=given.note,
    )
    return Done()


@router.get(f"{CHALLENGE}/submissions", response=Submissions, auth=ORGANISE)
def list_all_submissions(
    request: HttpRequest,
    slug: Slug,
    phase: Slug | None = None,
    state: StateName | None = None,
    cursor: Cursor | None = None,
    limit: Limit = LIMIT_DEFAULT,
) -> dict[str, Any]:
    """Every team's submissions, the newest first."""
    rows = selectors.of_challenge(_challenge(request, slug), user=person(request))
    if phase is not None:
        rows = rows.filter(entry__phase__slug=phase)
    if state is not None:
        rows = rows.filter(evaluations__state=state).distinct()
    found, next_cursor = paging.page(rows, cursor=cursor, limit=limit)
    items = [line_out(one, viewer=Viewer.ORGANISER) for one in found]
    return {"items": items, "next_cursor": next_cursor}


@router.post("/organise/submissions/{submission_id}/rescore", response=Queued, auth=ORGANISE)
def rescore_submission(
    request: HttpRequest, submission_id: UUID, given: RescoreIn
) -> dict[str, int]:
    """Score one submission again under its phase's present labels and task."""
    found = _submission(request, submission_id)
    queued = evaluations.enqueue_rescore(
        phase=found.entry.phase, submissions=[found], force=given.force, actor=person(request)
    )
    return {"queued": len(queued)}


@router.post(f"{CHALLENGE}/phases/{{phase}}/rescore", response=Queued, auth=ORGANISE)
def rescore_phase(
    request: HttpRequest, slug: Slug, phase: Slug, given: RescoreIn
) -> dict[str, int]:
    """Score every submission of a phase again, behind live ones."""
    queued = evaluations.enqueue_rescore(
        phase=_phase(request, slug, phase), force=given.force, actor=person(request)
    )
    return {"queued": len(queued)}


@router.post("/organise/submissions/{submission_id}/disqualify", response=Done, auth=ORGANISE)
def disqualify_submission(request: HttpRequest, submission_id: UUID, given: ReasonIn) -> Done:
    """Take a submission off the board."""
    submissions.disqualify(
        submission=_submission(request, submission_id),
        actor=person(request),
        reason=given.reason,
    )
    return Done()


@router.post("/organise/submissions/{submission_id}/reinstate", response=Done, auth=ORGANISE)
def reinstate_submission(request: HttpRequest, submission_id: UUID, given: ReasonIn) -> Done:
    """Undo a disqualification."""
    submissions.reinstate(
        submission=_submission(request, submission_id),
        actor=person(request),
        reason=given.reason,
    )
    return Done()


@router.get(
    f"{CHALLENGE}/phases/{{phase}}/export",
    response={200: None},
    auth=ORGANISE,
    openapi_extra=csv_answers.OPENAPI,
)
def export_phase(request: HttpRequest, slug: Slug, phase: Slug) -> Any:
    """All submissions of a phase as CSV; figures under the phase's rules of disclosure."""
    found = _phase(request, slug, phase)
    rows = selectors.of_challenge(found.challenge, user=person(request)).filter(entry__phase=found)
    keys = [one.key for one in leaderboard.classes_of(found)]
    header = ["submission", "number", "team", "submitted_by", "created_at", "state", "method"]
    header += ["miou", *(f"iou_{key}" for key in keys)]
    header += ["archive_bytes", "archive_sha256", "is_baseline", "is_final", "disqualified_at"]
    terms = leaderboard.terms_for(found, viewer=Viewer.ORGANISER)
    lines = (_export_line(one, keys=keys, terms=terms) for one in rows)
    return csv_answers.respond(header, lines, name=f"{slug}-{phase}-submissions.csv")


def _export_line(submission: Submission, *, keys: list[str], terms: Terms) -> list[object]:
    line = line_out(submission, viewer=Viewer.ORGANISER)
    evaluation = selectors.current(submission)
    is_scored = evaluation is not None and evaluation.state == "scored"
    ious = evaluation.score.class_ious if evaluation is not None and is_scored else {}
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
        *(disclosure.figure(ious.get(key), terms=terms) for key in keys),
        submission.archive_bytes,
        submission.archive_sha256,
        submission.is_baseline,
        submission.is_final,
        f"{disqualified:%Y-%m-%dT%H:%M:%SZ}" if disqualified else None,
    ]
