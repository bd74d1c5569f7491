"""A proxy that breaks connections: what hotel networks do, at bytes that a test chooses."""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class CuttingProxy:
    """Forwards to ``port``; while ``cuts`` has numbers, the next one ends a connection.

    A number is how many bytes the client may send on a connection before both sides get a RST.
    Connections that end below their number (a short HEAD) leave it for the next one.
    """

    port: int
    cuts: list[int] = field(default_factory=list)
    made: int = 0
    sent_bytes: int = 0

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._closed = threading.Event()
        self._threads: list[threading.Thread] = []
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        self._closed.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._acceptor.join(timeout=5)
        for thread in self._threads:
            thread.join(timeout=5)

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                client, _address = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._forward, args=(client,), daemon=True)
            thread.start()
            self._threads.append(thread)

    def _forward(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self.port), timeout=120) as server:
            sent = 0
            selector = selectors.DefaultSelector()
            selector.register(client, selectors.EVENT_READ, server)
            selector.register(server, selectors.EVENT_READ, client)
            with selector, contextlib.suppress(OSError):
                while not self._closed.is_set():
                    for key, _mask in selector.select(timeout=0.2):
                        data = key.fileobj.recv(65536)  # type: ignore[union-attr]
                        if not data:
                            return
                        key.data.sendall(data)
                        if key.fileobj is client:
                            sent += len(data)
                            self.sent_bytes += len(data)
                    if self.cuts and sent >= self.cuts[0]:
                        self.cuts.pop(0)
                        self.made += 1
                        for end in (client, server):
                            linger = struct.pack("ii", 1, 0)
                            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                        return


@contextmanager
def cutting(port: int, cuts: list[int]) -> Iterator[CuttingProxy]:
    """A proxy for the length of a test."""
    proxy = CuttingProxy(port, cuts)
    try:
        yield proxy
    finally:
        proxy.close()
