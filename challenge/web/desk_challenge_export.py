"""The whole challenge as one file, for owners: what it has, and the download."""

from __future__ import annotations

from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import render

from challenge.rules.roles import Act
from challenge.selectors import roles
from challenge.services import stream_slots
from challenge.services.exports import exporting
from challenge.services.exports.exporting import Options
from challenge.web import desk
from challenge.web.desk_exports import attachment
from challenge.web.requests import SignedInRequest, page_view
from challenge.web.views import challenge_context


@page_view("GET", sign_in=True, cache=False)
def page(request: SignedInRequest, slug: str) -> HttpResponse:
    """Say what an export has and has not, with the form that asks for it."""
    challenge = desk.challenge_of(request, slug)
    roles.require(request.user, Act.EXPORT_ALL, challenge)
    context = challenge_context(request, challenge, current="desk") | {
        "archives_bytes": exporting.length_bytes(challenge, Options(archives=True))
    }
    return render(request, "web/desk_challenge_export.html", context)


@page_view("GET", sign_in=True, cache=False)
def download(request: SignedInRequest, slug: str) -> HttpResponseBase:
    """Answer the export, streamed; the trail says who took it and with what."""
    challenge = desk.challenge_of(request, slug)
    options = Options(
        personal_data="personal_data" in request.GET, archives="archives" in request.GET
    )
    export = exporting.prepare(challenge=challenge, actor=request.user, options=options)
    length_bytes = exporting.length_bytes(challenge, options)
    stream_slots.occupy_download(request, user_id=request.user.pk, length_bytes=length_bytes)
    response = StreamingHttpResponse(exporting.stream(export), content_type="application/zip")
    return attachment(response, name=f"{slug}-export.zip")
