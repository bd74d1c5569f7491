"""Stored files as downloads: whole, or the one range that was asked for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse

from challenge.services import stream_slots
from challenge.web.requests import SignedInRequest

RANGE = re.compile(r"bytes=(?P<first>[0-9]{1,15})-(?P<last>[0-9]{0,15})", re.ASCII)


def answer(
    request: SignedInRequest,
    *,
    size_bytes: int,
    read: Callable[[int, int], Iterator[bytes]],
    file_name: str,
    before: Callable[[], object] = lambda: None,
) -> HttpResponseBase:
    """Answer a zip as an attachment, in a stream that takes one of the download slots.

    ``read`` gets the first byte and the end and may raise Refusal; ``before`` is called once the
    range is known to be there.
    """
    first, last = 0, size_bytes - 1
    asked = RANGE.fullmatch(request.headers.get("Range", ""))
    if asked is not None:
        first = int(asked["first"])
        last = min(last, int(asked["last"] or last))
        if first > last:
            return HttpResponse(status=416, headers={"Content-Range": f"bytes */{size_bytes}"})
    before()
    stream_slots.occupy_download(request, user_id=request.user.pk, length_bytes=last + 1 - first)
    response = StreamingHttpResponse(
        read(first, last + 1),
        status=200 if asked is None else 206,
        content_type="application/zip",
    )
    response["Content-Disposition"] = f'attachment; filename="{file_name}"'
    response["Content-Length"] = str(last + 1 - first)
    response["Accept-Ranges"] = "bytes"
    response["Cache-Control"] = "private, no-store"
    if asked is not None:
        response["Content-Range"] = f"bytes {first}-{last}/{size_bytes}"
    return response
