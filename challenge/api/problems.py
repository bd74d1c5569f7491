"""Everything that goes wrong under ``/api/`` as problem JSON (RFC 9457) with a stable code."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError

from challenge.errors import Refusal, as_problem, refuse

log = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"
INVALID_LISTED = 20


def respond(refusal: Refusal, *, errors: list[dict[str, Any]] | None = None) -> HttpResponse:
    """A refusal as an answer, with the headers its status asks for."""
    body = as_problem(refusal)
    if errors is not None:
        body["errors"] = errors
    response = JsonResponse(body, status=refusal.status, content_type=CONTENT_TYPE)
    if refusal.status == 401:
        response["WWW-Authenticate"] = 'Bearer realm="flair"'
    if (wait_s := refusal.params.get("retry_after_s")) is not None:
        response["Retry-After"] = str(wait_s)
    if (allow := refusal.params.get("allow")) is not None:
        response["Allow"] = str(allow)
    response["Cache-Control"] = "no-store"
    return response


def install(api: NinjaAPI) -> None:
    """Give an API our answers for what is raised inside its operations."""

    @api.exception_handler(Refusal)
    def refused(_request: HttpRequest, refusal: Refusal) -> HttpResponse:
        return respond(refusal)

    @api.exception_handler(Http404)
    def missing(_request: HttpRequest, _error: Http404) -> HttpResponse:
        return respond(refuse("not-found"))

    @api.exception_handler(ValidationError)
    def invalid(_request: HttpRequest, error: ValidationError) -> HttpResponse:
        errors = [
            {
                "code": str(one.get("type", "invalid")).replace("_", "-"),
                "message": str(one.get("msg", "")),
                "field": ".".join(str(part) for part in one.get("loc", ())),
            }
            for one in error.errors[:INVALID_LISTED]
        ]
        return respond(refuse("request-invalid"), errors=errors)

    @api.exception_handler(HttpError)
    def failed(_request: HttpRequest, error: HttpError) -> HttpResponse:
        return respond(_by_status(error.status_code))


def _by_status(status: int) -> Refusal:
    codes = {404: "not-found", 400: "body-unreadable", 403: "csrf-failed", 401: "not-authenticated"}
    return refuse(codes.get(status, "server-error" if status >= 500 else "request-refused"))


class ProblemMiddleware:
    """Turns what Django itself answers under ``/api/`` (404, 405, 400, 500) into problem JSON."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if not request.path_info.startswith("/api/") or response.status_code < 400:
            return response
        if response.headers.get("Content-Type", "").startswith(CONTENT_TYPE):
            return response
        if response.status_code == 405:
            allow = response.headers.get("Allow", "")
            return respond(refuse("method-not-allowed", method=request.method, allow=allow))
        problem = respond(_by_status(response.status_code))
        problem.status_code = response.status_code
        return problem


def not_found(_request: HttpRequest, **_kwargs: str) -> HttpResponse:
    """Answer for every address under ``/api/`` that nothing else has."""
    return respond(refuse("not-found"))
