"""Decoder processes: forked early, locked down, fed through shared memory.

The parent (which will hold labels) forks every decoder before it opens any label. Each decoder
has one private piece of shared memory with a few slots; the parent puts a member's stored bytes
in a slot and a 32-byte order on a pipe; the decoder leaves pixels in the slot and a reply on its
own pipe. A decoder locks itself down before its first order and dies with its parent.

Two kinds: *plain* decoders work from the start; *GDAL* ones sleep, forked but without rasterio,
until a raster needs them, so that ordinary archives do not pay for its import. Spares of both
stand by, because after the labels are open nothing may be forked any more.
"""

from __future__ import annotations

import contextlib
import gc
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

from scoring.engine import decoder, sandbox, strips
from scoring.engine.problems import Problem, Refused

SLOTS = 16  # at most, in one decoder's memory
SHARED_BYTES = 192 * 2**20  # all decoders' memory together, however many cores and large members
BATCH = 4  # orders that a decoder takes and answers at once: fewer wake-ups, still more in waiting
GDAL_LANES = 6  # at most: each imports rasterio for itself, 40 MB that no other shares
ORDER_TIMEOUT_S = 10.0
START_TIMEOUT_S = 60.0
GRACE_S = 1.0
_ORDER = struct.Struct("<IIIIq")  # slot, method, compressed bytes, size bytes, crc32 or -1
_REPLY = struct.Struct("<IIH")  # slot, outcome, payload bytes
_READY, _PIXELS, _REFUSED, _NEEDS_GDAL, _NO_START = range(5)
_MAX_PAYLOAD_BYTES = 4000
_PAGE = 4096


class DecoderDied(Exception):
    """A decoder ended, hung or answered nonsense; ``code`` is the problem its file would get."""

    def __init__(self, lane: Lane, code: str) -> None:
        super().__init__(code)
        self.lane = lane
        self.code = code


@dataclass(frozen=True, slots=True)
class Answer:
    """The outcome of one order: decoded, refused (a problem without a file) or for GDAL."""

    slot: int
    decoded: decoder.Decoded | None
    problem: Problem | None


@dataclass
class Lane:
    """One decoder process as its parent sees it."""

    pid: int
    orders: int
    replies: int
    memory: mmap.mmap
    uses_gdal: bool
    input_bytes: int
    output_bytes: int
    free: list[int] = field(default_factory=list)
    asked_at_s: dict[int, float] = field(default_factory=dict)
    is_ready: bool = False
    has_hung_up: bool = False  # its end of a pipe is closed: it has ended, or nearly
    _unread: bytes = b""
    _unsent: bytes = b""

    def input(self, slot: int, size: int) -> memoryview:
        """Where the stored bytes of `slot` go."""
        begin = slot * (self.input_bytes + self.output_bytes)
        return memoryview(self.memory)[begin : begin + size]

    def pixels(self, slot: int, size: int) -> NDArray[np.uint8]:
        """The decoded pixels in `slot`; a hostile decoder might still write there."""
        begin = slot * (self.input_bytes + self.output_bytes) + self.input_bytes
        return np.frombuffer(self.memory, dtype=np.uint8, count=size, offset=begin)

    def ask(self, slot: int, task: decoder.Task) -> None:
        """Order the decoding of what lies in `slot`; `send` sends it."""
        crc = -1 if task.crc32 is None else task.crc32
        self._unsent += _ORDER.pack(slot, task.method, task.compressed_bytes, task.size_bytes, crc)
        self.asked_at_s[slot] = time.monotonic()

    def send(self) -> None:
        """Send what was ordered, in one piece. Raises DecoderDied."""
        orders, self._unsent = self._unsent, b""
        try:
            if orders:
                os.write(self.orders, orders)
        except BrokenPipeError as error:
            self.has_hung_up = True
            raise DecoderDied(self, "raster-crash") from error

    def answers(self) -> Iterator[Answer]:
        """Read what the pipe has now (blocking when it has nothing) and give the whole replies.

        Raises DecoderDied, after what was answered before, or `sandbox.IsolationUnavailable`
        when the decoder could not lock itself down.
        """
        piece = os.read(self.replies, 65_536)
        if not piece:
            self.has_hung_up = True
            raise DecoderDied(self, "raster-crash")
        self._unread += piece
        while len(self._unread) >= _REPLY.size:
            slot, outcome, size = _REPLY.unpack_from(self._unread)
            if size > _MAX_PAYLOAD_BYTES:
                raise DecoderDied(self, "raster-crash")
            end = _REPLY.size + size
            if len(self._unread) < end:
                return
            payload, self._unread = self._unread[_REPLY.size : end], self._unread[end:]
            if outcome == _READY and not self.is_ready:
                self.is_ready = True
                self.asked_at_s = dict.fromkeys(self.asked_at_s, time.monotonic())
            elif outcome == _NO_START and not self.is_ready:
                raise sandbox.IsolationUnavailable(payload.decode("utf-8", "replace"))
            else:
                yield self._answer(slot, outcome, payload)

    def _answer(self, slot: int, outcome: int, payload: bytes) -> Answer:
        if self.asked_at_s.pop(slot, None) is None:
            raise DecoderDied(self, "raster-crash")
        if outcome == _PIXELS and len(payload) == decoder.DIGEST_BYTES + 1:
            return Answer(slot, decoder.Decoded(payload[1:], bool(payload[0])), None)
        if outcome == _NEEDS_GDAL and not self.uses_gdal:
            return Answer(slot, None, None)
        if outcome == _REFUSED:
            with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):
                return Answer(slot, None, Problem.from_json(json.loads(payload)))
        # Nonsense is a sign of a decoder taken over: its order counts as unanswered.
        self.asked_at_s = {slot: time.monotonic()} | self.asked_at_s
        raise DecoderDied(self, "raster-crash")

    def overdue_at_s(self) -> float:
        """When (monotonic) patience ends with the oldest order; infinity when idle."""
        patience = ORDER_TIMEOUT_S if self.is_ready else START_TIMEOUT_S
        return min(self.asked_at_s.values(), default=float("inf")) + patience

    def kill(self, *, grace_s: float = 0.0) -> bool:
        """End the process now and wait for it; True when SIGKILL had come from elsewhere.

        No decoder can send that signal: it was the machine (short of memory) or a person. One
        that has let go of its pipes is on its way out and gets `grace_s` to be asked how.
        """
        if not self.pid:
            return False
        pid, self.pid = self.pid, 0
        os.close(self.orders)
        os.close(self.replies)
        give_up_at_s = time.monotonic() + grace_s
        while not (ended := os.waitpid(pid, os.WNOHANG))[0]:
            if time.monotonic() >= give_up_at_s:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                return False
            time.sleep(0.001)
        return os.waitstatus_to_exitcode(ended[1]) == -signal.SIGKILL


class Pool:
    """`workers` plain and nearly as many GDAL decoders, with one spare of each kind."""

    def __init__(
        self, *, height_px: int, width_px: int, input_bytes: int, member_bytes: int, workers: int
    ) -> None:
        self._shape = (height_px, width_px)
        self._member_bytes = member_bytes
        self._input_bytes = -(-input_bytes // _PAGE) * _PAGE
        pixels = height_px * width_px + decoder.PADDING_BYTES
        self._output_bytes = -(-pixels // _PAGE) * _PAGE
        lanes = workers + min(workers, GDAL_LANES) + 2
        fitting = SHARED_BYTES // (lanes * (self._input_bytes + self._output_bytes))
        self._slots = min(SLOTS, max(1, fitting))
        self._all: list[Lane] = []
        strips.load()  # compiled once, inherited by all
        gc.freeze()  # no search for garbage shall write to what the decoders inherit, nor walk it
        self.plain = [self._fork(uses_gdal=False) for _ in range(workers)]
        self.gdal = [self._fork(uses_gdal=True) for _ in range(min(workers, GDAL_LANES))]
        self._spares = [self._fork(uses_gdal=False), self._fork(uses_gdal=True)]

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End every decoder."""
        for lane in self._all:
            lane.kill()
        self._all.clear()
        gc.unfreeze()

    def lanes(self) -> Iterator[Lane]:
        """The lanes that take orders."""
        yield from self.plain
        yield from self.gdal

    def bury(self, lane: Lane) -> bool:
        """Kill a lane and put a spare of its kind, if there still is one, in its place.

        True when the lane had been killed from outside.
        """
        was_killed = lane.kill(grace_s=GRACE_S if lane.has_hung_up else 0.0)
        self._all.remove(lane)
        group = self.gdal if lane.uses_gdal else self.plain
        group.remove(lane)
        for spare in [s for s in self._spares if s.uses_gdal == lane.uses_gdal][:1]:
            self._spares.remove(spare)
            group.append(spare)
        return was_killed

    def _fork(self, *, uses_gdal: bool) -> Lane:
        memory = mmap.mmap(-1, self._slots * (self._input_bytes + self._output_bytes))
        orders_out, orders_in = os.pipe()
        replies_out, replies_in = os.pipe()
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                sandbox.die_with_parent(parent)
                for other in self._all:
                    other.memory.close()
                _close_others({orders_out, replies_in})
                lane = Lane(0, orders_out, replies_in, memory, uses_gdal, self._input_bytes,
                            self._output_bytes)  # fmt: skip
                _serve(lane, self._shape, self._member_bytes)
                code = 0
            finally:
                # Never back into the parent's code: it belongs to another process.
                os._exit(code)
        os.close(orders_out)
        os.close(replies_in)
        lane = Lane(pid, orders_in, replies_out, memory, uses_gdal, self._input_bytes,
                    self._output_bytes, list(range(self._slots)))  # fmt: skip
        self._all.append(lane)
        return lane


def _close_others(keep: set[int]) -> None:
    """Close every other descriptor; the standard three become /dev/null."""
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    begin = 3
    for fd in sorted(keep):
        os.closerange(begin, fd)
        begin = fd + 1
    os.closerange(begin, os.sysconf("SC_OPEN_MAX"))


def _serve(lane: Lane, shape: tuple[int, int], member_bytes: int) -> None:
    """The decoder's life: prepare, lock down, greet, then orders until the pipe ends."""
    height_px, width_px = shape
    worker = decoder.Decoder(height_px=height_px, width_px=width_px, member_bytes=member_bytes)
    orders = b""
    if lane.uses_gdal:
        # Asleep until the first orders come.
        orders = os.read(lane.orders, BATCH * _ORDER.size)
        if not orders:
            return
    try:
        if lane.uses_gdal:
            decoder.warm_gdal(height_px=height_px, width_px=width_px)
        _rehearse(worker, height_px=height_px, width_px=width_px)
        sandbox.lock_down()
    except Exception as error:  # whatever it is, the parent must hear it
        text = f"{type(error).__name__}: {error}".encode()[:1000]
        os.write(lane.replies, _reply(0, _NO_START, text))
        raise
    os.write(lane.replies, _reply(0, _READY))
    while orders := orders or os.read(lane.orders, BATCH * _ORDER.size):
        done = [_obeyed(lane, worker, order) for order in _ORDER.iter_unpack(orders)]
        os.write(lane.replies, b"".join(done))
        orders = b""


def _obeyed(lane: Lane, worker: decoder.Decoder, order: tuple[int, int, int, int, int]) -> bytes:
    """The reply to one order."""
    slot, method, compressed, size, crc = order
    task = decoder.Task(method, compressed, size, None if crc < 0 else crc)
    out = lane.pixels(slot, lane.output_bytes)
    try:
        done = worker.decode(task, lane.input(slot, compressed), out, use_gdal=lane.uses_gdal)
    except Refused as refused:
        return _reply(slot, _REFUSED, json.dumps(refused.problem.to_json()).encode())
    except decoder.NeedsGdal:
        return _reply(slot, _NEEDS_GDAL)
    except MemoryError:
        problem = Problem.of("raster-memory")
        return _reply(slot, _REFUSED, json.dumps(problem.to_json()).encode())
    return _reply(slot, _PIXELS, bytes([done.has_display_hint]) + done.digest)


def _rehearse(worker: decoder.Decoder, *, height_px: int, width_px: int) -> None:
    """Walk the ordinary and the failing path once, so that nothing is imported when locked."""
    data = decoder.sample(height_px=height_px, width_px=width_px)
    out = np.zeros(height_px * width_px + decoder.PADDING_BYTES, dtype=np.uint8)
    for sample in (data, data[:9], b"text"):
        try:
            worker.decode(decoder.Task(0, len(sample), len(sample), None), sample, out)
        except Refused as refused:
            json.dumps(refused.problem.to_json())
        except decoder.NeedsGdal:
            # A member limit below the sample's size leaves even the sample to GDAL.
            continue


def _reply(slot: int, outcome: int, payload: bytes = b"") -> bytes:
    return _REPLY.pack(slot, outcome, len(payload)) + payload
