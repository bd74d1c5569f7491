"""A real Celery worker on the test database, to be stopped and killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from django.conf import settings
from django.core.files.storage import default_storage

from challenge.embedded.data_folder import ROOT
from tests.helpers import wait_until
from tests.live_site import database_url

STOP_S = 20.0


class WorkerProcess:
    """One Celery worker of ``queues`` in a session of its own; ``log`` is what it printed."""

    def __init__(self, log: Path, *, queues: str) -> None:
        self.log = log
        self.queues = queues
        self.prefix: tuple[str, ...] = ()
        self.process: subprocess.Popen[bytes] | None = None

    def environment(self) -> dict[str, str]:
        """What a worker needs beside the servers and the storage; for subclasses."""
        return {}

    def start(self) -> None:
        """Start it without waiting until it is ready."""
        environment = os.environ | {
            "DATABASE_URL": database_url(),
            "REDIS_URL": settings.REDIS_URL,
            **self.environment(),
        }
        if "STORAGE_URL" not in environment:
            environment["STORAGE_URL"] = f"file://{Path(default_storage.path(''))}"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *self.prefix,
                    *(sys.executable, "-m", "celery", "--app", "challenge.config.celery:app"),
                    *("worker", "--concurrency", "1", "--queues", self.queues),
                    *("--without-mingle", "--without-gossip", "--loglevel", "INFO"),
                ],
                cwd=ROOT,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill(self) -> None:
        """SIGKILL the worker and its pool, as a machine that loses power does."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=STOP_S)
        self.process = None

    def stop(self) -> None:
        """Stop gently, then not."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(timeout=STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
        self.process = None

    def log_tail(self) -> str:
        """The end of the log, for messages of failures."""
        return self.log.read_text(errors="replace")[-4000:] if self.log.exists() else ""

    def wait_until(
        self, condition: Callable[[], object], what: str, *, timeout_s: float = 100.0
    ) -> None:
        """Wait for ``condition``; fail with the end of the log."""
        wait_until(condition, what, timeout_s=timeout_s, report=self.log_tail)
