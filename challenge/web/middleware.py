"""The site's own address, and the viewer's own language, time zone and theme."""

from __future__ import annotations

import zoneinfo
from collections.abc import Callable
from typing import cast

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone, translation

from challenge.services import links
from challenge.web.requests import PageRequest

THEMES = ("auto", "light", "dark")
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


class ViewerMiddleware:
    """Activate what the viewer chose; a cookie set on this device wins over the account."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        user = request.user if request.user.is_authenticated else None
        if user is not None and settings.LANGUAGE_COOKIE_NAME not in request.COOKIES:
            translation.activate(user.language)
            request.LANGUAGE_CODE = translation.get_language()
        theme = request.COOKIES.get(THEME_COOKIE) or (user.theme if user else "auto")
        cast(PageRequest, request).theme = theme if theme in THEMES else "auto"
        zone = (user.timezone if user else "") or request.COOKIES.get(TIMEZONE_COOKIE, "")
        zone = zone.replace("%2F", "/")
        if zone not in ZONES:
            return self.get_response(request)
        with timezone.override(zoneinfo.ZoneInfo(zone)):
            return self.get_response(request)
