"""Reading bodies of uploads to their end, or no further than a refused client is worth."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from typing import cast

from django.http import HttpRequest

DRAIN_BYTES = 256 * 1024 * 1024
DRAIN_CHUNK_BYTES = 256 * 1024
DRAIN_S = 30.0  # however slowly the bytes arrive
DRAINS_MAX = 4  # at the same time in one process

_drain_slots = threading.BoundedSemaphore(DRAINS_MAX)


class Body:
    """A request's body.

    Its reads time out (:mod:`challenge.services.client_sockets`). After the first failure the
    socket is shut down for reading, so that bytes that gunicorn buffered can still be read.
    """

    def __init__(self, request: HttpRequest) -> None:
        self._request = request
        self._socket = cast("socket.socket | None", request.META.get("gunicorn.socket"))

    def read(self, size: int, /) -> bytes:
        """Read up to ``size`` bytes; raises OSError when the client is silent or disconnected."""
        try:
            return self._request.read(size)
        except OSError:
            self._stop_reading()
            raise

    def _stop_reading(self) -> None:
        if self._socket is not None:
            with suppress(OSError):  # it is closed already
                self._socket.shutdown(socket.SHUT_RD)

    def drain(self) -> None:
        """Read and discard the rest, so that the client sees our answer and not a broken pipe.

        Anonymous clients get this too, so the number of threads, the bytes and the time are
        limited. Beyond the limits the connection is shut down for reading: gunicorn would read
        the rest before the next request of this connection.
        """
        if not _drain_slots.acquire(blocking=False):
            self._stop_reading()
            return
        left, end_s, data = DRAIN_BYTES, time.monotonic() + DRAIN_S, b""
        try:
            while left > 0 and time.monotonic() < end_s and (data := self.read(DRAIN_CHUNK_BYTES)):
                left -= len(data)
            if data:
                self._stop_reading()
        except OSError:
            return
        finally:
            _drain_slots.release()
