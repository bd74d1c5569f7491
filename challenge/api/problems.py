"""Everything that goes wrong under ``/api/`` as problem JSON (RFC 9457) with a stable code."""

from __future__ import annotations

import logging
from collections.abc import Callable

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import Http404, HttpRequest, HttpResponse
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError

from challenge.errors import PROBLEM_CONTENT_TYPE, Refusal, problem_response, refuse

log = logging.getLogger(__name__)

INVALID_LISTED = 20


def install(api: NinjaAPI) -> None:
    """Give an API our answers for what is raised inside its operations."""

    @api.exception_handler(Refusal)
    def refused(_request: HttpRequest, refusal: Refusal) -> HttpResponse:
        return problem_response(refusal)

    @api.exception_handler(Http404)
    def missing(_request: HttpRequest, _error: Http404) -> HttpResponse:
        return problem_response(refuse("not-found"))

    @api.exception_handler(ValidationError)
    def invalid(_request: HttpRequest, error: ValidationError) -> HttpResponse:
        errors = [
            {
                "code": str(error_found.get("type", "invalid")).replace("_", "-"),
                "message": str(error_found.get("msg", "")),
                "field": ".".join(str(part) for part in error_found.get("loc", ())),
            }
            for error_found in error.errors[:INVALID_LISTED]
        ]
        return problem_response(refuse("request-invalid"), errors=errors)

    @api.exception_handler(HttpError)
    def failed(_request: HttpRequest, error: HttpError) -> HttpResponse:
        if isinstance(error.__cause__, Refusal):  # by the parser of the body
            return problem_response(error.__cause__)
        return problem_response(_by_status(error.status_code))

    @api.exception_handler(RequestDataTooBig)
    def too_large(_request: HttpRequest, _error: RequestDataTooBig) -> HttpResponse:
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        return problem_response(refuse("body-too-large", allowed_bytes=limit))


def _by_status(status: int) -> Refusal:
    codes = {404: "not-found", 400: "body-unreadable", 403: "csrf-failed", 401: "not-authenticated"}
    return refuse(codes.get(status, "server-error" if status >= 500 else "request-refused"))


class ProblemMiddleware:
    """Turns what Django answers under ``/api/`` (404, 405, 400, 500, 503) into problem JSON."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if not request.path_info.startswith("/api/") or response.status_code < 400:
            return response
        if response.headers.get("Content-Type", "").startswith(PROBLEM_CONTENT_TYPE):
            return response
        if response.status_code == 405:
            allow = response.headers.get("Allow", "")
            return problem_response(
                refuse("method-not-allowed", method=request.method, allow=allow)
            )
        if response.status_code == 503:
            return problem_response(
                refuse("site-unavailable", retry_after_s=int(response.get("Retry-After", "5")))
            )
        problem = problem_response(_by_status(response.status_code))
        problem.status_code = response.status_code
        return problem


def not_found(_request: HttpRequest, **_kwargs: str) -> HttpResponse:
    """Answer for every address under ``/api/`` that nothing else has."""
    return problem_response(refuse("not-found"))
