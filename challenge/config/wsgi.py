"""The site as a WSGI application, for gunicorn."""

from __future__ import annotations

import os
from typing import Any

from django.core.wsgi import get_wsgi_application
from django.db import connections

from challenge import embedded
from challenge.services import task_queue


def return_connections_to_pool() -> None:
    """Return this thread's pooled database connections; the next query takes one again."""
    for connection in connections.all(initialized_only=True):
        if "pool" in connection.settings_dict["OPTIONS"] and not connection.in_atomic_block:
            connection.close()


class Body:
    """A request's body; whoever waits for its bytes holds no database connection."""

    def __init__(self, body: Any) -> None:
        self._body = body

    def read(self, *size: int) -> bytes:
        return_connections_to_pool()
        return bytes(self._body.read(*size))

    def readline(self, *size: int) -> bytes:
        return_connections_to_pool()
        return bytes(self._body.readline(*size))


class Application:
    """Django's application, which holds no database connection while bytes go either way."""

    def __init__(self, application: Any) -> None:
        self._application = application

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        environ["wsgi.input"] = Body(environ["wsgi.input"])
        try:
            return self._application(environ, start_response)
        finally:
            return_connections_to_pool()


os.environ.setdefault("DJANGO_SETTINGS_MODULE", "challenge.config.settings")
os.environ.setdefault("DATABASE_POOL", "1")
embedded.connect_if_unset()
application = Application(get_wsgi_application())
task_queue.publish_in_background()
