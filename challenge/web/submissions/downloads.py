"""A submission's archive, given back in ranges: the browser draws predictions from it again.

No raster is decoded here: bytes leave as they came, as an attachment, to the team, and to owners
and judges, which the trail records.
"""

from __future__ import annotations

import re
from uuid import UUID

from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse

from challenge.selectors import submissions as selector
from challenge.services import stream_slots
from challenge.services.storage import archives
from challenge.services.submissions import downloads as service
from challenge.web.requests import SignedInRequest, page_view

RANGE = re.compile(r"bytes=(?P<first>[0-9]{1,15})-(?P<last>[0-9]{0,15})", re.ASCII)


@page_view("GET", sign_in=True)
def archive(request: SignedInRequest, pk: UUID) -> HttpResponseBase:
    """Answer an archive, whole or the one range that was asked for."""
    user = request.user
    submission = selector.with_archive(pk, user=user)
    size = submission.archive_bytes
    first, last = 0, size - 1
    asked = RANGE.fullmatch(request.headers.get("Range", ""))
    if asked is not None:
        first = int(asked["first"])
        last = min(last, int(asked["last"] or last))
        if first > last:
            return HttpResponse(status=416, headers={"Content-Range": f"bytes */{size}"})
    service.record(submission=submission, actor=user)
    stream_slots.occupy_download(request, user_id=user.pk, length_bytes=last + 1 - first)
    response = StreamingHttpResponse(
        archives.read_range(submission, first=first, end=last + 1),
        status=200 if asked is None else 206,
        content_type="application/zip",
    )
    name = service.file_name(submission)
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["Content-Length"] = str(last + 1 - first)
    response["Accept-Ranges"] = "bytes"
    response["Cache-Control"] = "private, no-store"
    if asked is not None:
        response["Content-Range"] = f"bytes {first}-{last}/{size}"
    return response
