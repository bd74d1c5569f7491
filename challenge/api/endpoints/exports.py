"""For organisers: a phase's submissions, its leaderboard's table and its archives as files."""

from __future__ import annotations

from typing import Any, Literal

from django.http import HttpResponse, StreamingHttpResponse
from ninja import Router

from challenge.api import csv_answers, downloads
from challenge.api.access import ORGANISE, SignedInRequest
from challenge.api.desk_access import challenge_of, phase_of
from challenge.api.types import Slug
from challenge.rules.json_arrays import json_array
from challenge.rules.roles import Act
from challenge.rules.spreadsheet import csv_lines
from challenge.selectors import exports
from challenge.services import audit, stream_slots
from challenge.services.exports import exporting
from challenge.services.exports.exporting import Options
from challenge.services.submissions import archive_exports

router = Router(tags=["organisers"])

PHASE = "/organise/challenges/{slug}/phases/{phase}"


@router.get(
    f"{PHASE}/export", response={200: None}, auth=ORGANISE, openapi_extra=csv_answers.OPENAPI
)
def export_phase(
    request: SignedInRequest,
    slug: Slug,
    phase: Slug,
    format: Literal["csv", "json"] = "csv",  # noqa: A002  the query parameter's name
) -> Any:
    """All submissions of a phase as CSV or JSON; values under the phase's rules of disclosure."""
    shown = phase_of(request, slug, phase, Act.EXPORT)
    lines = exports.lines(shown, user=request.user)
    audit.record(
        "submissions.export",
        actor=request.user,
        challenge=shown.challenge,
        target=shown,
        format=format,
    )
    name = f"{slug}-{phase}-submissions.{format}"
    if format == "json":
        return downloads.attachment(
            StreamingHttpResponse(json_array(lines), content_type="application/json"), name=name
        )
    names = exports.columns(shown)
    parts = csv_lines(names, ([line[column] for column in names] for line in lines))
    response = StreamingHttpResponse(parts, content_type=csv_answers.CONTENT_TYPE)
    return downloads.attachment(response, name=name)


@router.get(
    f"{PHASE}/leaderboard.tex",
    response={200: None},
    auth=ORGANISE,
    openapi_extra=downloads.openapi("application/x-latex", is_text=True),
)
def leaderboard_table(request: SignedInRequest, slug: Slug, phase: Slug) -> Any:
    """The leaderboard as a LaTeX table: IoU by class, mIoU, intervals, ties."""
    shown = phase_of(request, slug, phase, Act.EXPORT)
    text = exports.latex_table(shown, user=request.user)
    response = HttpResponse(text, content_type="application/x-latex; charset=utf-8")
    return downloads.attachment(response, name=f"{slug}-{phase}-leaderboard.tex")


@router.get(
    f"{PHASE}/archives",
    response={200: None},
    auth=ORGANISE,
    openapi_extra=downloads.openapi("application/zip"),
)
def export_archives(request: SignedInRequest, slug: Slug, phase: Slug) -> Any:
    """All archives of a phase in one zip, streamed, with ``manifest.json`` (SHA-256) at its end."""
    shown = phase_of(request, slug, phase, Act.ARCHIVES)
    archive_exports.record(shown, actor=request.user)
    length_bytes = archive_exports.total_bytes(shown)
    stream_slots.occupy_download(request, user_id=request.user.pk, length_bytes=length_bytes)
    response = StreamingHttpResponse(archive_exports.stream(shown), content_type="application/zip")
    return downloads.attachment(response, name=f"{slug}-{phase}-archives.zip")


@router.get(
    "/organise/challenges/{slug}/export",
    response={200: None},
    auth=ORGANISE,
    openapi_extra=downloads.openapi("application/zip"),
)
def export_challenge(
    request: SignedInRequest, slug: Slug, personal_data: bool = False, archives: bool = False
) -> Any:
    """The whole challenge in one zip, streamed, for `manage.py import_challenge`; owners alone.

    Without `personal_data` people are numbers and free reasons are left out. `archives` adds what
    teams sent. Values leave as organisers may see them now.
    """
    challenge = challenge_of(request, slug, Act.EXPORT_ALL)
    options = Options(personal_data=personal_data, archives=archives)
    export = exporting.prepare(challenge=challenge, actor=request.user, options=options)
    length_bytes = exporting.length_bytes(challenge, options)
    stream_slots.occupy_download(request, user_id=request.user.pk, length_bytes=length_bytes)
    response = StreamingHttpResponse(exporting.stream(export), content_type="application/zip")
    return downloads.attachment(response, name=f"{slug}-export.zip")
