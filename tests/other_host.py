"""A process of another host: its own network, from which the declared servers alone are reached.

``python -m tests.other_host SOCKET PORT COMMAND …`` runs a command in a new network namespace (made
by ``unshare``) where the loopback is up and port PORT leads to a Unix socket, the only way out.
"""

from __future__ import annotations

import array
import ctypes
import fcntl
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

UNSHARE = ("unshare", "--user", "--map-root-user", "--net")
CHUNK_BYTES = 1 << 16
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 0x1
PR_SET_PDEATHSIG = 1


def namespaces_refused() -> str:
    """Why this machine gives no network namespaces; "" where it does."""
    try:
        done = subprocess.run(
            [*UNSHARE, sys.executable, "-c", "pass"], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return "there is no unshare"
    return done.stderr.strip() if done.returncode else ""


def command_prefix(way_out: Path, port: int) -> tuple[str, ...]:
    """What comes before a command that runs on the other host."""
    return (*UNSHARE, sys.executable, "-m", "tests.other_host", str(way_out), str(port))


@contextmanager
def way_out(path: Path, port: int) -> Iterator[Path]:
    """A Unix socket that leads to a port of this host."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(64)
    forward(listener, lambda: socket.create_connection(("127.0.0.1", port)))
    yield path
    listener.close()
    path.unlink()


def forward(listener: socket.socket, connect: Callable[[], socket.socket]) -> threading.Thread:
    """Pass each connection on to a new one, in threads."""

    def accept() -> None:
        with suppress(OSError):  # the listener was closed
            while True:
                client, _ = listener.accept()
                server = connect()
                threading.Thread(target=_join, args=(client, server), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    return thread


def _join(client: socket.socket, server: socket.socket) -> None:
    with client, server:
        back = threading.Thread(target=_pump, args=(server, client), daemon=True)
        back.start()
        _pump(client, server)
        back.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(CHUNK_BYTES):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def _raise_loopback() -> None:
    with socket.socket() as any_socket:
        request = array.array("B", struct.pack("16sH14s", b"lo", 0, b""))
        fcntl.ioctl(any_socket, SIOCGIFFLAGS, request)
        flags = struct.unpack_from("16sH", request)[1] | IFF_UP
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14s", b"lo", flags, b""))


def main(socket_path: str, port: int, command: list[str]) -> None:
    """Raise the loopback, forward in a child process, become the command."""
    _raise_loopback()
    listener = socket.create_server(("127.0.0.1", port))
    parent = os.getpid()
    if os.fork():
        listener.close()
        os.execvp(command[0], command)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)

    def connect() -> socket.socket:
        made = socket.socket(socket.AF_UNIX)
        made.connect(socket_path)
        return made

    forward(listener, connect).join()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
