"""Rate limits of persons, tokens and addresses.

A sliding window made of two counters in the cache: the current one, and the previous one weighted
by the share of it that is still inside the window. While the cache is away each process counts
for itself (``challenge.config.cache``): a limit protects the site and must not take it down.
"""

from __future__ import annotations

import math
import time

from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest

from challenge.errors import refuse

WINDOW_S = 60
PINGS_LIMIT = 30
SIGNUPS_LIMIT = 5
TEST_MESSAGES_LIMIT = 20
KEPT_STATES_LIMIT = 10
NEW_STATES_LIMIT = 4
HOUR_S = 3600
DAY_S = 24 * HOUR_S


def count_request(
    key: str, *, limit: int, window_s: int = WINDOW_S, now_s: float | None = None
) -> int:
    """Count one request of ``key``; 0 while within ``limit`` per window, else seconds to wait."""
    now_s = time.time() if now_s is None else now_s
    window, elapsed_s = divmod(now_s, window_s)
    current, previous = (f"throttle:{key}:{int(window - age)}" for age in (0, 1))
    try:
        cache.add(current, 0, timeout=2 * window_s)
        count = cache.incr(current)
        previous_count = cache.get(previous, 0)
    except ValueError:  # the counter went between the two calls, with the cache or its window
        return 0
    if count + previous_count * (1 - elapsed_s / window_s) <= limit:
        return 0
    return max(1, math.ceil(window_s - elapsed_s))


def address(request: HttpRequest) -> str:
    """The client's address: behind our own proxy (BEHIND_PROXY) the one that it added last.

    The client itself may have sent the earlier ones of X-Forwarded-For.
    """
    if settings.USE_X_FORWARDED_HOST:
        forwarded_for = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
        if forwarded_for:
            return forwarded_for[:64]
    return str(request.META.get("REMOTE_ADDR", "")) or "unknown"


def check(request: HttpRequest, *, kind: str) -> None:
    """Count one request of an address. Raises ``Refusal`` (429) with ``retry_after_s``."""
    limit = int(settings.API_RATE_UPLOAD if kind == "upload" else settings.API_RATE_ADDRESS)
    _refuse(count_request(f"address:{kind}:{address(request)}", limit=limit))


def check_token(token_id: int, *, kind: str) -> None:
    """Count one request of a token. Raises ``Refusal`` (429) with ``retry_after_s``.

    Requests of an upload have a larger limit of their own: most tus clients stop at 429.
    """
    limit = int(settings.API_RATE_UPLOAD if kind == "upload" else settings.API_RATE_TOKEN)
    _refuse(count_request(f"token:{kind}:{token_id}", limit=limit))


def check_failed_login(request: HttpRequest) -> None:
    """Count one wrong token of an address, so that tokens cannot be guessed."""
    _refuse(count_request(f"failed:{address(request)}", limit=int(settings.API_RATE_WRONG_TOKEN)))


def check_kept_states(user_id: int) -> None:
    """Count one state of a leaderboard that a person keeps, an hour."""
    key = f"states:{user_id}"
    _refuse(count_request(key, limit=KEPT_STATES_LIMIT, window_s=HOUR_S))


def check_new_states(user_id: int, *, phase_id: int) -> None:
    """Count one new state of a phase's leaderboard that a person keeps, a day.

    Raises ``Refusal`` (429): the states of a day are everybody's.
    """
    key = f"new-states:{phase_id}:{user_id}"
    _refuse(count_request(key, limit=NEW_STATES_LIMIT, window_s=DAY_S))


def check_invitations(user_id: int) -> None:
    """Count one invitation of a person, an hour: they may be e-mails to strangers."""
    limit = int(settings.INVITATIONS_PER_HOUR)
    _refuse(count_request(f"invite:{user_id}", limit=limit, window_s=HOUR_S))


def check_test_messages(user_id: int) -> None:
    """Count one message that an organiser tries on oneself, an hour."""
    _refuse(count_request(f"test-message:{user_id}", limit=TEST_MESSAGES_LIMIT, window_s=HOUR_S))


def check_signups(mailbox: str) -> None:
    """Count one sign-up of a mailbox (its keyed hash), an hour; its address may be known or not.

    Each sends a mail. Raises ``Refusal`` ``too-many-signups``, whose text says when to try again.
    """
    wait_s = count_request(f"signup:{mailbox}", limit=SIGNUPS_LIMIT, window_s=HOUR_S)
    if wait_s:
        raise refuse("too-many-signups", minutes=math.ceil(wait_s / 60))


def check_pings(user_id: int) -> None:
    """Count one trial delivery of a person, an hour: each may occupy a worker."""
    _refuse(count_request(f"ping:{user_id}", limit=PINGS_LIMIT, window_s=HOUR_S))


def _refuse(wait_s: int) -> None:
    if wait_s:
        raise refuse("too-many-requests", retry_after_s=wait_s)
