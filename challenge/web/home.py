"""The home page, help, credits, and the viewer's language and theme."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext
from django.views.decorators.http import require_GET, require_POST

from challenge.selectors import pages
from challenge.web.middleware import THEME_COOKIE, THEMES
from challenge.web.vendored import manifest
from challenge.web.views import refusals_as_pages

YEAR_S = 365 * 24 * 3600


@require_GET
def home(request: HttpRequest) -> HttpResponse:
    """Answer the home page."""
    return render(request, "web/home.html", {"lines": pages.home(user=request.user)})


@require_GET
def help_page(request: HttpRequest) -> HttpResponse:
    """Answer the page that tells how the platform works."""
    return render(request, "web/help.html")


@require_GET
def credits_page(request: HttpRequest) -> HttpResponse:
    """Answer the page of licences and credits."""
    files = [
        {**line, "shown": f"vendor/{line['path']}".replace("vendor/../", "")} for line in manifest()
    ]
    return render(request, "web/credits.html", {"files": files})


@require_POST
@refusals_as_pages
def preferences(request: HttpRequest) -> HttpResponse:
    """Keep the viewer's language or theme, on this device and in the account."""
    target = request.POST.get("next", "/")
    if not url_has_allowed_host_and_scheme(
        target, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    ):
        target = "/"
    response = HttpResponseRedirect(target)
    language, theme = request.POST.get("language"), request.POST.get("theme")
    user = request.user if request.user.is_authenticated else None
    if language in dict(settings.LANGUAGES):
        _keep(response, settings.LANGUAGE_COOKIE_NAME, str(language))
        if user is not None:
            user.language = str(language)
            user.save(update_fields=["language"])
    if theme in THEMES:
        _keep(response, THEME_COOKIE, str(theme))
        if user is not None:
            user.theme = str(theme)
            user.save(update_fields=["theme"])
    return response


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
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


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
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


def csrf_failed(request: HttpRequest, reason: str = "") -> HttpResponse:
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
    """Answer our own fault, without anything that could break again."""
    return render(request, "500.html", status=500)


def _keep(response: HttpResponse, name: str, value: str) -> None:
    response.set_cookie(
        name, value, max_age=YEAR_S, samesite="Lax", secure=settings.SESSION_COOKIE_SECURE
    )
