"""The tus 1.0 endpoints: ``/api/v1/uploads`` and ``/api/v1/uploads/{id}``.

They translate headers for :mod:`challenge.services.storage.uploads`. A refusal is problem JSON as
everywhere in the API, and is answered only after the body was read.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import reverse
from django.utils.http import http_date
from django.views.decorators.csrf import csrf_exempt

from challenge.errors import Refusal, problem_response, refuse
from challenge.models import Upload, User
from challenge.selectors import pages
from challenge.services import stream_slots, throttles
from challenge.services.accounts import identities
from challenge.services.labels import uploads as label_uploads
from challenge.services.storage import limits, parts, uploads
from challenge.services.submissions import submissions
from challenge.uploads import headers, streams

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponse]
PHASE = re.compile(r"[-a-zA-Z0-9_]{1,50}/[-a-zA-Z0-9_]{1,50}", re.ASCII)
METHOD_OVERRIDES = frozenset({"PATCH", "DELETE", "HEAD"})


def tus_endpoint(view: View[P]) -> View[P]:
    """Version check, refusals as problem JSON, the headers that every tus answer has."""

    @csrf_exempt  # identities.identify checks it where a cookie speaks for the person
    @wraps(view)
    def wrapped(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        _override_method(request)
        body = streams.Body(request)
        try:
            if request.method != "OPTIONS":
                throttles.check(request, kind="upload")
            if request.method not in {"OPTIONS", "GET"}:  # GET is no method of tus
                headers.check_version(request)
            response = view(request, *args, **kwargs)
        except Refusal as refusal:
            body.drain()
            response = _problem(refusal)
        response["Tus-Resumable"] = headers.VERSION
        response.setdefault("Cache-Control", "no-store")
        response["X-Content-Type-Options"] = "nosniff"
        return response

    return wrapped


def _override_method(request: HttpRequest) -> None:
    override = request.headers.get("X-HTTP-Method-Override", "").upper()
    if request.method == "POST" and override in METHOD_OVERRIDES:
        request.method = override


def _problem(refusal: Refusal) -> HttpResponse:
    response = problem_response(refusal)
    if refusal.status == 460:
        response.reason_phrase = "Checksum Mismatch"
    if refusal.status == 412:
        response["Tus-Version"] = headers.VERSION
    if (offset := refusal.params.get("offset_bytes")) is not None:
        response["Upload-Offset"] = str(offset)
    return response


def _wrong_method(request: HttpRequest, allow: str) -> Refusal:
    return refuse("method-not-allowed", method=request.method, allow=allow)


@tus_endpoint
def collection(request: HttpRequest) -> HttpResponse:
    """OPTIONS: what the server can do. POST: create an upload, perhaps with its first bytes.

    GET, beside tus: one's uploads that were not submitted, to resume or delete.
    """
    if request.method == "OPTIONS":
        return _options()
    if request.method == "GET":
        return _list(request)
    if request.method == "POST":
        return _create(request)
    raise _wrong_method(request, "OPTIONS, GET, POST")


@tus_endpoint
def item(request: HttpRequest, upload_id: UUID) -> HttpResponse:
    """HEAD: the offset. PATCH: bytes at the offset. DELETE: delete the upload."""
    if request.method == "OPTIONS":
        return _options()
    if request.method not in {"HEAD", "PATCH", "DELETE"}:
        raise _wrong_method(request, "OPTIONS, HEAD, PATCH, DELETE")
    user = identities.identify(request, scope="submit", kind="upload").user
    upload = uploads.get(user=user, upload_id=upload_id)
    if request.method == "HEAD":
        response = HttpResponse(status=200)
        return _with_state(response, upload, offset_bytes=uploads.offset_bytes(upload))
    if request.method == "PATCH":
        headers.check_content_type(request)
        offset = headers.integer(request, "Upload-Offset")
        offset = _receive(request, upload, offset_bytes=offset)
        return _with_state(HttpResponse(status=204), upload, offset_bytes=offset)
    uploads.terminate(upload)
    return HttpResponse(status=204)


def _options() -> HttpResponse:
    response = HttpResponse(status=204)
    response["Tus-Version"] = headers.VERSION
    response["Tus-Extension"] = headers.EXTENSIONS
    response["Tus-Max-Size"] = str(settings.UPLOAD_LIMIT_BYTES)
    response["Tus-Checksum-Algorithm"] = ",".join(parts.CHECKSUMS)
    return response


def _list(request: HttpRequest) -> HttpResponse:
    user = identities.identify(request, scope="submit", kind="upload").user
    items = []
    for upload in limits.unsubmitted_uploads().filter(user=user):
        try:
            offset = uploads.offset_bytes(upload)
        except Refusal:
            continue  # swept since the list was read
        items.append(
            {
                "id": str(upload.id),
                "original_name": upload.original_name,
                "length_bytes": upload.length_bytes,
                "offset_bytes": offset,
                "created_at": upload.created_at,
                "expires_at": upload.expires_at,
            }
        )
    return JsonResponse({"items": items})


def _create(request: HttpRequest) -> HttpResponse:
    user = identities.identify(request, scope="submit", kind="upload").user
    length = headers.upload_length(request)
    metadata = headers.metadata(request)
    body = headers.body_length(request)
    headers.checksum(request)  # before a row is written for bytes that cannot be verified
    if body:
        headers.check_content_type(request)
    upload = _declare(user, length_bytes=length, metadata=metadata)
    offset = 0
    if body or not length:
        try:
            offset = _receive(request, upload, offset_bytes=0)
        except Refusal:
            # A refusal tells the client no address: it could not resume this upload.
            uploads.terminate(upload)
            raise
    response = HttpResponse(status=201)
    # The client goes on at the host that it came to, which may be a second name of the site.
    path = reverse("uploads:item", kwargs={"upload_id": upload.id})
    response["Location"] = f"{request.scheme}://{request.get_host()}{path}"
    return _with_state(response, upload, offset_bytes=offset)


def _declare(user: User, *, length_bytes: int, metadata: dict[str, str]) -> Upload:
    """Declare an upload: of an archive, or of sealed labels where ``purpose`` is ``labels``."""
    name = metadata.get("filename", metadata.get("name", ""))
    named_phase = metadata.get("phase", "")
    if metadata.get("purpose") == Upload.Purpose.LABELS:
        if not PHASE.fullmatch(named_phase):
            raise refuse("labels-phase-missing")
        challenge, _slash, slug = named_phase.partition("/")
        return label_uploads.create(
            user=user,
            phase=pages.phase_by_slug(challenge, slug, user=user),
            length_bytes=length_bytes,
            original_name=name,
            metadata=metadata,
        )
    _check_phase(user, named_phase, length_bytes=length_bytes)
    return uploads.create(
        user=user, length_bytes=length_bytes, original_name=name, metadata=metadata
    )


def _check_phase(user: User, name: str, *, length_bytes: int) -> None:
    """Refuse before the first byte what the phase that the client names would refuse at the end."""
    if PHASE.fullmatch(name):
        challenge, _slash, slug = name.partition("/")
        phase = pages.phase_by_slug(challenge, slug, user=user)
        submissions.precheck(user=user, phase=phase, archive_bytes=length_bytes)


def _receive(request: HttpRequest, upload: Upload, *, offset_bytes: int) -> int:
    length = headers.body_length(request)
    checksum = headers.checksum(request)
    stream_slots.occupy(request, user_id=upload.user_id, direction=stream_slots.Direction.UPLOAD)
    offset = uploads.receive(
        upload=upload,
        stream=streams.Body(request),
        offset_bytes=offset_bytes,
        length_bytes=length,
        checksum=checksum,
    )
    if offset == upload.length_bytes and not upload.archive:
        uploads.finish_in_background(upload)
    return offset


def _with_state(response: HttpResponse, upload: Upload, *, offset_bytes: int) -> HttpResponse:
    response["Upload-Offset"] = str(offset_bytes)
    response["Upload-Length"] = str(upload.length_bytes)
    response["Upload-Expires"] = http_date(upload.expires_at.timestamp())
    return response
