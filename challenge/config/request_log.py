"""The access log, and an id for each request that every line about it carries.

A line names the route, never the path: paths hold keys of invitations and of password resets. The
address of who asks is in the proxy's log, which the id leads to.
"""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import ResolverMatch
from structlog.contextvars import bound_contextvars

log = logging.getLogger("challenge.access")

HEADER = "X-Request-ID"
ALLOWED = re.compile(r"[A-Za-z0-9_-]{8,64}")
IS_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# Container and monitor ask these every few seconds.
QUIET = frozenset({"health", "live", "ready", "metrics"})


class RequestLogMiddleware:
    """Names each request, and logs how it was answered.

    The id is the proxy's header ``X-Request-ID`` where the site is behind one that sets it, else a
    new one. The answer has it, too.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        identifier = _id_of(request)
        started_s = time.perf_counter()
        with bound_contextvars(request=identifier):
            response = self.get_response(request)
            response.headers[HEADER] = identifier
            _log(request, response, seconds=time.perf_counter() - started_s)
        return response


def _id_of(request: HttpRequest) -> str:
    given = request.headers.get(HEADER, "") if settings.BEHIND_PROXY else ""
    return given if ALLOWED.fullmatch(given) else uuid.uuid4().hex


def _log(request: HttpRequest, response: HttpResponse, *, seconds: float) -> None:
    if not settings.ACCESS_LOG:
        return
    match = request.resolver_match
    if match is not None and match.url_name in QUIET and response.status_code < 400:
        return
    user = getattr(request, "_cached_user", None)  # no query for who is not asked for
    facts = {
        "method": request.method,
        "route": match.route if match is not None else "",
        "status": response.status_code,
        "ms": round(seconds * 1000, 1),
    }
    if user is not None and user.is_authenticated:
        facts["user"] = user.pk
    if match is not None:
        facts |= _ids_in(match)
    with bound_contextvars(**facts):
        log.info("answered")


def _ids_in(match: ResolverMatch) -> dict[str, str]:
    """Return the UUIDs of a route, which name rows: no key is one."""
    return {
        "submission" if "submissions/" in match.route else name: str(value)
        for name, value in match.kwargs.items()
        if IS_UUID.fullmatch(str(value))
    }
