"""One decoder worker: the process that decodes members, and how its parent talks to it.

The two share a piece of memory with a few slots. The parent puts a member's stored bytes in a slot
and writes a request to a pipe; the worker leaves the pixels in the slot and writes a reply to its
own pipe. `DecoderWorker` is the parent's side of this protocol, `serve` the worker's.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import signal
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from scoring.engine.decode import decoder, sandbox
from scoring.engine.problems.problems import Problem, Refused

REQUESTS_PER_BATCH = 4  # read and answered at once: fewer wake-ups, and others still wait in slots
REQUEST_TIMEOUT_S = 10.0
START_TIMEOUT_S = 60.0
_REQUEST = struct.Struct("<IIIIq")  # slot, method, compressed bytes, size bytes, crc32 or -1
_REPLY = struct.Struct("<IIH")  # slot, status, payload bytes
_READY, _PIXELS, _REFUSED, _NEEDS_GDAL, _NO_START = range(5)
_MAX_PAYLOAD_BYTES = 4000
_RequestFields = tuple[int, int, int, int, int]


class DecoderDied(Exception):
    """A worker ended, hung or sent no valid reply; ``code`` is the problem its file would get."""

    def __init__(self, worker: DecoderWorker, code: str) -> None:
        super().__init__(code)
        self.worker = worker
        self.code = code


@dataclass(frozen=True, slots=True)
class Reply:
    """The result of one request: decoded, refused (a problem without a file), or neither.

    Neither means that only GDAL can decode the member.
    """

    slot: int
    decoded: decoder.Decoded | None
    problem: Problem | None


@dataclass
class DecoderWorker:
    """A decoder process as its parent sees it.

    ``requested_at_s`` holds, by slot, when each unanswered request was made (monotonic seconds).
    """

    pid: int
    request_fd: int
    reply_fd: int
    memory: mmap.mmap
    uses_gdal: bool
    input_bytes: int
    output_bytes: int
    free_slots: list[int] = field(default_factory=list)
    requested_at_s: dict[int, float] = field(default_factory=dict)
    is_ready: bool = False
    has_closed_pipe: bool = False  # its end of a pipe is closed: it has ended, or nearly
    _unread: bytes = b""
    _unsent: bytes = b""

    def input(self, slot: int, size: int) -> memoryview:
        """The `size` bytes of shared memory for the stored bytes of the member in `slot`."""
        begin = slot * (self.input_bytes + self.output_bytes)
        return memoryview(self.memory)[begin : begin + size]

    def pixels(self, slot: int, size: int) -> NDArray[np.uint8]:
        """uint8[size], the decoded pixels in `slot`; a hostile decoder might still write there."""
        begin = slot * (self.input_bytes + self.output_bytes) + self.input_bytes
        return np.frombuffer(self.memory, dtype=np.uint8, count=size, offset=begin)

    def queue_request(self, slot: int, request: decoder.DecodeRequest) -> None:
        """Queue the request to decode the member in `slot`; `send_requests` sends it."""
        crc = -1 if request.crc32 is None else request.crc32
        self._unsent += _REQUEST.pack(
            slot, request.method, request.compressed_bytes, request.size_bytes, crc
        )
        self.requested_at_s[slot] = time.monotonic()

    def send_requests(self) -> None:
        """Send the queued requests in one write. Raises DecoderDied."""
        requests, self._unsent = self._unsent, b""
        try:
            if requests:
                os.write(self.request_fd, requests)
        except BrokenPipeError as error:
            self.has_closed_pipe = True
            raise DecoderDied(self, "raster-crash") from error

    def read_replies(self) -> Iterator[Reply]:
        """Read what the pipe has now (blocking when it has nothing) and yield the complete replies.

        Raises DecoderDied, after the replies that came before, or `sandbox.IsolationUnavailable`
        when the decoder could not lock itself down.
        """
        data = os.read(self.reply_fd, 65_536)
        if not data:
            self.has_closed_pipe = True
            raise DecoderDied(self, "raster-crash")
        self._unread += data
        while len(self._unread) >= _REPLY.size:
            slot, status, size = _REPLY.unpack_from(self._unread)
            if size > _MAX_PAYLOAD_BYTES:
                raise DecoderDied(self, "raster-crash")
            end = _REPLY.size + size
            if len(self._unread) < end:
                return
            payload, self._unread = self._unread[_REPLY.size : end], self._unread[end:]
            if status == _READY and not self.is_ready:
                self.is_ready = True
                self.requested_at_s = dict.fromkeys(self.requested_at_s, time.monotonic())
            elif status == _NO_START and not self.is_ready:
                raise sandbox.IsolationUnavailable(payload.decode("utf-8", "replace"))
            else:
                yield self._parse_reply(slot, status, payload)

    def _parse_reply(self, slot: int, status: int, payload: bytes) -> Reply:
        if self.requested_at_s.pop(slot, None) is None:
            raise DecoderDied(self, "raster-crash")
        if status == _PIXELS and len(payload) == decoder.DIGEST_BYTES + 1:
            return Reply(slot, decoder.Decoded(payload[1:], bool(payload[0])), None)
        if status == _NEEDS_GDAL and not self.uses_gdal:
            return Reply(slot, None, None)
        if status == _REFUSED:
            with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):
                return Reply(slot, None, Problem.from_json(json.loads(payload)))
        # An invalid reply is a sign of a decoder taken over: its request counts as unanswered.
        self.requested_at_s = {slot: time.monotonic()} | self.requested_at_s
        raise DecoderDied(self, "raster-crash")

    def overdue_at_s(self) -> float:
        """When (monotonic) the oldest request times out; infinity when idle."""
        timeout_s = REQUEST_TIMEOUT_S if self.is_ready else START_TIMEOUT_S
        return min(self.requested_at_s.values(), default=float("inf")) + timeout_s

    def kill(self, *, exit_wait_s: float = 0.0) -> bool:
        """End the process now and wait for it; True when SIGKILL had come from elsewhere.

        No decoder can send that signal: it was the machine (short of memory) or a person. One
        that has closed its pipes is about to end: `exit_wait_s` is how long to wait for its status.
        """
        if not self.pid:
            return False
        pid, self.pid = self.pid, 0
        os.close(self.request_fd)
        os.close(self.reply_fd)
        give_up_at_s = time.monotonic() + exit_wait_s
        while not (ended := os.waitpid(pid, os.WNOHANG))[0]:
            if time.monotonic() >= give_up_at_s:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                return False
            time.sleep(0.001)
        return os.waitstatus_to_exitcode(ended[1]) == -signal.SIGKILL


def serve(worker: DecoderWorker, shape: tuple[int, int], member_bytes: int) -> None:
    """The worker's process: warm up, lock down, report ready, answer requests until the pipe ends.

    `shape` is (height, width) in pixels; `member_bytes` the most that a member inflates to.
    """
    height_px, width_px = shape
    raster_decoder = decoder.Decoder(
        height_px=height_px, width_px=width_px, member_bytes=member_bytes
    )
    requests = b""
    if worker.uses_gdal:
        # Blocked until the first requests come.
        requests = os.read(worker.request_fd, REQUESTS_PER_BATCH * _REQUEST.size)
        if not requests:
            return
    try:
        if worker.uses_gdal:
            decoder.warm_gdal(height_px=height_px, width_px=width_px)
        warm_up(raster_decoder, height_px=height_px, width_px=width_px)
        sandbox.lock_down()
    except Exception as error:  # whatever it is, the parent must know
        text = f"{type(error).__name__}: {error}".encode()[:1000]
        os.write(worker.reply_fd, _pack_reply(0, _NO_START, text))
        raise
    os.write(worker.reply_fd, _pack_reply(0, _READY))
    while requests := requests or os.read(worker.request_fd, REQUESTS_PER_BATCH * _REQUEST.size):
        replies = [
            handle_request(worker, raster_decoder, fields)
            for fields in _REQUEST.iter_unpack(requests)
        ]
        os.write(worker.reply_fd, b"".join(replies))
        requests = b""


def handle_request(
    worker: DecoderWorker, raster_decoder: decoder.Decoder, fields: _RequestFields
) -> bytes:
    """The reply to one request."""
    slot, method, compressed, size, crc = fields
    request = decoder.DecodeRequest(method, compressed, size, None if crc < 0 else crc)
    out = worker.pixels(slot, worker.output_bytes)
    try:
        source = worker.input(slot, compressed)
        decoded = raster_decoder.decode(request, source, out, use_gdal=worker.uses_gdal)
    except Refused as refused:
        return _pack_reply(slot, _REFUSED, json.dumps(refused.problem.to_json()).encode())
    except decoder.NeedsGdal:
        return _pack_reply(slot, _NEEDS_GDAL)
    except MemoryError:
        problem = Problem.of("raster-memory")
        return _pack_reply(slot, _REFUSED, json.dumps(problem.to_json()).encode())
    return _pack_reply(slot, _PIXELS, bytes([decoded.has_display_hint]) + decoded.digest)


def warm_up(raster_decoder: decoder.Decoder, *, height_px: int, width_px: int) -> None:
    """Run the normal and the failing paths once: nothing can be imported after the lock-down."""
    data = decoder.sample(height_px=height_px, width_px=width_px)
    out = np.zeros(height_px * width_px + decoder.PADDING_BYTES, dtype=np.uint8)
    for sample in (data, data[:9], b"text"):
        try:
            request = decoder.DecodeRequest(0, len(sample), len(sample), None)
            raster_decoder.decode(request, sample, out)
        except Refused as refused:
            json.dumps(refused.problem.to_json())
        except decoder.NeedsGdal:
            # A member limit below the sample's size leaves even the sample to GDAL.
            continue


def _pack_reply(slot: int, status: int, payload: bytes = b"") -> bytes:
    return _REPLY.pack(slot, status, len(payload)) + payload
