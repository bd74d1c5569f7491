"""The page of who met a limit of allauth's account pages, and when to try again."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

from allauth.account import app_settings
from allauth.core.internal import ratelimit
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse

from challenge.errors import refuse
from challenge.web.requests import refusal_page

DEFAULT_WAIT_S = 60


def too_many(request: HttpRequest) -> HttpResponse:
    """Answer 429 with the seconds to wait, in words and as ``Retry-After``."""
    return refusal_page(request, refuse("too-many-requests", retry_after_s=_wait_s(request)))


def _wait_s(request: HttpRequest) -> int:
    """Return the longest wait of the limits that this address or person has used up.

    allauth does not tell which limit was met; its history is newest first.
    """
    now_s = time.time()
    waits = [
        history[rate.amount - 1] + rate.duration - now_s
        for rate, history in _histories(request)
        if len(history) >= rate.amount
    ]
    return max(1, math.ceil(max(waits, default=DEFAULT_WAIT_S)))


def _histories(request: HttpRequest) -> Iterator[tuple[ratelimit.Rate, list[float]]]:
    for action in app_settings.RATE_LIMITS:
        for rate in ratelimit.get_rates(app="allauth.account", action=action):
            if rate.per == "ip" or (rate.per == "user" and request.user.is_authenticated):
                key = ratelimit.get_cache_key(
                    request, app="allauth.account", action=action, rate=rate
                )
                yield rate, cache.get(key, [])
