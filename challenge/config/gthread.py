"""gunicorn's threaded worker, which lends a thread only to a request that has arrived.

gunicorn's own gives each new connection a thread and waits there for the request. This one
collects a request's head, and its body where that is small, in the event loop; a client that sends
them byte by byte costs a few kilobytes of memory. Requests with larger bodies get at most half of
the threads; where more wait for one, the slowest lose theirs. How long a thread waits for a client
is decided by :mod:`challenge.services.client_sockets`.
"""

from __future__ import annotations

import re
import selectors
import socket
import time
from collections import deque
from functools import partial
from typing import Any

from django.conf import settings
from gunicorn.workers.gthread import TConn, ThreadWorker  # type: ignore[import-untyped]

from challenge.services import client_sockets
from challenge.services.client_sockets import ClientSocket

HEAD_END = b"\r\n\r\n"
HEAD_MAX_BYTES = 64 * 1024  # gunicorn itself refuses longer heads
SMALL_BODY_BYTES = 64 * 1024
CONTENT_LENGTH = re.compile(rb"^content-length:[ \t]*([0-9]{1,18})[ \t]*\r?$", re.I | re.M)  # noqa: FURB167
HAS_LARGE_BODY = re.compile(rb"^(?:expect|transfer-encoding):", re.I | re.M)  # noqa: FURB167
# For the head, from the connection or the first byte on; a body has as long as its length allows.
ARRIVAL_S = 15.0
RECV_BYTES = 64 * 1024
# Pages fit, so that no thread waits for their readers (Linux takes net.core.wmem_max at most).
SEND_BUFFER_BYTES = 512 * 1024
# Requests with large bodies that wait for a thread; further ones are closed.
LARGE_WAITING_MAX = 128


class Connection(TConn):  # type: ignore[misc]
    """A connection and what was received of its next request."""

    def __init__(self, cfg: Any, sock: socket.socket, client: Any, server: Any) -> None:
        super().__init__(cfg, sock, client, server)
        self.received = bytearray()
        self.body_bytes: int | None = None
        self.arrival_ends_s = 0.0
        self.is_large = False

    def begin_arrival(self) -> None:
        """Wait for the next request in the event loop."""
        self.sock.setblocking(False)
        self.body_bytes, self.is_large = None, False
        self.arrival_ends_s = time.monotonic() + ARRIVAL_S

    def init(self) -> None:
        """Prepare for a request, of which the received bytes come first."""
        super().init()
        self.sock.begin_request()
        if self.received:
            self.parser.unreader.unread(bytes(self.received))
            self.received.clear()

    def has_arrived(self) -> bool:
        """Whether a thread can begin: the head is there, and the body where it is small."""
        head_length = self.received.find(HEAD_END)
        if head_length < 0:
            return len(self.received) > HEAD_MAX_BYTES
        if self.body_bytes is None:
            head = bytes(self.received[:head_length])
            declared = CONTENT_LENGTH.search(head)
            self.body_bytes = int(declared[1]) if declared else 0
            self.is_large = bool(self.body_bytes > SMALL_BODY_BYTES or HAS_LARGE_BODY.search(head))
            self.arrival_ends_s += self.body_bytes / float(settings.CLIENT_MIN_RATE_BYTES)
        whole_bytes = head_length + len(HEAD_END) + self.body_bytes
        return self.is_large or len(self.received) >= whole_bytes


class Worker(ThreadWorker):  # type: ignore[misc]
    """The worker of ``challenge.config.gunicorn``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.arriving: dict[Connection, None] = {}  # oldest first
        self.arriving_max = max(1, self.worker_connections // 2)
        self.large_waiting: deque[Connection] = deque()
        self.large_running: set[Connection] = set()
        self.large_max = max(1, self.cfg.threads // 2)
        # These leave a quarter of the threads to requests that wait for nobody.
        self.waiting_max = max(1, self.cfg.threads * 3 // 4)

    def accept(self, listener: socket.socket) -> None:
        """Accept a connection and collect its first request in the event loop."""
        try:
            accepted, address = listener.accept()
        except OSError:  # another process took it, or the client has gone
            return
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        server = listener.getsockname()
        connection = Connection(self.cfg, ClientSocket.adopt(accepted), address, server)
        self.nr_conns += 1
        if len(self.arriving) >= self.arriving_max:
            self._close_arriving(next(iter(self.arriving)))
        self._collect(connection)

    def on_client_socket_readable(self, conn: Connection, client: socket.socket) -> None:
        """A kept-alive connection sends its next request."""
        self.poller.unregister(client)
        self.keepalived_conns.remove(conn)
        self._collect(conn)

    def finish_request(self, conn: Connection, fs: Any) -> None:
        """A thread is free again."""
        self.large_running.discard(conn)
        super().finish_request(conn, fs)
        self._start_large()

    def murder_pending(self) -> None:
        """Close what did not arrive in time, cut slow clients; called at least once a second."""
        super().murder_pending()
        now_s = time.monotonic()
        for connection in list(self.arriving):
            if connection.arrival_ends_s <= now_s:
                self._close_arriving(connection)
        cut = client_sockets.cut_slowest(waiting_max=self.waiting_max)
        cut += client_sockets.cut_below_fair_rate(
            [connection.sock for connection in self.large_running], count=len(self.large_waiting)
        )
        if cut:
            self.log.warning("%s slow clients were cut off: others waited for their threads", cut)

    def _cap_keepalive(self, deadline: float) -> None:
        """Called when the worker stops: who has sent nothing yet is not waited for."""
        super()._cap_keepalive(deadline)
        for connection in self.arriving:
            if not connection.received:
                connection.arrival_ends_s = min(connection.arrival_ends_s, deadline)

    def _collect(self, connection: Connection) -> None:
        connection.begin_arrival()
        self.arriving[connection] = None
        self.poller.register(
            connection.sock,
            selectors.EVENT_READ,
            partial(self._on_arriving_readable, connection),
        )

    def _on_arriving_readable(self, connection: Connection, _client: socket.socket) -> None:
        try:
            data = connection.sock.recv(RECV_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self._close_arriving(connection)
            return
        connection.received += data
        if not connection.has_arrived():
            return
        self._forget_arriving(connection)
        connection.data_ready = True
        if connection.is_large:
            self.large_waiting.append(connection)
            self._start_large()
        else:
            self.enqueue_req(connection)

    def _start_large(self) -> None:
        while self.large_waiting and len(self.large_running) < self.large_max:
            connection = self.large_waiting.popleft()
            self.large_running.add(connection)
            self.enqueue_req(connection)
        while len(self.large_waiting) > LARGE_WAITING_MAX:
            self._close(self.large_waiting.pop())

    def _forget_arriving(self, connection: Connection) -> None:
        del self.arriving[connection]
        self.poller.unregister(connection.sock)

    def _close_arriving(self, connection: Connection) -> None:
        self._forget_arriving(connection)
        self._close(connection)

    def _close(self, connection: Connection) -> None:
        self.nr_conns -= 1
        connection.close()
