"""ETags: the same tag, the same answer, so 304 and no body.

The tag is of the answer before compression. What goes out as gzip has other bytes, so its tag is
weak (RFC 9110, 8.8.1); If-None-Match compares weakly, so either form gets its 304.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.utils.cache import patch_vary_headers
from django.utils.http import parse_etags

from challenge.api import compression


def of(*parts: str | bytes) -> str:
    """A tag made of what the answer depends on."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part if isinstance(part, bytes) else part.encode())
        digest.update(b"\0")
    return f'"{digest.hexdigest()[:32]}"'


def matches(request: HttpRequest, tag: str) -> bool:
    """Whether the client has this answer already."""
    known = parse_etags(request.headers.get("If-None-Match", ""))
    plain = tag.removeprefix("W/")
    return "*" in known or plain in [one.removeprefix("W/") for one in known]


def not_modified(tag: str) -> HttpResponse:
    """304."""
    response = HttpResponse(status=304)
    response["ETag"] = tag
    return response


class EtagMiddleware:
    """Tags every answer to a GET under ``/api/``; 304 to who has it, gzip to who takes it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        is_ours = request.path_info.startswith("/api/") and request.method == "GET"
        if not is_ours or response.status_code != 200 or response.streaming:
            return response
        tag = response.headers.get("ETag") or of(response.content)
        response["ETag"] = tag
        response.setdefault("Cache-Control", "private, no-cache")
        varies = ["Authorization", "Cookie", "Accept-Language"]
        if compression.is_possible(response):
            varies.append("Accept-Encoding")
        patch_vary_headers(response, varies)
        as_gzip = compression.is_wanted(request, response)
        if as_gzip:
            response["ETag"] = tag = f"W/{tag.removeprefix('W/')}"
        if matches(request, tag):
            unchanged = not_modified(tag)
            for name in ("Cache-Control", "Vary"):
                unchanged[name] = response[name]
            return unchanged
        if as_gzip:
            compression.compress(response)
        return response
