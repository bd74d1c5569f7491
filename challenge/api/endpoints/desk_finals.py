"""From the settlement to the ceremony: reveal, certificates, the best for another phase."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from django.http import HttpResponse, StreamingHttpResponse
from django.utils import timezone
from ninja import Router, Schema
from pydantic import Field

from challenge.api import downloads
from challenge.api.access import ORGANISE, READ, SignedInRequest
from challenge.api.desk_access import CHALLENGE, Language, phase_of
from challenge.api.endpoints.comparisons import ComparedSubmission, submission_out
from challenge.api.endpoints.results import ObstacleOut, obstacle_out
from challenge.api.types import TEXT_PATTERN, Done, Flag, Given, RowId, Slug
from challenge.rules.roles import Act
from challenge.selectors import final_results, pages, reveals
from challenge.services import stream_slots
from challenge.services.leaderboard import certificates
from challenge.services.submissions import copying, reveal_requests

router = Router(tags=["organisers"])
results_router = Router(tags=["results"])

PHASE = f"{CHALLENGE}/phases/{{phase}}"
Digest = Annotated[str, Field(max_length=64, pattern=TEXT_PATTERN)]


class RevealOut(Schema):
    """How the reveal of a phase's private zones stands.

    ``pending``: a worker was asked and has not ended. ``failure`` is what it said of the last
    request, ``obstacle`` why there can be none now. ``commitment`` is the SHA-256 of the list of
    zones, which is published with the reveal.
    """

    revealed_at: datetime | None
    obstacle: ObstacleOut | None
    pending: bool
    failure: str
    commitment: str


class RevealIn(Given):
    """``partial``: reveal although some submissions have neither evidence nor archive.

    They lose their rank.
    """

    partial: Flag = False


class CertificateOut(Schema):
    """A ranked team of the last signed result.

    ``unshown`` are characters of its name, method or affiliation that the font of certificates
    lacks; they are written there as numbers, ``[U+…]``.
    """

    team: str
    team_id: int
    rank: int
    unshown: str


class Certificates(Schema):
    """Who has a certificate, in which languages; of which version of the final result."""

    version: int
    languages: list[str]
    items: list[CertificateOut]


class CopyPlanOut(Schema):
    """What would be copied, best first; send ``digest`` back to copy exactly this.

    ``copied_before``: the other phase has the same bytes of the team. ``without_archive``: the
    archive was removed.
    """

    digest: str
    submissions: list[ComparedSubmission]
    copied_before: list[ComparedSubmission]
    without_archive: list[ComparedSubmission]
    obstacles: list[ObstacleOut]


class CopyIn(Given):
    """``digest`` is that of the plan."""

    digest: Digest


class Copied(Schema):
    """The copies, which wait to be scored."""

    items: list[ComparedSubmission]


@router.get(f"{PHASE}/reveal", response=RevealOut, auth=ORGANISE)
def get_reveal(request: SignedInRequest, slug: Slug, phase: Slug) -> dict[str, Any]:
    """Whether the phase's private zones are revealed, or what keeps them from it."""
    shown = phase_of(request, slug, phase, Act.READ)
    standing = reveals.standing(shown, now=timezone.now())
    waits = shown.awaits_reveal
    return {
        "revealed_at": shown.revealed_at,
        "obstacle": obstacle_out(standing.obstacle) if standing.obstacle else None,
        "pending": waits and standing.pending,
        "failure": standing.failure if waits else "",
        "commitment": shown.ground_truth.split_commitment if shown.ground_truth else "",
    }


@router.post(f"{PHASE}/reveal", response=Done, auth=ORGANISE)
def request_reveal(request: SignedInRequest, slug: Slug, phase: Slug, given: RevealIn) -> Done:
    """Ask a worker to score all submissions on the private zones and publish all at once."""
    reveal_requests.request(
        phase=phase_of(request, slug, phase, Act.FINALS),
        actor=request.user,
        partial=given.partial,
    )
    return Done()


@router.get(f"{PHASE}/certificates", response=Certificates, auth=ORGANISE)
def list_certificates(request: SignedInRequest, slug: Slug, phase: Slug) -> dict[str, Any]:
    """The teams with a certificate; 404 before a result was signed."""
    result = final_results.get(phase_of(request, slug, phase, Act.READ))
    return {
        "version": result.version,
        "languages": certificates.languages(),
        "items": [
            {
                "team": line["team"],
                "team_id": team_id,
                "rank": line["rank"],
                "unshown": certificates.unshown(line),
            }
            for team_id, line in final_results.ranked_lines(result).items()
        ],
    }


@router.get(
    f"{PHASE}/certificates.zip",
    response={200: None},
    auth=ORGANISE,
    openapi_extra=downloads.openapi("application/zip"),
)
def export_certificates(request: SignedInRequest, slug: Slug, phase: Slug) -> Any:
    """The certificates of all ranked teams, in every language, as one zip of PDFs."""
    shown = phase_of(request, slug, phase, Act.EXPORT)
    final_results.get(shown)
    certificates.record(shown, actor=request.user)
    stream_slots.occupy(request, user_id=request.user.pk, direction=stream_slots.Direction.DOWNLOAD)
    response = StreamingHttpResponse(certificates.stream(shown), content_type="application/zip")
    return downloads.attachment(response, name=f"{slug}-{phase}-certificates.zip")


@results_router.get(
    "/challenges/{slug}/phases/{phase}/certificates/{team_id}",
    response={200: None},
    auth=READ,
    openapi_extra=downloads.openapi("application/pdf"),
)
def get_certificate(
    request: SignedInRequest, slug: Slug, phase: Slug, team_id: RowId, language: Language = "en"
) -> Any:
    """A team's certificate as a PDF, to its members and to organisers."""
    shown = pages.phase_by_slug(slug, phase, user=request.user)
    pdf = certificates.of_team(shown, user=request.user, team_id=team_id, language=language)
    response = HttpResponse(pdf, content_type="application/pdf")
    return downloads.attachment(response, name=f"{slug}-{phase}-{team_id}-{language}.pdf")


@router.get(f"{PHASE}/copies/{{target}}", response=CopyPlanOut, auth=ORGANISE)
def plan_copies(request: SignedInRequest, slug: Slug, phase: Slug, target: Slug) -> dict[str, Any]:
    """What copying the phase's ranked submissions into another phase would do."""
    source = phase_of(request, slug, phase, Act.READ)
    plan = copying.plan(source=source, target=phase_of(request, slug, target, Act.READ))
    return {
        "digest": plan.digest,
        "submissions": [submission_out(one) for one in plan.submissions],
        "copied_before": [submission_out(one) for one in plan.copied_before],
        "without_archive": [submission_out(one) for one in plan.without_archive],
        "obstacles": [obstacle_out(one) for one in plan.obstacles],
    }


@router.post(f"{PHASE}/copies/{{target}}", response=Copied, auth=ORGANISE)
def copy_best(
    request: SignedInRequest, slug: Slug, phase: Slug, target: Slug, given: CopyIn
) -> dict[str, Any]:
    """Copy what the plan showed and queue it under the other phase's labels; no quota counts it."""
    copies = copying.copy_best(
        source=phase_of(request, slug, phase, Act.FINALS),
        target=phase_of(request, slug, target, Act.FINALS),
        actor=request.user,
        confirmed=given.digest,
    )
    return {"items": [submission_out(one) for one in copies]}
