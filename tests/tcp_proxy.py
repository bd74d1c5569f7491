"""A TCP proxy before a server, which can stop forwarding, cut connections and refuse new ones."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote, urlsplit, urlunsplit

CHUNK_BYTES = 65536


@dataclass(eq=False)
class Link:
    """One client's connection and the one behind it; bytes pass while ``open`` is set."""

    client: socket.socket
    server: socket.socket
    open: threading.Event = field(default_factory=threading.Event)
    is_dropped: bool = False

    def close(self) -> None:
        for end in (self.client, self.server):
            with contextlib.suppress(OSError):  # it is closed already
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self.open.set()  # who waits finds the connection closed


class TcpProxy:
    """Listens on a port of its own; ``connect`` opens a connection to the server behind."""

    def __init__(self, connect: Callable[[], socket.socket]) -> None:
        self._connect = connect
        self._links: set[Link] = set()
        self._forwarding = True
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def freeze(self) -> None:
        """Forward nothing, and accept connections that lead nowhere, as a stopped process does."""
        self._forwarding = False
        for link in list(self._links):
            link.open.clear()

    def thaw(self) -> None:
        """Forward again, also what came meanwhile."""
        self._forwarding = True
        for link in list(self._links):
            if not link.is_dropped:
                link.open.set()

    def drop_open_connections(self) -> None:
        """Never forward again for what is connected now, as a firewall that forgot it."""
        for link in list(self._links):
            link.open.clear()
            link.is_dropped = True

    def refuse(self) -> None:
        """Cut everything and refuse connections, as a machine without this server."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for link in list(self._links):
            link.close()

    def accept_again(self) -> None:
        """Listen at the same port again."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.refuse()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _address = listener.accept()
            except OSError:
                return
            link = Link(client, self._connect())
            if self._forwarding:
                link.open.set()
            self._links.add(link)
            for source, target in ((link.client, link.server), (link.server, link.client)):
                threading.Thread(
                    target=self._forward, args=(link, source, target), daemon=True
                ).start()

    def _forward(self, link: Link, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK_BYTES):
                link.open.wait()
                target.sendall(data)
        self._links.discard(link)
        link.close()


def before(url: str) -> tuple[TcpProxy, str]:
    """A proxy before the PostgreSQL or Redis server at ``url``, and the URL that leads to it."""
    parts = urlsplit(url)
    folder = parse_qs(parts.query).get("host", [""])[0]
    if parts.scheme == "unix":
        proxy = TcpProxy(lambda: _unix(unquote(parts.path)))
        number = parse_qs(parts.query).get("db", ["0"])[0]
        return proxy, f"redis://127.0.0.1:{proxy.port}/{number}"
    if folder:
        proxy = TcpProxy(lambda: _unix(f"{folder}/.s.PGSQL.5432"))
    else:
        default = 6379 if parts.scheme.startswith("redis") else 5432
        address = (parts.hostname or "127.0.0.1", parts.port or default)
        proxy = TcpProxy(lambda: socket.create_connection(address))
    login = parts.netloc.rpartition("@")[0]
    through = f"{login}@127.0.0.1:{proxy.port}" if login else f"127.0.0.1:{proxy.port}"
    return proxy, urlunsplit((parts.scheme, through, parts.path, "", ""))


def _unix(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    return connection
