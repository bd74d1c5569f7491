"""Small servers on loopback: the site's API with one phase, an HTTP proxy, a SOCKS 5 proxy."""

from __future__ import annotations

import json
import select
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypeVar

from scoring.engine.task.examples import abc_spec

HOST = "127.0.0.1"
PHASE = "abc/test"
Server = TypeVar("Server", bound=socketserver.BaseServer)


def task_document() -> dict[str, object]:
    """The answer of ``/task``: patches of 3 by 4 pixels, of which one is expected."""
    return {"task": {**abc_spec().to_json(), "expected": [["", "", "001"]]}}


class SiteServer(ThreadingHTTPServer):
    """Answers as the site does; ``targets`` are the request lines' targets.

    A proxy gets whole URLs as targets, and this one answers them in the site's place.
    """

    daemon_threads = True

    def __init__(self, *, status: int = 200) -> None:
        super().__init__((HOST, 0), _SiteHandler)
        self.status = status
        self.targets: list[str] = []


class _SiteHandler(BaseHTTPRequestHandler):
    server: SiteServer

    def do_GET(self) -> None:
        self.server.targets.append(self.path)
        files = [{"file": "part", "size": "1", "content": {}, "url": f"https://{HOST}:9/part.zip"}]
        answer = task_document() if self.path.endswith("/task") else {"items": files}
        body = json.dumps(answer).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words: object) -> None:
        """Write nothing."""


class SocksServer(socketserver.ThreadingTCPServer):
    """SOCKS 5 (RFC 1928) without authentication, CONNECT alone; ``wanted`` are its targets."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__((HOST, 0), _SocksHandler)
        self.wanted: list[tuple[str, int]] = []


class _SocksHandler(socketserver.BaseRequestHandler):
    server: SocksServer

    def handle(self) -> None:
        _version, count = self._exactly(2)
        self._exactly(count)
        self.request.sendall(b"\x05\x00")
        _version, _command, _reserved, kind = self._exactly(4)
        length = {1: 4, 4: 16}.get(kind) or self._exactly(1)[0]
        raw = self._exactly(length)
        family = socket.AF_INET6 if kind == 4 else socket.AF_INET
        host = raw.decode() if kind == 3 else socket.inet_ntop(family, raw)
        port = int.from_bytes(self._exactly(2), "big")
        self.server.wanted.append((host, port))
        with socket.create_connection((HOST, port)) as target:
            self.request.sendall(b"\x05\x00\x00\x01" + bytes(6))
            self._relay(target)

    def _relay(self, target: socket.socket) -> None:
        other = {self.request: target, target: self.request}
        while True:
            for one in select.select([*other], [], [])[0]:
                data = one.recv(65_536)
                if not data:
                    return
                other[one].sendall(data)

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = self.request.recv(count - len(data))
            if not more:
                raise ConnectionError("the client has gone")
            data += more
        return data


class BannerServer(socketserver.ThreadingTCPServer):
    """Reads once, answers with the same bytes to everybody and closes."""

    daemon_threads = True

    def __init__(self, words: bytes) -> None:
        super().__init__((HOST, 0), _BannerHandler)
        self.words = words


class _BannerHandler(socketserver.BaseRequestHandler):
    server: BannerServer

    def handle(self) -> None:
        self.request.recv(1000)
        self.request.sendall(self.server.words)


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    """Serve in a thread."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def port_of(server: socketserver.BaseServer) -> int:
    """Where it listens."""
    return int(server.server_address[1])
