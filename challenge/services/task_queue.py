"""Telling workers that there is work. The work itself is rows in PostgreSQL.

A Celery task is sent by its name once the transaction is committed; nothing of the workers is
imported. In the web a thread of its own sends it, so that no request waits for the broker. When it
cannot be reached, or does not answer, the message is lost and logged: the sweep sends again for
whatever is left waiting. Task names and queues are defined here and nowhere else in Python.
"""

from __future__ import annotations

import logging
import threading
from enum import StrEnum
from functools import partial
from typing import Any

from celery import current_app
from django.db import transaction
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

log = logging.getLogger(__name__)

MESSAGE_EXPIRES_S = 3600
PUBLISH_S = 1.0


class Queue(StrEnum):
    """The Celery queues that workers consume from."""

    DEFAULT = "default"
    SCORING = "scoring"
    GPU = "gpu"
    LABELS = "labels"


class TaskName(StrEnum):
    """The name of every Celery task there is; a test asserts that a worker registers each."""

    SCORE = "scoring.score"
    RESCORE = "scoring.rescore"
    COMPARE_PIXELS = "scoring.compare_pixels"
    DRAW_PICTURES = "scoring.draw_pictures"
    DRAW_GALLERY = "scoring.draw_gallery"
    REVEAL = "scoring.reveal"
    TRAIN = "baselines.train"
    SEND_MAIL = "challenge.send_mail"
    DELIVER_WEBHOOKS = "challenge.deliver_webhooks"
    SWEEP = "scoring.sweep"
    SWEEP_FILES = "challenge.sweep_files"
    SWEEP_EVIDENCE = "scoring.sweep_evidence"
    INSTALL_LABELS = "labels.install"
    DISTRIBUTE_LABELS = "labels.distribute"

    @property
    def queue(self) -> Queue:
        """The queue that the task is sent to."""
        return _QUEUES.get(self, Queue.DEFAULT)


# Evidence tells about labels: only scoring workers have it. They alone isolate decoders.
_QUEUES = {
    TaskName.SCORE: Queue.SCORING,
    TaskName.RESCORE: Queue.SCORING,
    TaskName.COMPARE_PIXELS: Queue.SCORING,
    TaskName.DRAW_PICTURES: Queue.SCORING,
    TaskName.DRAW_GALLERY: Queue.SCORING,
    TaskName.REVEAL: Queue.SCORING,
    TaskName.SWEEP_EVIDENCE: Queue.SCORING,
    TaskName.TRAIN: Queue.GPU,
    TaskName.INSTALL_LABELS: Queue.LABELS,
    TaskName.DISTRIBUTE_LABELS: Queue.LABELS,
}


class Publisher:
    """Sends task names on a thread of its own, each once however often it was asked for.

    The thread ends when nothing is left to send. A process that ends waits for it, which takes
    ``PUBLISH_S`` or little more for each name.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._names: dict[TaskName, None] = {}
        self._thread: threading.Thread | None = None

    def send(self, name: TaskName) -> None:
        """Send ``name`` soon; returns at once."""
        with self._lock:
            self._names[name] = None
            if self._thread is None:
                self._thread = threading.Thread(target=self._send_all, name="publish-tasks")
                self._thread.start()

    def is_busy(self) -> bool:
        """Whether something is still to be sent."""
        with self._lock:
            return self._thread is not None

    def _send_all(self) -> None:
        while True:
            with self._lock:
                name = next(iter(self._names), None)
                if name is None:
                    self._thread = None
                    return
                del self._names[name]
            try:
                send_task(name)
            except Exception:
                # Whatever it is, the next name is sent; the sweep sends this one again.
                log.exception("%s is not sent until the next sweep", name)


_publisher: Publisher | None = None


def publish_in_background() -> None:
    """Have this process send task names without waiting: for the web, which does not fork."""
    global _publisher
    _publisher = Publisher()


def send_task_on_commit(name: TaskName) -> None:
    """Send a task name once the current transaction is committed (at once where there is none)."""
    transaction.on_commit(partial(send_task if _publisher is None else _publisher.send, name))


def send_task(name: TaskName) -> bool:
    """Send a task name now; False (and a line in the log) when the broker cannot be reached."""
    try:
        with current_app.connection_for_write(
            connect_timeout=PUBLISH_S, transport_options=_publishing_options()
        ) as connection:
            current_app.send_task(
                name.value,
                queue=name.queue.value,
                ignore_result=True,
                retry=False,
                expires=MESSAGE_EXPIRES_S,
                connection=connection,
            )
    except (OperationalError, OSError, RedisError) as error:
        log.warning("broker unreachable, %s is not sent until the next sweep: %s", name, error)
        return False
    return True


def _publishing_options() -> dict[str, Any]:
    return {
        **current_app.conf.broker_transport_options,
        "socket_connect_timeout": PUBLISH_S,
        "socket_timeout": PUBLISH_S,
        "retry_on_timeout": False,
    }
