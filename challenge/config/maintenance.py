"""In maintenance nothing is written: what would is refused before its body is read."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import Resolver404, resolve
from django.utils.translation import gettext

from challenge.errors import problem_response
from challenge.selectors import maintenance_mode, roles
from challenge.services import maintenance_mode as service
from challenge.uploads import streams

READING = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
# Signing in and out, and the language and theme of the viewer.
ALLOWED_VIEWS = frozenset(
    {
        "account_login",
        "account_logout",
        "mfa_authenticate",
        "oidc_begin",
        "web:preferences",
    }
)
# Whoever signed in already would connect an account with it, which is written.
FOR_STRANGERS = frozenset({"oidc_begin"})


class MaintenanceMiddleware:
    """Answers 503 with ``Retry-After`` for what may write, except to signed-in operators.

    Comes after the middleware that knows the person and their language, and before anything reads
    the body, which may be a whole archive.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.method in READING:
            return self.get_response(request)
        period = maintenance_mode.current()
        if period is None or roles.is_operator(request.user) or _is_allowed(request):
            return self.get_response(request)
        streams.Body(request).drain()
        response = _refuse(request, period)
        # Otherwise Django logs an error, and mails it, for each request.
        response._has_been_logged = True  # type: ignore[attr-defined]
        return response


def _is_allowed(request: HttpRequest) -> bool:
    try:
        view = resolve(request.path_info).view_name
    except Resolver404:
        return True  # answered 404 as ever
    return view in ALLOWED_VIEWS and not (view in FOR_STRANGERS and request.user.is_authenticated)


def _refuse(request: HttpRequest, period: maintenance_mode.Maintenance) -> HttpResponse:
    refusal = service.refusal(period)
    if request.path_info.startswith("/api/"):
        return problem_response(refusal)
    response = render(
        request,
        "web/refusal.html",
        {"heading": gettext("Not during maintenance"), "refusal": refusal},
        status=503,
    )
    response["Retry-After"] = str(period.retry_after_s)
    response["Cache-Control"] = "no-store"
    return response
