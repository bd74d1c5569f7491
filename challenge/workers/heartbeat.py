"""Renewing the lease of a job while a child process works on it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextvars import copy_context
from threading import Event, Thread

from django.db import DatabaseError, connection
from django.db.utils import InterfaceError

from scoring.engine.scorer.verdicts import Progress

log = logging.getLogger(__name__)

PROGRESS_EVERY_S = 1.0


class Heartbeat:
    """Renews a claim's lease from a thread of its own, and writes how far the work is.

    ``renew`` writes a progress and says whether the claim is still ours; it is called every
    quarter of the lease (``lease_s`` seconds), sooner where the progress is another. ``label``
    names the job in logs. ``lost`` is set once the claim is no longer ours. A database that cannot
    be reached is no loss by itself: the lease decides, and the last write is fenced by the attempt.
    """

    def __init__(
        self, renew: Callable[[Progress], bool], *, lease_s: float, label: str, stage: str
    ) -> None:
        self.lost = Event()
        self._renew_claim = renew
        self._renew_s = lease_s / 4
        self._label = label
        self._done = Event()
        self._progress = Progress(stage)
        # What it logs carries the ids that were bound where it began.
        context = copy_context()
        self._thread = Thread(target=context.run, args=(self._run,), name=f"heartbeat-{label}")

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def set_progress(self, progress: Progress) -> None:
        """Take over how far the work is; the thread writes it."""
        self._progress = progress

    def _run(self) -> None:
        written: Progress | None = None
        written_s = 0.0
        try:
            while not self._done.wait(min(PROGRESS_EVERY_S, self._renew_s)):
                progress = self._progress
                if progress == written and time.monotonic() - written_s < self._renew_s:
                    continue
                try:
                    is_alive = self._renew_claim(progress)
                except (DatabaseError, InterfaceError) as error:
                    log.warning("heartbeat of %s missed: %s", self._label, error)
                    connection.close()
                    continue
                if not is_alive:
                    self.lost.set()
                    return
                written, written_s = progress, time.monotonic()
        finally:
            connection.close()
