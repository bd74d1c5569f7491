"""Using the embedded servers: start them, or connect to those that run, and close in the end."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from challenge import env
from challenge.embedded import data_folder
from challenge.embedded.data_folder import DataFolder

TIMEOUT_S = 60.0
LOG_TAIL_LINES = 12


class EmbeddedServersError(Exception):
    """The embedded servers do not start; the message ends with the log's last lines."""


@dataclass
class ServerConnection:
    """Keeps the servers running until ``close``, the end of ``with`` or the end of the process.

    A process forked meanwhile keeps them running, too.
    """

    data: DataFolder
    supervisor_pid: int
    _descriptor: int

    def wait_closed(self) -> None:
        """Until the supervisor closes the connection, because it ends."""
        while os.read(self._descriptor, 64):
            pass
        self.close()

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


_connection: ServerConnection | None = None


def connect_if_unset(*, quick: bool = False) -> ServerConnection | None:
    """Keep this checkout's servers running until the process ends, unless both are configured.

    Raises ``EmbeddedServersError``. Calling it again is free.
    """
    global _connection
    if env.secret("DATABASE_URL", default="") and env.secret("REDIS_URL", default=""):
        return None
    if _connection is None:
        _connection = connect(DataFolder(data_folder.default_folder()), quick=quick)
    return _connection


def connect(data: DataFolder, *, quick: bool = False, grace_s: float = 1.0) -> ServerConnection:
    """Start the servers of ``data``, or connect to them where they run; returns when they answer.

    ``quick`` gives up durability for speed (tests); it matters only to who starts them.
    Raises ``EmbeddedServersError`` when they do not come up within a minute.
    """
    try:
        data.prepare()
    except OSError as error:
        raise EmbeddedServersError(f"cannot use {data.folder}: {error}") from error
    supervisor_pid: int | None = None
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        connection = connect_if_running(data, timeout_s=deadline - time.monotonic())
        if connection is not None:
            return connection
        if (
            supervisor_pid is not None
            and os.waitpid(supervisor_pid, os.WNOHANG)[0] == supervisor_pid
        ):
            supervisor_pid = None
        if supervisor_pid is None:
            supervisor_pid = _start_supervisor(data, quick=quick, grace_s=grace_s)
        time.sleep(0.03)
    raise EmbeddedServersError(
        f"the embedded servers did not start within {TIMEOUT_S:.0f} s{_log_tail(data)}"
    )


def connect_if_running(
    data: DataFolder, *, timeout_s: float = TIMEOUT_S
) -> ServerConnection | None:
    """A connection, or None while no supervisor listens or it is just ending."""
    with socket.socket(socket.AF_UNIX) as channel:
        channel.settimeout(timeout_s)
        try:
            channel.connect(str(data.supervisor_socket))
            answer = json.loads(channel.makefile("rb").readline() or b"{}")
        except OSError:
            return None
        if "error" in answer:
            raise EmbeddedServersError(f"{answer['error']}{_log_tail(data)}")
        if "ready" not in answer:
            return None
        channel.settimeout(None)
        return ServerConnection(
            data=data, supervisor_pid=int(answer["pid"]), _descriptor=channel.detach()
        )


def _start_supervisor(data: DataFolder, *, quick: bool, grace_s: float) -> int:
    """Start it outside of our session, so that Ctrl-C ends the clients first; its pid."""
    module = "challenge.embedded.supervisor"
    command = [sys.executable, "-m", module, str(data.folder), "--grace", str(grace_s)]
    if quick:
        command.append("--quick")
    path = os.pathsep.join(filter(None, [str(data_folder.ROOT), os.environ.get("PYTHONPATH")]))
    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    return os.posix_spawn(
        sys.executable,
        command,
        os.environ | {"PYTHONPATH": path},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(data.log), append, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )


def _log_tail(data: DataFolder) -> str:
    try:
        lines = data.log.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return ""
    return "\n".join([f"\nThe end of {data.log}:", *lines[-LOG_TAIL_LINES:]])
