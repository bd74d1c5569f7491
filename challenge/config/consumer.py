"""Celery's consumer, which connects again where Celery ends the worker.

When the broker restarts, a channel of kombu's may be used once more after its connection was
dropped. kombu then looks up an attribute of ``None``, which Celery takes for a mistake and
ends the worker, with whatever its pool scores (3 of 99 restarts). It is a lost connection.
"""

from __future__ import annotations

import logging
from typing import Any

from celery.worker import consumer

log = logging.getLogger(__name__)


def is_lost_connection(error: AttributeError) -> bool:
    """Whether kombu asked ``None``, where its connection was, for an attribute."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None or error.obj is not None:
        return False
    return str(trace.tb_frame.f_globals.get("__name__", "")).startswith("kombu.")


class Consumer(consumer.Consumer):  # type: ignore[misc]  # Celery has no types
    """What consumes messages in a worker."""

    class Blueprint(consumer.Consumer.Blueprint):  # type: ignore[misc]
        """The consumer's parts, started again after a lost connection."""

        def start(self, parent: Any) -> None:
            """Start the parts and consume. Raises ``ConnectionResetError``, which Celery mends."""
            try:
                super().start(parent)
            except AttributeError as error:
                if not is_lost_connection(error):
                    raise
                log.warning("the broker's connection was lost while it was in use: %s", error)
                raise ConnectionResetError("the broker's connection was lost") from error
