"""Winners' documents: asked for and judged by organisers, seen and delivered by the team."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from django.http import StreamingHttpResponse
from ninja import Router, Schema
from pydantic import Field

from challenge.api import downloads
from challenge.api.access import ORGANISE, READ, SUBMIT, SignedInRequest
from challenge.api.desk_access import CHALLENGE, Moment, challenge_of, phase_of
from challenge.api.types import TEXT_PATTERN, Done, Flag, Given, RowId, Slug
from challenge.errors import refuse
from challenge.models import Challenge, DocumentRequest, WinnerDocument
from challenge.rules.roles import Act
from challenge.selectors import documents as selector
from challenge.selectors import pages
from challenge.services import stream_slots
from challenge.services.storage import archives
from challenge.services.teams import winner_documents as service

router = Router(tags=["organisers"])
team_router = Router(tags=["teams"])

PHASE = f"{CHALLENGE}/phases/{{phase}}"
TEAM_PHASE = "/challenges/{slug}/phases/{phase}"
NEXT_LISTED = service.MOST_TEAMS
State = Literal["asked", "delivered", "accepted", "refused"]
Kind = Literal["code", "report"]


class DocumentOut(Schema):
    """A document: a ``link``, or a file that its team, owners and judges download."""

    id: int
    kind: Kind
    link: str
    file_name: str
    size_bytes: int
    sha256: str
    delivered_at: datetime


class RequestOut(Schema):
    """What a team was asked for; ``rank`` is the team's when it was asked.

    ``reason`` is that of a refusal.
    """

    id: int
    team: str
    team_id: int
    rank: int
    state: State
    wanted: str
    deadline: datetime
    asked_at: datetime
    decided_at: datetime | None
    reason: str
    documents: list[DocumentOut]


class NextOut(Schema):
    """A team that was not asked yet."""

    team: str
    team_id: int
    rank: int


class DocumentRequests(Schema):
    """Who was asked, by rank, and who would be asked next, best first (20 at most).

    Teams are asked once ``ready``: the phase is settled, and its private zones are revealed.
    """

    ready: bool
    items: list[RequestOut]
    next: list[NextOut]


class Asked(Schema):
    """The teams that were asked now."""

    items: list[RequestOut]


class AskIn(Given):
    """Ask the ``count`` best teams that were not asked yet; ``wanted`` is mailed as it stands."""

    count: Annotated[int, Field(ge=1, le=service.MOST_TEAMS, strict=True)]
    wanted: Annotated[
        str, Field(min_length=1, max_length=service.WANTED_CHARACTERS, pattern=TEXT_PATTERN)
    ]
    deadline: Moment


class DocumentsVerdict(Given):
    """Accept the documents, or refuse them with a ``reason``, which the team is mailed."""

    accepted: Flag
    reason: Annotated[str, Field(max_length=service.REASON_CHARACTERS, pattern=TEXT_PATTERN)] = ""


class DeadlineIn(Given):
    """Another deadline; it also takes back a refusal."""

    deadline: Moment


class LinkIn(Given):
    """Where a document is on the web; it takes the place of an earlier one of its kind."""

    kind: Kind
    link: Annotated[
        str, Field(min_length=1, max_length=service.LINK_CHARACTERS, pattern=TEXT_PATTERN)
    ]


@router.get(f"{PHASE}/documents", response=DocumentRequests, auth=ORGANISE)
def list_document_requests(request: SignedInRequest, slug: Slug, phase: Slug) -> dict[str, Any]:
    """Which teams were asked for documents, what they sent, and who is next in line."""
    shown = phase_of(request, slug, phase, Act.READ)
    return {
        "ready": shown.settlement_recorded and not shown.awaits_reveal,
        "items": [_request_out(row) for row in selector.of_phase(shown)],
        "next": [
            {
                "team": line.entry.team.name,
                "team_id": line.entry.team_id,
                "rank": line.rank,
            }
            for line in selector.next_lines(shown, count=NEXT_LISTED)
        ],
    }


@router.post(f"{PHASE}/documents", response=Asked, auth=ORGANISE)
def ask_for_documents(
    request: SignedInRequest, slug: Slug, phase: Slug, given: AskIn
) -> dict[str, Any]:
    """Ask the next teams in line for code and a report; they are mailed."""
    made = service.ask(
        phase=phase_of(request, slug, phase, Act.FINALS),
        actor=request.user,
        count=given.count,
        wanted=given.wanted,
        deadline=given.deadline,
    )
    return {"items": [_request_out(row) for row in made]}


@router.post(f"{CHALLENGE}/documents/{{request_id}}", response=Done, auth=ORGANISE)
def decide_documents(
    request: SignedInRequest, slug: Slug, request_id: RowId, given: DocumentsVerdict
) -> Done:
    """Accept or refuse a team's documents; it is mailed."""
    challenge = challenge_of(request, slug, Act.FINALS)
    service.decide(
        row=_row(challenge, request_id),
        actor=request.user,
        accept=given.accepted,
        reason=given.reason,
    )
    return Done()


@router.patch(f"{CHALLENGE}/documents/{{request_id}}", response=Done, auth=ORGANISE)
def extend_documents_deadline(
    request: SignedInRequest, slug: Slug, request_id: RowId, given: DeadlineIn
) -> Done:
    """Give a team another deadline, after a refusal too; it is mailed."""
    challenge = challenge_of(request, slug, Act.FINALS)
    service.extend(row=_row(challenge, request_id), actor=request.user, deadline=given.deadline)
    return Done()


@team_router.get(f"{TEAM_PHASE}/documents", response=RequestOut, auth=READ)
def get_own_documents(request: SignedInRequest, slug: Slug, phase: Slug) -> dict[str, Any]:
    """What one's own team was asked for as a winner, and what it sent; 404 where it was not."""
    shown = pages.phase_by_slug(slug, phase, user=request.user)
    return _request_out(selector.own_request(request.user, shown))


@team_router.post(f"{TEAM_PHASE}/documents", response=DocumentOut, auth=SUBMIT)
def deliver_document(
    request: SignedInRequest, slug: Slug, phase: Slug, given: LinkIn
) -> dict[str, Any]:
    """Deliver one of the team's documents as an address; files are sent on the page."""
    shown = pages.phase_by_slug(slug, phase, user=request.user)
    row = selector.own_request(request.user, shown)
    made = service.deliver(row=row, actor=request.user, kind=given.kind, link=given.link)
    return _document_out(made)


@team_router.get(
    f"{TEAM_PHASE}/documents/{{document_id}}",
    response={200: None},
    auth=READ,
    openapi_extra=downloads.openapi("application/octet-stream"),
)
def get_document(request: SignedInRequest, slug: Slug, phase: Slug, document_id: RowId) -> Any:
    """A delivered file, to its team, owners and judges, always as a download."""
    shown = pages.phase_by_slug(slug, phase, user=request.user)
    found = selector.file_of(request.user, shown, document_id)
    stream_slots.occupy_download(request, user_id=request.user.pk, length_bytes=found.size_bytes)
    response = StreamingHttpResponse(
        archives.read_stored(found.stored_name, first=0, end=found.size_bytes),
        content_type="application/octet-stream",
    )
    response["Content-Length"] = str(found.size_bytes)
    response["Content-Security-Policy"] = "sandbox"
    return downloads.attachment(response, name=selector.file_name(found, phase=shown))


def _row(challenge: Challenge, request_id: int) -> DocumentRequest:
    rows = DocumentRequest.objects.select_related("team", "phase__challenge")
    row = rows.filter(phase__challenge=challenge, pk=request_id).first()
    if row is None:
        raise refuse("not-found")
    return row


def _request_out(row: DocumentRequest) -> dict[str, Any]:
    return {
        "id": row.pk,
        "team": row.team.name,
        "team_id": row.team_id,
        "rank": row.rank,
        "state": row.state,
        "wanted": row.wanted,
        "deadline": row.deadline,
        "asked_at": row.asked_at,
        "decided_at": row.decided_at,
        "reason": row.reason,
        "documents": [_document_out(one) for one in row.documents.all()],
    }


def _document_out(one: WinnerDocument) -> dict[str, Any]:
    return {
        "id": one.pk,
        "kind": one.kind,
        "link": one.link,
        "file_name": one.original_name,
        "size_bytes": one.size_bytes,
        "sha256": one.sha256,
        "delivered_at": one.delivered_at,
    }
