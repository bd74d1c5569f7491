"""Ends a worker or beat that stays unhealthy, so that whoever started it starts it again.

Docker only marks a container as unhealthy, and systemd does not ask: a restart policy
(``restart: unless-stopped``, ``Restart=always``) follows the end of a process alone. So a thread of
the process itself asks what the health check asks (:mod:`challenge.config.liveness`).
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

from challenge import env
from challenge.config import liveness

log = logging.getLogger(__name__)

CHECKS = 10  # in the time after which an unhealthy process ends
STOP_S = 100.0  # for the work at hand, less than systemd and compose wait
EXIT = os.EX_TEMPFAIL
STOPPED = frozenset("Tt")  # states of processes that somebody stopped, as /proc spells them


class Watchdog(Thread):
    """Ends this process once its role was unhealthy for ``RESTART_UNHEALTHY_S`` seconds.

    ``may_end`` says whether nothing would be lost by an end now.
    """

    def __init__(self, role: str, *, may_end: Callable[[], bool] = lambda: True) -> None:
        super().__init__(name="watchdog", daemon=True)
        self.role, self.may_end = role, may_end
        self.limit_s = restart_after_s()
        self.stopping = Event()

    def run(self) -> None:
        unhealthy_since_s: float | None = None
        while not self.stopping.wait(self.limit_s / CHECKS):
            reason = liveness.why_unhealthy(self.role)
            now_s = time.monotonic()
            if reason is None:
                unhealthy_since_s = None
                continue
            unhealthy_since_s = unhealthy_since_s or now_s
            if now_s - unhealthy_since_s >= self.limit_s and self.may_end():
                log.critical("%s was unhealthy for too long and ends: %s", self.role, reason)
                end_process(wait_s=min(STOP_S, self.limit_s))


def restart_after_s() -> int:
    """Seconds after which an unhealthy worker or beat ends; 0: never."""
    return env.integer("RESTART_UNHEALTHY_S", default=300)


def start(role: str, *, may_end: Callable[[], bool] = lambda: True) -> None:
    """Watch this process from now on, unless that is turned off."""
    if restart_after_s():
        Watchdog(role, may_end=may_end).start()


def end_process(*, wait_s: float) -> None:
    """Ask this process to end, and where it does not in ``wait_s``, end it and what it started."""
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(wait_s)
    for pid in descendants(os.getpid()):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    os._exit(EXIT)


def descendants(pid: int) -> list[int]:
    """Return the processes that a process started, and theirs, parents first."""
    found: list[int] = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            started = [int(child) for child in children.read_text().split()]
        except OSError:  # ended meanwhile
            continue
        for child in started:
            found += [child, *descendants(child)]
    return found


class PoolCheck:
    """What is wrong with the processes that run a worker's tasks.

    Stopped ones are told by the kernel. One that hangs before it takes a task is known by a task
    that waits from one check to the next while not all processes are busy.
    """

    def __init__(self, consumer: Any) -> None:
        self.consumer = consumer
        self.waiting: set[str] = set()

    def __call__(self) -> list[str]:
        """Return the faults found now."""
        return [*self._stopped(), *self._idle_and_deaf()]

    def _processes(self) -> list[Any]:
        pool = getattr(self.consumer.pool, "_pool", None)
        return list(getattr(pool, "_pool", None) or ())

    def _stopped(self) -> Iterator[str]:
        for process in self._processes():
            if state_of(process.pid) in STOPPED:
                yield f"the pool is frozen: process {process.pid} is stopped"

    def _idle_and_deaf(self) -> Iterator[str]:
        from celery.worker import state

        active = {request.id for request in state.active_requests}
        waiting = {request.id for request in state.reserved_requests} - active
        still = waiting & self.waiting
        self.waiting = waiting
        if still and len(active) < len(self._processes()):
            yield f"the pool is frozen: {len(still)} tasks wait and a process of it is idle"


def state_of(pid: int) -> str:
    """Return the letter of a process's state, "" for one that has ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    return text.rpartition(")")[2].split()[0]
