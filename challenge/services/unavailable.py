"""Which errors mean "not now": the request was fine and may be sent again in a few seconds."""

from __future__ import annotations

from django.db import InterfaceError, OperationalError

from challenge.errors import Refusal

DATABASE_RETRY_AFTER_S = 5
# SQLSTATE classes: connection, insufficient resources, operator intervention (also a time limit).
UNAVAILABLE_CLASSES = ("08", "53", "57")


def seconds_to_wait(error: BaseException | None) -> int | None:
    """For how many seconds to wait before asking again; None for an error that will stay."""
    if isinstance(error, Refusal):
        return int(error.params.get("retry_after_s", 1)) if error.status == 503 else None
    if not isinstance(error, OperationalError | InterfaceError):
        return None
    state = getattr(error.__cause__, "sqlstate", None)
    # Without a state the error is libpq's or the pool's: there was no connection.
    if state is None or state.startswith(UNAVAILABLE_CLASSES):
        return DATABASE_RETRY_AFTER_S
    return None
