"""Slots for requests that stream: uploads, forms with a file, downloads of archives.

Each streaming request occupies a thread of this process; pages are served by the others. So there
are fewer slots than threads, and few for one person. A slot is held until the request ends.

Where all slots are taken, the slowest client below the fair rate loses its own: an upload
is resumed without loss, and many slow accounts together cannot keep a quick one out.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from django.conf import settings
from django.core.signals import request_finished
from django.http import HttpRequest

from challenge.errors import Refusal, refuse
from challenge.services import client_sockets
from challenge.services.client_sockets import ClientSocket

RETRY_AFTER_S = 3
WAIT_FOR_SLOT_S = 2.0
# What fits into the buffers of a connection is gone before anybody waits.
SMALL_BYTES = 1024 * 1024


class Direction(StrEnum):
    """Which way the bytes go."""

    UPLOAD = "upload"
    DOWNLOAD = "download"


@dataclass(frozen=True, eq=False)
class StreamSlot:
    """One streaming request: whose, which way, over which connection (None in tests)."""

    direction: Direction
    user_id: int
    connection: ClientSocket | None


_changed = threading.Condition()
_slots: list[StreamSlot] = []
_of_thread = threading.local()


def occupy(request: HttpRequest, *, user_id: int, direction: Direction) -> None:
    """Take a slot until this request has been answered.

    Raises ``Refusal`` (503) when the person has as many as allowed, or none becomes free.
    """
    found = request.META.get("gunicorn.socket")
    connection = found if isinstance(found, ClientSocket) else None
    slot = StreamSlot(direction, user_id, connection)
    limit, own_limit = _limits(direction)
    with _changed:
        if sum(_is_like(other, slot) and other.user_id == user_id for other in _slots) >= own_limit:
            raise _busy(direction)
        end_s = time.monotonic() + WAIT_FOR_SLOT_S
        while sum(_is_like(other, slot) for other in _slots) >= limit:
            _cut_slow_client(direction)
            if not _changed.wait(end_s - time.monotonic()):
                raise _busy(direction)
        _slots.append(slot)
    held = getattr(_of_thread, "held", None)
    if held is None:
        held = _of_thread.held = []
    held.append(slot)


def occupy_download(request: HttpRequest, *, user_id: int, length_bytes: int) -> None:
    """Take a slot for an answer of ``length_bytes``, unless it is small."""
    if length_bytes > SMALL_BYTES:
        occupy(request, user_id=user_id, direction=Direction.DOWNLOAD)


def release(**_: Any) -> None:
    """Free the slots of this thread's request; called when a request has been answered."""
    held = getattr(_of_thread, "held", None)
    if held:
        with _changed:
            for slot in held:
                _slots.remove(slot)
            _changed.notify_all()
        held.clear()


request_finished.connect(release, dispatch_uid="challenge.services.stream_slots")


def _limits(direction: Direction) -> tuple[int, int]:
    if direction is Direction.UPLOAD:
        return int(settings.UPLOAD_STREAMS), int(settings.UPLOAD_STREAMS_PERSON)
    return int(settings.DOWNLOAD_STREAMS), int(settings.DOWNLOAD_STREAMS_PERSON)


def _is_like(slot: StreamSlot, other: StreamSlot) -> bool:
    return slot.direction is other.direction


def _cut_slow_client(direction: Direction) -> None:
    connections = [
        slot.connection
        for slot in _slots
        if slot.direction is direction and slot.connection is not None
    ]
    client_sockets.cut_below_fair_rate(connections, count=1)


def _busy(direction: Direction) -> Refusal:
    code = "upload-streams-busy" if direction is Direction.UPLOAD else "download-streams-busy"
    return refuse(code, retry_after_s=RETRY_AFTER_S)
