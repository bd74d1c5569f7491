"""The home page, help, credits, and the viewer's language and theme."""

from __future__ import annotations

import logging
import sys
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from django.conf import settings
from django.core.exceptions import RequestDataTooBig, TooManyFieldsSent, TooManyFilesSent
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils.http import url_has_allowed_host_and_scheme, urlencode
from django.utils.translation import gettext

from challenge.selectors import pages
from challenge.services import unavailable
from challenge.web.middleware import LANGUAGE_PARAMETER, THEME_COOKIE, THEMES, keep_on_device
from challenge.web.requests import page_view
from challenge.web.vendored import manifest

log = logging.getLogger(__name__)


@page_view("GET")
def home(request: HttpRequest) -> HttpResponse:
    """Answer the home page."""
    return render(request, "web/home.html", {"summaries": pages.home()})


@page_view("GET")
def help_page(request: HttpRequest) -> HttpResponse:
    """Answer the page that tells how the platform works."""
    return render(request, "web/help.html")


@page_view("GET")
def credits_page(request: HttpRequest) -> HttpResponse:
    """Answer the page of licences and credits."""
    files = [
        {**line, "shown": f"vendor/{line['path']}".replace("vendor/../", "")} for line in manifest()
    ]
    return render(request, "web/credits.html", {"files": files})


@page_view("POST")
def preferences(request: HttpRequest) -> HttpResponse:
    """Keep the viewer's language or theme, on this device and in the account."""
    target = request.POST.get("next", "/")
    if not url_has_allowed_host_and_scheme(
        target, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    ):
        target = "/"
    response = HttpResponseRedirect(_without_language(target))
    language, theme = request.POST.get("language"), request.POST.get("theme")
    user = request.user if request.user.is_authenticated else None
    if language in dict(settings.LANGUAGES):
        keep_on_device(response, settings.LANGUAGE_COOKIE_NAME, str(language))
        if user is not None:
            user.language = str(language)
            user.save(update_fields=["language"])
    if theme in THEMES:
        keep_on_device(response, THEME_COOKIE, str(theme))
        if user is not None:
            user.theme = str(theme)
            user.save(update_fields=["theme"])
    return response


def _without_language(target: str) -> str:
    """Return a page's address without ``?lang=``, which would win over what is chosen now."""
    parts = urlsplit(target)
    query = parse_qsl(parts.query, keep_blank_values=True)
    left = [(name, value) for name, value in query if name != LANGUAGE_PARAMETER]
    return target if left == query else urlunsplit(parts._replace(query=urlencode(left)))


def not_found(
    request: HttpRequest,
    exception: Exception,  # noqa: ARG001  Django asks for it
) -> HttpResponse:
    """Answer an address that leads nowhere."""
    return render(
        request,
        "web/refusal.html",
        {
            "heading": gettext("There is nothing here"),
            "refusal": gettext("No page has this address; perhaps it moved."),
            "lost": True,
        },
        status=404,
    )


def forbidden(
    request: HttpRequest,
    exception: Exception,  # noqa: ARG001  Django asks for it
) -> HttpResponse:
    """Answer what this person may not do."""
    return render(
        request,
        "web/refusal.html",
        {
            "heading": gettext("This is not yours to do"),
            "refusal": gettext("Your account has no right to this page."),
        },
        status=403,
    )


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer what cannot be read: too large (413), or malformed (400)."""
    if not hasattr(request, "user"):  # refused before anything is known, as for its Host header
        return HttpResponse("Bad request\n", status=400, content_type="text/plain")
    if isinstance(exception, RequestDataTooBig | TooManyFieldsSent | TooManyFilesSent):
        words = {
            "heading": gettext("This form is too large"),
            "refusal": gettext(
                "The form has more text or more fields than this page takes. Go back and "
                "shorten it."
            ),
        }
        return render(request, "web/refusal.html", words, status=413)
    words = {
        "heading": gettext("The request cannot be understood"),
        "refusal": gettext(
            "Something in what your browser sent is malformed. Go back, reload the page and try "
            "again."
        ),
    }
    return render(request, "web/refusal.html", words, status=400)


def csrf_failed(request: HttpRequest, **_details: object) -> HttpResponse:
    """Answer a form that came without its token: an old page, or one of another site."""
    return render(
        request,
        "web/refusal.html",
        {
            "heading": gettext("This form is out of date"),
            "refusal": gettext(
                "The page was open for long, or cookies are off. Go back, reload it and send the "
                "form again."
            ),
        },
        status=403,
    )


def broken(request: HttpRequest) -> HttpResponse:
    """Answer our own fault, without anything that could break again.

    What is only away for the moment (the database, room for one more password) is 503 and says so.
    """
    error = sys.exc_info()[1]
    wait_s = unavailable.seconds_to_wait(error)
    # Rendered without the request, whose user would be read from the database. The style sheet is
    # asked for by its plain name: looking up the hashed one could fail as well.
    words = {
        "site_name": settings.SITE_NAME,
        "style_sheet": f"{settings.STATIC_URL}css/site.css",
        "mark": f"{settings.STATIC_URL}img/mark.svg",
    }
    if wait_s is None:
        return HttpResponse(render_to_string("500.html", words), status=500)
    log.warning("%s is not answered for now: %s", request.path, error)
    response = HttpResponse(render_to_string("503.html", words), status=503)
    response["Retry-After"] = str(wait_s)
    response["Cache-Control"] = "no-store"
    # Otherwise Django logs a traceback, and mails it, for each request of an outage.
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response
