"""Runs the site's own processes side by side, and ends every one of them.

For the demo and for tests: each process writes to a log file of its own, dies with
its parent even when that is killed, and is asked to stop before it is made to.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from challenge.embedded.data_folder import ROOT, open_private

EXEC_WITH_PARENT = Path(__file__).with_name("exec_with_parent.py")
STOP_S = 15.0

CELERY = (sys.executable, "-m", "celery", "--app", "challenge.config.celery", "--quiet")
MANAGE = (sys.executable, "-m", "challenge")
WEB = (
    sys.executable, "-m", "gunicorn", "--config", "python:challenge.config.gunicorn",
    "challenge.config.wsgi",
)  # fmt: skip
BEAT = (*CELERY, "beat", "--pidfile", "", "--loglevel", "INFO")


def worker(name: str, *, queues: str, concurrency: int) -> tuple[str, ...]:
    """The command of a Celery worker for ``queues`` (separated by commas)."""
    return (
        *CELERY, "worker", "--hostname", f"{name}@%h", "--queues", queues,
        "--concurrency", str(concurrency), "--without-gossip", "--without-mingle",
        "--loglevel", "INFO",
    )  # fmt: skip


class ProcessEnded(Exception):
    """A process that should run has ended; the message carries the end of its log."""


@dataclass
class Process:
    """One running process and its log."""

    name: str
    log: Path
    popen: subprocess.Popen[bytes]

    def tail(self, lines: int = 15) -> str:
        """The last lines of its log."""
        words = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(words[-lines:])


@dataclass
class ProcessGroup:
    """Processes that start together and end together, the last one first."""

    logs: Path
    processes: list[Process] = field(default_factory=list)

    def start(
        self, name: str, command: tuple[str, ...], *, environment: dict[str, str] | None = None
    ) -> Process:
        """Start one process; ``environment`` is added to our own."""
        # Without a mail server they hold what would be mailed: links that reset passwords.
        self.logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.logs.chmod(0o700)
        log = self.logs / f"{name}.log"
        launcher = [
            sys.executable,
            "-I",
            "-S",
            str(EXEC_WITH_PARENT),
            str(int(signal.SIGTERM)),
            str(os.getpid()),
        ]
        with open_private(log, "wb") as out:
            popen = subprocess.Popen(
                [*launcher, *command],
                cwd=ROOT,
                env=os.environ | (environment or {}),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        process = Process(name=name, log=log, popen=popen)
        self.processes.append(process)
        return process

    def check(self) -> None:
        """Raise ``ProcessEnded`` where one of them is no more."""
        for process in self.processes:
            code = process.popen.poll()
            if code is not None:
                raise ProcessEnded(
                    f"{process.name} ended with code {code}; the end of {process.log}:\n"
                    f"{process.tail()}"
                )

    def stop(self) -> None:
        """SIGTERM to each, the last started first; SIGKILL to those that stay."""
        for process in reversed(self.processes):
            if process.popen.poll() is None:
                process.popen.terminate()
        for process in reversed(self.processes):
            try:
                process.popen.wait(STOP_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.popen.pid, signal.SIGKILL)
                process.popen.wait()
        self.processes.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
