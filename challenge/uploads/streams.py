"""How many uploads may stream at once, and how long a silent one may hold a thread.

Each streaming request holds a thread of this process; the rest of the site lives on the others.
So there are fewer places than threads, and no person has more than half of them.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import cast

from django.conf import settings
from django.http import HttpRequest

from challenge.errors import refuse

DRAIN_BYTES = 256 * 1024 * 1024
DRAIN_CHUNK_BYTES = 256 * 1024
# In all, however slowly they come: a thread must not belong to who was refused.
DRAIN_S = 30.0

DRAINS = 4  # at once in one process

_lock = threading.Lock()
_drains = threading.BoundedSemaphore(DRAINS)
_streaming: Counter[int] = Counter()


@contextmanager
def place(user_id: int) -> Iterator[None]:
    """Hold one of the places for streaming. Raises ``Refusal`` (503) when none is free."""
    total = int(settings.UPLOAD_STREAMS)
    each = max(1, total // 2)
    with _lock:
        if _streaming.total() >= total or _streaming[user_id] >= each:
            raise refuse("upload-streams-busy", retry_after_s=3)
        _streaming[user_id] += 1
    try:
        yield
    finally:
        with _lock:
            _streaming[user_id] -= 1
            if not _streaming[user_id]:
                del _streaming[user_id]


class Body:
    """A request's body that gives up on a silent client.

    gunicorn reads without a time limit; its socket gets one here. After the first failure the
    socket is at its end for reading, so that bytes the server holds can still be fetched.
    """

    def __init__(self, request: HttpRequest) -> None:
        self._request = request
        self._socket = cast("socket.socket | None", request.META.get("gunicorn.socket"))
        if self._socket is not None:
            self._socket.settimeout(float(settings.UPLOAD_IDLE_S))

    def read(self, size: int, /) -> bytes:
        """Read up to ``size`` bytes; raises OSError when the client is gone or silent."""
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
        """Read what the client still sends, so that it sees our answer and not a broken pipe.

        A courtesy, also to strangers: only so many threads are ever busy with it. What is left
        nobody reads: the server would wait for it before the next request of this connection.
        """
        if not _drains.acquire(blocking=False):
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
            _drains.release()
