"""What views have in common: the types of their requests, and one decorator."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_http_methods

from challenge.errors import NotFound, Refusal
from challenge.models import User

TITLES = {
    403: _("This is not yours to do"),
    404: _("There is nothing here"),
    409: _("It has moved on"),
    410: _("Its time has passed"),
    429: _("Enough for now"),
}

View = Callable[..., HttpResponseBase]


class PageRequest(HttpRequest):
    """A request that ``ViewerMiddleware`` has seen."""

    theme: str


class SignedInRequest(PageRequest):
    """A request of a view that only people who signed in reach."""

    user: User


def page_view(
    *methods: str,
    sign_in: bool = False,
    newcomers: bool = False,
    gzip: bool = False,
    cache: bool = True,
) -> Callable[[View], View]:
    """Make a view of a function: its methods, who may call it, what becomes of its answer.

    A Refusal that no form caught is answered with a page of its status and its message.
    ``sign_in`` sends others to the login page, with ``newcomers`` to sign up, from where a link
    leads to the login page; then the request is a :class:`SignedInRequest`.
    ``gzip`` compresses the answer, ``cache=False`` forbids browsers to keep it.
    """

    def decorate(view: View) -> View:
        @functools.wraps(view)
        def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            try:
                return view(request, *args, **kwargs)
            except Refusal as refusal:
                return refusal_page(request, refusal)

        login_url = "account_signup" if newcomers else None
        decorated: View = login_required(answer, login_url=login_url) if sign_in else answer
        decorated = require_http_methods(list(methods))(decorated)
        if not cache:
            decorated = never_cache(decorated)
        if gzip:
            decorated = gzip_page(decorated)
        return decorated

    return decorate


def refusal_page(request: HttpRequest, refusal: Refusal) -> HttpResponse:
    """Return the page that tells a refusal, and when to try again where it says so."""
    response = render(
        request,
        "web/refusal.html",
        {
            "refusal": refusal,
            "heading": TITLES.get(refusal.status, _("This cannot be done")),
            "lost": isinstance(refusal, NotFound),
        },
        status=refusal.status,
    )
    if (wait_s := refusal.params.get("retry_after_s")) is not None:
        response["Retry-After"] = str(wait_s)
    return response
