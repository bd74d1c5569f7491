"""ETags: the same tag, the same answer, so 304 and no body.

The tag is of the answer before compression. What goes out as gzip has other bytes, so its tag is
weak (RFC 9110, 8.8.1); Django compares If-None-Match weakly, so either form gets its 304.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.utils.cache import get_conditional_response, patch_vary_headers

from challenge.api import compression


def of(*parts: str | bytes) -> str:
    """A tag made of what the answer depends on."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part if isinstance(part, bytes) else part.encode())
        digest.update(b"\0")
    return f'"{digest.hexdigest()[:32]}"'


class EtagMiddleware:
    """Tags every answer to a GET under ``/api/``; 304 to who has it, gzip to who takes it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        is_ours = request.path_info.startswith("/api/") and request.method == "GET"
        # the reference is a page, with a form whose token is another one in every answer
        is_page = response.headers.get("Content-Type", "").startswith("text/html")
        if not is_ours or is_page or response.status_code != 200 or response.streaming:
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
        conditional = get_conditional_response(request, etag=tag, response=response)
        if conditional is not None and conditional is not response:
            return conditional
        if as_gzip:
            compression.compress(response)
        return response
