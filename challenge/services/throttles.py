"""How often a person, a token or an address may ask.

A sliding window made of two counters in the cache: the running one, and the previous one weighed
by the share of it that still lies inside the window. Where the cache is unreachable nobody is
refused: a throttle protects the site and must not take it down.
"""

from __future__ import annotations

import logging
import math
import time

from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest
from redis.exceptions import RedisError

from challenge.errors import refuse

log = logging.getLogger(__name__)

WINDOW_S = 60
FAILED_LOGINS_LIMIT = 30
INVITATIONS_LIMIT = 20
PINGS_LIMIT = 30
HOUR_S = 3600


def hit(key: str, *, limit: int, window_s: int = WINDOW_S, now_s: float | None = None) -> int:
    """Count one act of ``key``; 0 when it is within ``limit`` a window, else seconds to wait."""
    now_s = time.time() if now_s is None else now_s
    window, into_s = divmod(now_s, window_s)
    current, previous = (f"throttle:{key}:{int(window - back)}" for back in (0, 1))
    try:
        cache.add(current, 0, timeout=2 * window_s)
        count = cache.incr(current)
        before = cache.get(previous, 0)
    except (RedisError, ValueError):
        log.exception("throttle cannot count")
        return 0
    if count + before * (1 - into_s / window_s) <= limit:
        return 0
    return max(1, math.ceil(window_s - into_s))


def address(request: HttpRequest) -> str:
    """The client's address: behind our own proxy (BEHIND_PROXY) the one that it added last.

    Earlier ones of X-Forwarded-For are the client's own words.
    """
    if settings.USE_X_FORWARDED_HOST:
        told = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
        if told:
            return told[:64]
    return str(request.META.get("REMOTE_ADDR", "")) or "unknown"


def check(request: HttpRequest, *, kind: str) -> None:
    """Count one request of an address. Raises ``Refusal`` (429) with ``retry_after_s``."""
    limit = int(settings.API_RATE_UPLOAD if kind == "upload" else settings.API_RATE_ADDRESS)
    _refuse(hit(f"address:{kind}:{address(request)}", limit=limit))


def check_token(token_id: int, *, kind: str) -> None:
    """Count one request of a token. Raises ``Refusal`` (429) with ``retry_after_s``.

    Pieces of an upload have the uploads' own, larger limit: most tus clients give up at 429.
    """
    limit = int(settings.API_RATE_UPLOAD if kind == "upload" else settings.API_RATE_TOKEN)
    _refuse(hit(f"token:{kind}:{token_id}", limit=limit))


def check_failed_login(request: HttpRequest) -> None:
    """Count one wrong token of an address, so that tokens cannot be guessed."""
    _refuse(hit(f"failed:{address(request)}", limit=FAILED_LOGINS_LIMIT))


def check_invitations(user_id: int) -> None:
    """Count one invitation of a person, an hour: they may be e-mails to strangers."""
    _refuse(hit(f"invite:{user_id}", limit=INVITATIONS_LIMIT, window_s=HOUR_S))


def check_pings(user_id: int) -> None:
    """Count one trial delivery of a person, an hour: each may keep a worker waiting."""
    _refuse(hit(f"ping:{user_id}", limit=PINGS_LIMIT, window_s=HOUR_S))


def _refuse(wait_s: int) -> None:
    if wait_s:
        raise refuse("too-many-requests", retry_after_s=wait_s)
