"""Holding the engines: start them or join those that run, and let go in the end."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from challenge.config import env
from challenge.config.engines import places
from challenge.config.engines.places import Place

TIMEOUT_S = 60.0
LOG_TAIL_LINES = 12


class EnginesError(Exception):
    """The embedded engines cannot be had; the message ends with the log's last lines."""


@dataclass
class Held:
    """A share in running engines, let go by ``release``, ``with`` or the end of the process.

    A process forked while it is held holds it too.
    """

    place: Place
    keeper_pid: int
    _line: int

    def wait_gone(self) -> None:
        """Until the keeper lets go of us, because it leaves."""
        while os.read(self._line, 64):
            pass
        self.release()

    def release(self) -> None:
        if self._line >= 0:
            os.close(self._line)
            self._line = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


_held: Held | None = None


def hold_if_unset(*, quick: bool = False) -> Held | None:
    """Hold this checkout's engines until the process ends, unless both servers are named.

    Raises ``EnginesError``. Calling it again is free.
    """
    global _held
    if env.secret("DATABASE_URL", default="") and env.secret("REDIS_URL", default=""):
        return None
    if _held is None:
        _held = hold(Place(places.default_folder()), quick=quick)
    return _held


def hold(place: Place, *, quick: bool = False, grace_s: float = 1.0) -> Held:
    """Start the engines of ``place``, or join them where they run; returns when they answer.

    ``quick`` gives up durability for speed (tests); it matters only to who starts them.
    Raises ``EnginesError`` when they do not come up within a minute.
    """
    try:
        place.prepare()
    except OSError as error:
        raise EnginesError(f"cannot use {place.folder}: {error}") from error
    keeper_pid: int | None = None
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        held = join(place, timeout_s=deadline - time.monotonic())
        if held is not None:
            return held
        if keeper_pid is not None and os.waitpid(keeper_pid, os.WNOHANG)[0] == keeper_pid:
            keeper_pid = None
        if keeper_pid is None:
            keeper_pid = _start_keeper(place, quick=quick, grace_s=grace_s)
        time.sleep(0.03)
    raise EnginesError(f"the engines did not start within {TIMEOUT_S:.0f} s{_tail(place)}")


def join(place: Place, *, timeout_s: float = TIMEOUT_S) -> Held | None:
    """A share, or None while no keeper listens or it is just leaving."""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(timeout_s)
        try:
            line.connect(str(place.keeper_socket))
            answer = json.loads(line.makefile("rb").readline() or b"{}")
        except OSError:
            return None
        if "error" in answer:
            raise EnginesError(f"{answer['error']}{_tail(place)}")
        if "ready" not in answer:
            return None
        line.settimeout(None)
        return Held(place=place, keeper_pid=int(answer["pid"]), _line=line.detach())


def _start_keeper(place: Place, *, quick: bool, grace_s: float) -> int:
    """Start it outside of our session, so that Ctrl-C ends the holders first; its pid."""
    module = "challenge.config.engines.keeper"
    command = [sys.executable, "-m", module, str(place.folder), "--grace", str(grace_s)]
    if quick:
        command.append("--quick")
    path = os.pathsep.join(filter(None, [str(places.ROOT), os.environ.get("PYTHONPATH")]))
    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    return os.posix_spawn(
        sys.executable,
        command,
        os.environ | {"PYTHONPATH": path},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(place.log), append, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )


def _tail(place: Place) -> str:
    try:
        lines = place.log.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return ""
    return "\n".join([f"\nThe end of {place.log}:", *lines[-LOG_TAIL_LINES:]])
