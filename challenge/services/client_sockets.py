"""Connections of clients, and how long a thread may wait for one.

A thread that reads a request's body or writes an answer waits for the client. Only this time is
counted, not what the site itself takes. Each connection has a credit of seconds: waiting spends it,
bytes earn it back at ``CLIENT_MIN_RATE``, and a connection without credit is closed. So neither a
silent client nor one that sends a byte now and then keeps a thread, and one that was quick at first
cannot save up for it.

``cut_slowest`` keeps some threads free whatever clients do: where too many threads wait, the
slowest clients lose their connections first.
"""

from __future__ import annotations

import errno
import math
import socket
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, TypeVar

from django.conf import settings

Result = TypeVar("Result")

CREDIT_S = 15.0  # of waiting, beyond what the bytes that move earn
NO_WAIT_S = 0.01
RATE_WINDOW_S = 5.0
# A connection that has been waited for less than this is not judged yet.
JUDGED_AFTER_S = 1.0
# Slower clients give way to others that wait for their turn.
FAIR_RATE_BYTES_S = 64_000.0

_waited_for: set[ClientSocket] = set()


class ClientTooSlow(TimeoutError):
    """The client kept a thread waiting for longer than its bytes are worth."""

    def __init__(self) -> None:
        # The number by which servers know that the client, not they, ended the connection.
        super().__init__(errno.ECONNRESET, "the client is too slow")


class ClientSocket(socket.socket):
    """A connection whose blocking reads and writes are timed.

    ``waited_s`` is how long threads waited for the client in the current request.
    """

    waited_s = 0.0
    _credit_s = CREDIT_S
    _rate_bytes_s = 0.0
    _waiting_since_s: float | None = None

    @classmethod
    def adopt(cls, accepted: socket.socket) -> ClientSocket:
        """Take over the connection of ``accepted``, which is of no use afterwards."""
        return cls(accepted.family, accepted.type, accepted.proto, fileno=accepted.detach())

    def begin_request(self) -> None:
        """Count from zero: a kept-alive connection sends its next request."""
        self.waited_s, self._credit_s, self._rate_bytes_s = 0.0, CREDIT_S, 0.0

    def rate_bytes_s(self) -> float:
        """Bytes a second that the client sent or took of late, while it was waited for."""
        since_s = self._waiting_since_s
        waiting_s = 0.0 if since_s is None else time.monotonic() - since_s
        return self._rate_bytes_s * math.exp(-waiting_s / RATE_WINDOW_S)

    def is_judged(self) -> bool:
        """Whether it was waited for long enough to know its rate."""
        since_s = self._waiting_since_s
        waiting_s = 0.0 if since_s is None else time.monotonic() - since_s
        return self.waited_s + waiting_s > JUDGED_AFTER_S

    def cut(self) -> None:
        """End the connection; a thread that waits for it goes on at once."""
        with suppress(OSError):  # the client has closed it already
            self.shutdown(socket.SHUT_RDWR)

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """Receive as ``socket.recv`` does. Raises ``ClientTooSlow``."""
        return self._wait_for_client(lambda: super(ClientSocket, self).recv(size, flags), len)

    def send(self, data: Any, flags: int = 0, /) -> int:
        """Send as ``socket.send`` does. Raises ``ClientTooSlow``."""
        return self._wait_for_client(lambda: super(ClientSocket, self).send(data, flags), int)

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        """Send all of ``data``, however long it takes a client that takes it fast enough."""
        with memoryview(data).cast("B") as view:
            sent = 0
            while sent < len(view):
                sent += self.send(view[sent:], flags)

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        """Send a file as ``sendall`` sends bytes."""
        file.seek(offset)
        sent = 0
        while chunk := file.read(65536 if count is None else min(65536, count - sent)):
            self.sendall(chunk)
            sent += len(chunk)
        return sent

    def _wait_for_client(
        self, operation: Callable[[], Result], length_of: Callable[[Result], int]
    ) -> Result:
        outer_timeout_s = self.gettimeout()
        if outer_timeout_s == 0.0:
            return operation()  # gunicorn's event loop, which never waits
        # Without credit what needs no waiting is still done: an answer into the kernel's buffer.
        allowed_s = min(max(self._credit_s, NO_WAIT_S), float(settings.UPLOAD_IDLE_S))
        if outer_timeout_s is not None:
            allowed_s = min(allowed_s, outer_timeout_s)
        self.settimeout(allowed_s)
        moved_bytes = 0
        started_s = self._waiting_since_s = time.monotonic()
        _waited_for.add(self)
        try:
            result = operation()
            moved_bytes = length_of(result)
            return result
        except TimeoutError as error:
            raise ClientTooSlow from error
        finally:
            _waited_for.discard(self)
            self._waiting_since_s = None
            self._count(time.monotonic() - started_s, moved_bytes)
            with suppress(OSError):  # it was closed meanwhile
                self.settimeout(outer_timeout_s)

    def _count(self, waited_s: float, moved_bytes: int) -> None:
        self.waited_s += waited_s
        earned_s = moved_bytes / float(settings.CLIENT_MIN_RATE_BYTES)
        self._credit_s = min(CREDIT_S, self._credit_s - waited_s + earned_s)
        decay = math.exp(-waited_s / RATE_WINDOW_S)
        self._rate_bytes_s = self._rate_bytes_s * decay + moved_bytes / RATE_WINDOW_S


def cut_slowest(*, waiting_max: int) -> int:
    """Cut the slowest clients until threads wait for at most ``waiting_max``; how many were cut."""
    judged = _judged(list(_waited_for))
    return _cut(judged[: max(0, len(judged) - waiting_max)])


def cut_below_fair_rate(connections: Iterable[ClientSocket], *, count: int) -> int:
    """Cut the ``count`` slowest of ``connections`` whose rate is not fair; how many were cut."""
    slow = [
        connection
        for connection in _judged(connections)
        if connection.rate_bytes_s() < FAIR_RATE_BYTES_S
    ]
    return _cut(slow[:count])


def _judged(connections: Iterable[ClientSocket]) -> list[ClientSocket]:
    """Those whose rate is known, the slowest first."""
    judged = [connection for connection in connections if connection.is_judged()]
    return sorted(judged, key=ClientSocket.rate_bytes_s)


def _cut(connections: list[ClientSocket]) -> int:
    for connection in connections:
        connection.cut()
    return len(connections)
