"""A phase's scores as files, from the desk: submissions, the paper's table, all archives."""

from __future__ import annotations

from typing import TypeVar

from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse

from challenge.errors import refuse
from challenge.models import Phase
from challenge.rules.json_arrays import json_array
from challenge.rules.roles import Act
from challenge.rules.spreadsheet import csv_lines
from challenge.selectors import exports, pages, roles
from challenge.services import audit, stream_slots
from challenge.services.leaderboard import certificates
from challenge.services.submissions import archive_exports
from challenge.web.requests import SignedInRequest, page_view

Answer = TypeVar("Answer", bound=HttpResponseBase)


@page_view("GET", sign_in=True, cache=False)
def submissions(
    request: SignedInRequest, slug: str, phase_slug: str, kind: str
) -> StreamingHttpResponse:
    """Answer all submissions of a phase as CSV or JSON, a line at a time."""
    phase = _phase(request, slug, phase_slug, Act.EXPORT)
    lines = exports.lines(phase, user=request.user)
    audit.record(
        "submissions.export",
        actor=request.user,
        challenge=phase.challenge,
        target=phase,
        format=kind,
    )
    if kind == "csv":
        names = exports.columns(phase)
        rows = ([line[name] for name in names] for line in lines)
        parts, content_type = csv_lines(names, rows), "text/csv; charset=utf-8"
    else:
        parts, content_type = json_array(lines), "application/json"
    return attachment(
        StreamingHttpResponse(parts, content_type=content_type),
        name=f"{slug}-{phase_slug}-submissions.{kind}",
    )


@page_view("GET", sign_in=True, cache=False)
def latex_table(request: SignedInRequest, slug: str, phase_slug: str) -> HttpResponse:
    """Answer the leaderboard as a LaTeX table, with ties and intervals."""
    phase = _phase(request, slug, phase_slug, Act.EXPORT)
    text = exports.latex_table(phase, user=request.user)
    response = HttpResponse(text, content_type="application/x-latex; charset=utf-8")
    return attachment(response, name=f"{slug}-{phase_slug}-leaderboard.tex")


@page_view("GET", sign_in=True, cache=False)
def archives(request: SignedInRequest, slug: str, phase_slug: str) -> HttpResponseBase:
    """Answer all archives of a phase as one zip with a manifest; the trail says who took it."""
    phase = _phase(request, slug, phase_slug, Act.ARCHIVES)
    archive_exports.record(phase, actor=request.user)
    length_bytes = archive_exports.total_bytes(phase)
    stream_slots.occupy_download(request, user_id=request.user.pk, length_bytes=length_bytes)
    response = StreamingHttpResponse(archive_exports.stream(phase), content_type="application/zip")
    return attachment(response, name=f"{slug}-{phase_slug}-archives.zip")


@page_view("GET", sign_in=True, cache=False)
def certificates_zip(request: SignedInRequest, slug: str, phase_slug: str) -> HttpResponseBase:
    """Answer the certificates of all ranked teams, in every language, as one zip."""
    phase = _phase(request, slug, phase_slug, Act.EXPORT)
    if phase.result_version == 0:
        raise refuse("not-found")
    certificates.record(phase, actor=request.user)
    stream_slots.occupy(request, user_id=request.user.pk, direction=stream_slots.Direction.DOWNLOAD)
    response = StreamingHttpResponse(certificates.stream(phase), content_type="application/zip")
    return attachment(response, name=f"{slug}-{phase_slug}-certificates.zip")


def _phase(request: SignedInRequest, slug: str, phase_slug: str, act: Act) -> Phase:
    challenge = pages.challenge_by_slug(slug, user=request.user)
    roles.require(request.user, act, challenge)
    return pages.phase_by_slug(slug, phase_slug, user=request.user)


def attachment(response: Answer, *, name: str) -> Answer:
    """Have the browser save an answer under a name."""
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["X-Content-Type-Options"] = "nosniff"
    return response
