"""HEAD for every address that has GET: the same headers, no body."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

# tus gives HEAD a meaning of its own there: the offset of an upload.
TUS_ITEMS = "/api/v1/uploads/"


class HeadMiddleware:
    """Has a HEAD under ``/api/`` answered as the GET that it asks about, and drops the body."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        path = request.path_info
        is_ours = path.startswith("/api/") and not path.startswith(TUS_ITEMS)
        if request.method != "HEAD" or not is_ours:
            response = self.get_response(request)
            if is_ours and response.status_code == 405:
                _allow_head(response)
            return response
        request.method = "GET"
        try:
            response = self.get_response(request)
        finally:
            request.method = "HEAD"
        return _without_body(response)


def _allow_head(response: HttpResponseBase) -> None:
    allowed = [method.strip() for method in response.headers.get("Allow", "").split(",")]
    if "GET" in allowed and "HEAD" not in allowed:
        response["Allow"] = ", ".join([*allowed, "HEAD"])


def _without_body(response: HttpResponseBase) -> HttpResponse:
    if isinstance(response, HttpResponse):
        response.headers.setdefault("Content-Length", str(len(response.content)))
        response.content = b""
        return response
    bare = HttpResponse(status=response.status_code, headers=dict(response.headers))
    bare.cookies = response.cookies
    # Closed with the answer: closing here would end the request (its signal closes connections to
    # the database) while other middleware still runs.
    bare._resource_closers = response._resource_closers  # type: ignore[attr-defined]
    return bare
