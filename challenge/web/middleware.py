"""The viewer's own language, time zone and theme, from the account or from cookies."""

from __future__ import annotations

import zoneinfo
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone, translation

THEMES = ("auto", "light", "dark")
THEME_COOKIE = "theme"
TIMEZONE_COOKIE = "timezone"
ZONES = frozenset(zoneinfo.available_timezones())


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
        request.theme = theme if theme in THEMES else "auto"  # type: ignore[attr-defined]
        zone = (user.timezone if user else "") or request.COOKIES.get(TIMEZONE_COOKIE, "")
        zone = zone.replace("%2F", "/")
        if zone not in ZONES:
            return self.get_response(request)
        with timezone.override(zoneinfo.ZoneInfo(zone)):
            return self.get_response(request)
