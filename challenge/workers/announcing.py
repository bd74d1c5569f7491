"""A scoring worker says again and again what it has: for the desk's health page."""

from __future__ import annotations

import contextlib
import logging
import shutil
import socket
from pathlib import Path
from threading import Event, Thread
from typing import Any

from celery.signals import worker_ready, worker_shutting_down
from django.conf import settings
from redis.exceptions import RedisError

from challenge.services import scoring_workers
from challenge.workers import readiness
from scoring.engine.decode import sandbox

log = logging.getLogger(__name__)

ANNOUNCE_EVERY_S = 30.0

_leaving = Event()


def announce(name: str) -> None:
    """Say once what this worker has."""
    isolation = ""
    with contextlib.suppress(sandbox.IsolationUnavailable):
        isolation = str(sandbox.require())
    label_files: list[str] = []
    with contextlib.suppress(OSError):  # the fault says so
        label_files = readiness.label_files() if settings.LABELS_DIR else []
    folders = {"labels": settings.LABELS_DIR, "evidence": settings.EVIDENCE_DIR}
    free_bytes = {
        role: shutil.disk_usage(folder).free
        for role, folder in folders.items()
        if folder is not None and Path(folder).is_dir()
    }
    scoring_workers.announce(
        name,
        host=socket.gethostname(),
        isolation=isolation,
        faults=readiness.faults(),
        label_files=label_files,
        free_bytes=free_bytes,
    )


def _announce_always(name: str) -> None:
    while True:
        try:
            announce(name)
        except (RedisError, OSError) as error:
            log.warning("what this worker has is not known to the site: %s", error)
        if _leaving.wait(ANNOUNCE_EVERY_S):
            return


@worker_ready.connect
def start_announcing(sender: Any = None, **_: Any) -> None:
    """Announce workers of the scoring queue, from a thread of the parent process."""
    if sender is not None and readiness.consumes_scoring(sender):
        arguments = (sender.hostname,)
        Thread(target=_announce_always, args=arguments, name="announce", daemon=True).start()


@worker_shutting_down.connect
def stop_announcing(**_: Any) -> None:
    """Let the thread end."""
    _leaving.set()
