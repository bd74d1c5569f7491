"""What the platform refuses, and how it says so.

A ``Refusal`` is shown alike as a form error and as problem JSON (RFC 9457): its code is stable,
its message says what was found, what is allowed and what to do.
"""

from __future__ import annotations

from typing import Any

from django.utils.functional import Promise


class Refusal(Exception):
    """The request is understood and declined; nothing was written.

    ``code`` is a stable kebab-case word, ``message`` is fit for the person who asked (possibly a
    lazy translation), ``params`` are plain values that scripts may read, ``status`` is the HTTP
    status of the API's answer.
    """

    status = 422

    def __init__(
        self,
        code: str,
        message: str | Promise,
        *,
        status: int | None = None,
        **params: Any,
    ) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.params = params
        if status is not None:
            self.status = status

    def __str__(self) -> str:
        return str(self.message)


class NotAllowed(Refusal):
    """The person may not do this, whatever the state of things."""

    status = 403


class NotFound(Refusal):
    """There is no such thing, or it is hidden from this person: the two look alike."""

    status = 404


class Conflict(Refusal):
    """The thing has moved on since the person looked: an illegal move, a lost race."""

    status = 409


class QuotaExceeded(Refusal):
    """No submission is left for now; ``params['refills_at']`` says when there will be."""

    status = 429


class TooLarge(Refusal):
    """More bytes than allowed."""

    status = 413
