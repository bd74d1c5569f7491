"""The supervisor: runs both servers of one data folder while a client is connected.

``python -m challenge.embedded.supervisor FOLDER [--quick] [--grace SECONDS]``, started by
``client.connect``. It tells every client, in one line of JSON, that the servers are ready or why
they are not. A server that ends is started again; if that does not help, the supervisor gives up.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import selectors
import signal
import socket
import sys
import time
from collections import deque
from pathlib import Path
from types import FrameType
from typing import IO

from challenge.embedded import data_folder
from challenge.embedded.data_folder import DataFolder, MissingProgram
from challenge.embedded.servers import Postgres, ServerFailed, Valkey

LOCK_TIMEOUT_S = 25.0
FIRST_CLIENT_S = 30.0
POLL_S = 0.25
MAX_RESTARTS = 5
RESTARTS_WINDOW_S = 60.0
LOG_LIMIT_BYTES = 4_000_000


class Supervisor:
    """Starts, watches and stops the servers; counts the clients."""

    def __init__(self, data: DataFolder, *, quick: bool, grace_s: float, log: IO[bytes]) -> None:
        self.data = data
        self.grace_s = grace_s
        self.log = log
        self.servers: tuple[Valkey | Postgres, ...] = (Valkey(data), Postgres(data, quick=quick))
        self.clients: set[socket.socket] = set()
        self.stop_requested = False
        self.restarts: deque[float] = deque(maxlen=MAX_RESTARTS)
        self.selector = selectors.DefaultSelector()
        data.supervisor_socket.unlink(missing_ok=True)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(data.supervisor_socket))
        self.listener.listen(128)
        self.selector.register(self.listener, selectors.EVENT_READ)

    def write_log(self, message: str) -> None:
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
        self.log.write(f"{stamp} UTC supervisor {os.getpid()}: {message}\n".encode())

    def start_servers(self) -> None:
        for server in self.servers:
            server.start(self.log)
        for server in self.servers:
            server.wait_until_ready()

    def run(self) -> None:
        """Until the last client has been gone for the grace period, or a signal comes."""
        without_clients_since = time.monotonic()
        allowed_s = FIRST_CLIENT_S
        while not self.stop_requested:
            for key, _ in self.selector.select(POLL_S):
                if key.fileobj is self.listener:
                    self._accept()
                else:
                    self._read_client(key.fileobj)  # type: ignore[arg-type]  # a socket, as registered
            self._restart_ended()
            if self.clients:
                without_clients_since, allowed_s = time.monotonic(), self.grace_s
            elif time.monotonic() - without_clients_since > allowed_s:
                return

    def _accept(self) -> None:
        client, _ = self.listener.accept()
        client.setblocking(False)
        self.clients.add(client)
        self.selector.register(client, selectors.EVENT_READ)
        self._send(client, {"ready": True, "pid": os.getpid()})

    def _read_client(self, client: socket.socket) -> None:
        try:
            gone = client.recv(64) == b""
        except BlockingIOError:
            return
        except OSError:
            gone = True
        if gone:
            self._disconnect(client)

    def _send(self, client: socket.socket, answer: dict[str, object]) -> None:
        try:
            client.sendall(json.dumps(answer).encode() + b"\n")
        except OSError:
            self._disconnect(client)

    def _disconnect(self, client: socket.socket) -> None:
        if client in self.clients:
            self.clients.remove(client)
            self.selector.unregister(client)
            client.close()

    def _restart_ended(self) -> None:
        for server in self.servers:
            if server.process is None or server.process.poll() is None:
                continue
            self.write_log(
                f"{server.name} ended with code {server.process.returncode}; starting again"
            )
            now = time.monotonic()
            if len(self.restarts) == MAX_RESTARTS and now - self.restarts[0] < RESTARTS_WINDOW_S:
                raise ServerFailed(f"{server.name} ended too often")
            self.restarts.append(now)
            server.start(self.log)
            server.wait_until_ready()

    def report_failure(self, reason: str) -> None:
        """Tell the reason to every client that waits."""
        self.listener.setblocking(False)
        deadline = time.monotonic() + 1
        while time.monotonic() < deadline:
            try:
                client, _ = self.listener.accept()
            except BlockingIOError:
                time.sleep(0.05)
                continue
            with client:
                client.sendall(json.dumps({"error": reason}).encode() + b"\n")
                deadline = min(deadline, time.monotonic() + 0.3)

    def stop(self) -> None:
        # The socket goes first: a client that comes now finds none and starts a supervisor, which
        # waits for the lock.
        self.data.supervisor_socket.unlink(missing_ok=True)
        self.selector.close()
        self.listener.close()
        for client in self.clients:
            client.close()
        for server in self.servers:
            server.stop()


def take_lock(data: DataFolder) -> IO[str] | None:
    """The folder's lock, with our pid in it; None if another supervisor keeps it."""
    lock = data.lock.open("a+", encoding="ascii")
    deadline = time.monotonic() + LOCK_TIMEOUT_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline or _answers(data):
                lock.close()
                return None
            time.sleep(0.05)
        else:
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            return lock


def _answers(data: DataFolder) -> bool:
    with socket.socket(socket.AF_UNIX) as channel:
        try:
            channel.connect(str(data.supervisor_socket))
        except OSError:
            return False
        return True


def open_log(data: DataFolder) -> IO[bytes]:
    if data.log.exists() and data.log.stat().st_size > LOG_LIMIT_BYTES:
        data.log.replace(data.log.with_suffix(".log.1"))
    return data_folder.open_private(data.log, "ab")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="supervisor")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--quick", action="store_true", help="no fsync: for tests alone")
    parser.add_argument("--grace", type=float, default=1.0, help="seconds after the last client")
    chosen = parser.parse_args(arguments)
    data = DataFolder(chosen.folder)
    data.prepare()
    lock = take_lock(data)
    if lock is None:
        return 0
    with lock, open_log(data) as log:
        supervisor = Supervisor(data, quick=chosen.quick, grace_s=chosen.grace, log=log)

        def stop(_number: int, _frame: FrameType | None) -> None:
            supervisor.stop_requested = True

        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, stop)
        os.chdir(data.folder)
        try:
            supervisor.start_servers()
            supervisor.write_log("ready")
            supervisor.run()
        except (ServerFailed, MissingProgram, OSError) as error:
            supervisor.write_log(f"gives up: {error}")
            supervisor.report_failure(str(error))
            return 1
        finally:
            supervisor.stop()
            supervisor.write_log("stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
