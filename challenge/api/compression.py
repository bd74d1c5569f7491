"""gzip for the API's larger answers, where nobody can learn a secret from their length.

BREACH reads a secret out of a compressed answer whose length it watches while it has the victim's
browser send guesses. That takes a request that a stranger's page can have sent with the victim's
rights: a cookie's. So an answer to a session is never compressed; a bearer token is attached by a
script on purpose, and readers without either have no secret. Answers to a GET mirror no secret in
any case (tokens and webhooks' keys are told once, in the answer to the POST that made them).
"""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.text import compress_string

MIN_BYTES = 1400  # below this an answer is one packet anyway
TYPES = ("application/json", "text/csv")


def is_wanted(request: HttpRequest, response: HttpResponse) -> bool:
    """Whether this answer goes out as gzip to this client."""
    return (
        _accepts_gzip(request.headers.get("Accept-Encoding", ""))
        and is_possible(response)
        and len(response.content) >= MIN_BYTES
        and ("Authorization" in request.headers or not _has_session(request))
    )


def is_possible(response: HttpResponse) -> bool:
    """Whether an answer of this kind may ever go out as gzip (caches must tell the two apart)."""
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip()
    return kind in TYPES and "Content-Encoding" not in response.headers


def compress(response: HttpResponse) -> None:
    """Replace the content by its gzip; Django's adds a random length, a second line of defence."""
    response.content = compress_string(response.content, max_random_bytes=100)
    response["Content-Encoding"] = "gzip"
    response["Content-Length"] = str(len(response.content))


def _has_session(request: HttpRequest) -> bool:
    return settings.SESSION_COOKIE_NAME in request.COOKIES


def _accepts_gzip(header: str) -> bool:
    """Read Accept-Encoding as far as it concerns gzip.

    >>> [_accepts_gzip(h) for h in ("gzip, br", "gzip;q=0, *", "br", "*", "GZIP; q=0.5")]
    [True, False, False, True, True]
    """
    weights: dict[str, float] = {}
    for item in header.split(","):
        name, _semicolon, rest = item.strip().lower().partition(";")
        key, _equals, value = rest.strip().partition("=")
        try:
            weights[name.strip()] = float(value) if key.strip() == "q" else 1.0
        except ValueError:
            weights[name.strip()] = 0.0
    return weights.get("gzip", weights.get("*", 0.0)) > 0
