"""The keeper: owns both servers of one data folder while anybody holds it.

``python -m challenge.config.engines.keeper FOLDER [--quick] [--grace SECONDS]``, started by
``holder.hold``. It tells every holder, in one line of JSON, that the servers are ready or why they
are not. A server that dies is started again; if that does not help, the keeper gives up.
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

from challenge.config.engines.places import MissingProgram, Place
from challenge.config.engines.servers import Postgres, ServerFailed, Valkey

LOCK_S = 25.0
FIRST_HOLDER_S = 30.0
LOOK_S = 0.25
MOST_DEATHS = 5
DEATHS_WINDOW_S = 60.0
LOG_LIMIT_BYTES = 4_000_000


class Keeper:
    """Starts, watches and stops the servers; counts the holders."""

    def __init__(self, place: Place, *, quick: bool, grace_s: float, log: IO[bytes]) -> None:
        self.place = place
        self.grace_s = grace_s
        self.log = log
        self.servers: tuple[Valkey | Postgres, ...] = (Valkey(place), Postgres(place, quick=quick))
        self.holders: set[socket.socket] = set()
        self.told_to_stop = False
        self.deaths: deque[float] = deque(maxlen=MOST_DEATHS)
        self.selector = selectors.DefaultSelector()
        place.keeper_socket.unlink(missing_ok=True)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(place.keeper_socket))
        self.listener.listen(128)
        self.selector.register(self.listener, selectors.EVENT_READ)

    def say(self, words: str) -> None:
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
        self.log.write(f"{stamp} UTC keeper {os.getpid()}: {words}\n".encode())

    def start(self) -> None:
        for server in self.servers:
            server.start(self.log)
        for server in self.servers:
            server.wait()

    def keep(self) -> None:
        """Until the last holder has been gone for the grace period, or a signal comes."""
        alone_since = time.monotonic()
        patience_s = FIRST_HOLDER_S
        while not self.told_to_stop:
            for key, _ in self.selector.select(LOOK_S):
                if key.fileobj is self.listener:
                    self._welcome()
                else:
                    self._listen(key.fileobj)  # type: ignore[arg-type]  # a socket, as registered
            self._revive()
            if self.holders:
                alone_since, patience_s = time.monotonic(), self.grace_s
            elif time.monotonic() - alone_since > patience_s:
                return

    def _welcome(self) -> None:
        holder, _ = self.listener.accept()
        holder.setblocking(False)
        self.holders.add(holder)
        self.selector.register(holder, selectors.EVENT_READ)
        self._send(holder, {"ready": True, "pid": os.getpid()})

    def _listen(self, holder: socket.socket) -> None:
        try:
            gone = holder.recv(64) == b""
        except BlockingIOError:
            return
        except OSError:
            gone = True
        if gone:
            self._drop(holder)

    def _send(self, holder: socket.socket, answer: dict[str, object]) -> None:
        try:
            holder.sendall(json.dumps(answer).encode() + b"\n")
        except OSError:
            self._drop(holder)

    def _drop(self, holder: socket.socket) -> None:
        if holder in self.holders:
            self.holders.remove(holder)
            self.selector.unregister(holder)
            holder.close()

    def _revive(self) -> None:
        for server in self.servers:
            if server.process is None or server.process.poll() is None:
                continue
            self.say(f"{server.name} ended with code {server.process.returncode}; starting again")
            now = time.monotonic()
            if len(self.deaths) == MOST_DEATHS and now - self.deaths[0] < DEATHS_WINDOW_S:
                raise ServerFailed(f"{server.name} ended too often")
            self.deaths.append(now)
            server.start(self.log)
            server.wait()

    def refuse(self, reason: str) -> None:
        """Tell the reason to everyone who waits."""
        self.listener.setblocking(False)
        deadline = time.monotonic() + 1
        while time.monotonic() < deadline:
            try:
                holder, _ = self.listener.accept()
            except BlockingIOError:
                time.sleep(0.05)
                continue
            with holder:
                holder.sendall(json.dumps({"error": reason}).encode() + b"\n")
                deadline = min(deadline, time.monotonic() + 0.3)

    def stop(self) -> None:
        # The socket goes first: who comes now finds none, and starts a keeper that waits its turn.
        self.place.keeper_socket.unlink(missing_ok=True)
        self.selector.close()
        self.listener.close()
        for holder in self.holders:
            holder.close()
        for server in self.servers:
            server.stop()


def take_lock(place: Place) -> IO[str] | None:
    """The folder's lock, with our pid in it; None if another keeper has it for good."""
    lock = place.lock.open("a+", encoding="ascii")
    deadline = time.monotonic() + LOCK_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline or _answers(place):
                lock.close()
                return None
            time.sleep(0.05)
        else:
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            return lock


def _answers(place: Place) -> bool:
    with socket.socket(socket.AF_UNIX) as line:
        try:
            line.connect(str(place.keeper_socket))
        except OSError:
            return False
        return True


def open_log(place: Place) -> IO[bytes]:
    if place.log.exists() and place.log.stat().st_size > LOG_LIMIT_BYTES:
        place.log.replace(place.log.with_suffix(".log.1"))
    return place.log.open("ab", buffering=0)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="keeper")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--quick", action="store_true", help="no fsync: for tests alone")
    parser.add_argument("--grace", type=float, default=1.0, help="seconds after the last holder")
    chosen = parser.parse_args(arguments)
    place = Place(chosen.folder)
    place.prepare()
    lock = take_lock(place)
    if lock is None:
        return 0
    with lock, open_log(place) as log:
        keeper = Keeper(place, quick=chosen.quick, grace_s=chosen.grace, log=log)

        def stop(number: int, frame: FrameType | None) -> None:
            keeper.told_to_stop = True

        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, stop)
        os.chdir(place.folder)
        try:
            keeper.start()
            keeper.say("ready")
            keeper.keep()
        except (ServerFailed, MissingProgram, OSError) as error:
            keeper.say(f"gives up: {error}")
            keeper.refuse(str(error))
            return 1
        finally:
            keeper.stop()
            keeper.say("stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
