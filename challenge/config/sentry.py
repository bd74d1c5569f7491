"""Errors sent to a server of Sentry's kind: what broke and where, nothing of people or labels."""

from __future__ import annotations

from typing import Any

from challenge import env


def start(dsn: str) -> None:
    """Send errors of this process and those it forks to ``dsn``.

    Sent are the exception, its stack without the values of variables (they hold labels, passwords
    and uploaded bytes), the log line with its ids, and the route of the request. Raises
    ``env.BadSetting`` for an address that is none.
    """
    # Not imported by whoever does not use it: it takes half a second and several megabytes.
    import sentry_sdk
    from sentry_sdk.integrations.logging import LoggingIntegration
    from sentry_sdk.utils import BadDsn

    try:
        sentry_sdk.init(
            dsn=dsn,
            send_default_pii=False,
            include_local_variables=False,
            include_source_context=False,
            max_request_body_size="never",
            max_breadcrumbs=0,
            send_client_reports=False,
            traces_sample_rate=None,
            before_send=without_people,
            integrations=[LoggingIntegration(level=None)],
        )
    except BadDsn as error:
        raise env.BadSetting(
            "SENTRY_DSN", f"is no address of a project ({error})", "copy it from the project"
        ) from error


def without_people(event: Any, _hint: Any) -> Any:
    """Take out of an event what may name a person or hold a secret; add the ids of the log line."""
    from structlog.contextvars import get_contextvars

    request = event.get("request")
    if request:
        event["request"] = {"method": request.get("method", "")}
    event.pop("user", None)
    # The command line and the arguments of tasks: addresses of people, paths.
    event.pop("extra", None)
    ids = {key: str(value) for key, value in get_contextvars().items()}
    event.setdefault("tags", {}).update(ids)
    return event
