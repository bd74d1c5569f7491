"""The site's own address, and the viewer's own language, time zone and theme."""

from __future__ import annotations

import zoneinfo
from collections.abc import Callable
from typing import cast

from django.conf import settings
from django.core.exceptions import TooManyFieldsSent
from django.http import HttpRequest, HttpResponse
from django.utils import timezone, translation

from challenge.services import links
from challenge.web.requests import PageRequest

THEMES = ("auto", "light", "dark")
# ?lang=fr: an address of its own for each language, for search engines and links between people.
LANGUAGE_PARAMETER = "lang"
YEAR_S = 365 * 24 * 3600
THEME_COOKIE = "theme"
TIMEZONE_COOKIE = "timezone"
ZONES = frozenset(zoneinfo.available_timezones())


class SiteUrlMiddleware:
    """Have every absolute link that is made from a request begin with ``SITE_URL``.

    Django would take the Host header, which the sender of the request writes. What compares hosts
    (the CSRF check, redirects to https) goes on reading the header.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        def build_absolute_uri(location: str | None = None) -> str:
            if location is None:
                location = request.get_full_path()
            return links.absolute(str(location), base_path=request.path)

        request.build_absolute_uri = build_absolute_uri  # type: ignore[method-assign]
        return self.get_response(request)


def named_language(request: HttpRequest) -> str | None:
    """Return the language that a page's address names by ``?lang=``, None where it names none."""
    if request.method not in ("GET", "HEAD"):
        return None
    try:
        named = request.GET.get(LANGUAGE_PARAMETER)
    except TooManyFieldsSent:  # the page refuses it, in words
        return None
    return named if named in dict(settings.LANGUAGES) else None


def keep_on_device(response: HttpResponse, name: str, value: str) -> None:
    """Set a cookie with a choice of the viewer's, for a year."""
    response.set_cookie(
        name, value, max_age=YEAR_S, samesite="Lax", secure=settings.SESSION_COOKIE_SECURE
    )


class ViewerMiddleware:
    """Activate what the viewer chose; a cookie set on this device wins over the account.

    A language that the address names wins over both; who has chosen none keeps it for later pages.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        user = request.user if request.user.is_authenticated else None
        named = named_language(request)
        if named is not None:
            translation.activate(named)
            request.LANGUAGE_CODE = named
        elif user is not None and settings.LANGUAGE_COOKIE_NAME not in request.COOKIES:
            translation.activate(user.language)
            request.LANGUAGE_CODE = translation.get_language()
        theme = request.COOKIES.get(THEME_COOKIE) or (user.theme if user else "auto")
        cast(PageRequest, request).theme = theme if theme in THEMES else "auto"
        zone = (user.timezone if user else "") or request.COOKIES.get(TIMEZONE_COOKIE, "")
        zone = zone.replace("%2F", "/")
        if zone not in ZONES:
            response = self.get_response(request)
        else:
            with timezone.override(zoneinfo.ZoneInfo(zone)):
                response = self.get_response(request)
        chose_none = user is None and settings.LANGUAGE_COOKIE_NAME not in request.COOKIES
        if named is not None and chose_none and _is_page(response):
            keep_on_device(response, settings.LANGUAGE_COOKIE_NAME, named)
        return response


def _is_page(response: HttpResponse) -> bool:
    return response.get("Content-Type", "").startswith("text/html")
