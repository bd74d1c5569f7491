"""A scorer whose decoders do what a hostile file might make them do, once they are locked down.

Usage: python -m tests.scoring.misbehaving_decoders BEHAVIOUR WORKERS TRUTH UPLOAD. Prints the
verdict as JSON. A decoder misbehaves on a member that ends with MARK; with "-once", only the first
decoder does, with "-twice" the first two, each while it has several requests: a member that ends a
second decoder alone is rightly named. With "slowly, ", the scorer takes its time to count, so that
decoders end while nothing waits for them. "killed" decoders are killed from outside.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

from scoring.engine.archive import listing
from scoring.engine.decode import decoder, decoder_worker, pool
from scoring.engine.decode.decoder_worker import DecoderWorker
from scoring.engine.metrics import counting
from scoring.engine.problems.problems import Refused
from scoring.engine.scorer import decoding, pipeline
from scoring.engine.scorer.verdicts import Scored
from scoring.engine.task import specification as specs

MARK = b"misbehave"
TIMEOUT_S = 0.5
FORKED: list[bool] = []  # in a decoder: one for itself and each that was forked before it
REPLIES: list[int] = []  # in a decoder: its reply pipe
IN_HAND: list[int] = []  # in a decoder: how many requests it read at once, each time


def tried(behaviour: Callable[[], Any]) -> str:
    """The name of the error that stops `behaviour`."""
    try:
        behaviour()
    except Exception as error:  # noqa: BLE001 (any error will do: its name is the result)
        return type(error).__name__
    return "allowed"


def nosy() -> None:
    """Ask for a file, a socket and two kinds of process; report the results in a problem."""
    attempts: list[Callable[[], Any]] = [
        lambda: os.open("/etc/passwd", os.O_RDONLY),
        socket.socket,
        os.fork,
        lambda: os.execv("/bin/true", ["true"]),
    ]
    raise Refused.of("raster-not-tiff", format=" ".join(map(tried, attempts)))


def spin() -> None:
    """Never return."""
    while True:
        pass


def reply(slot: int, status: int, size: int, payload: bytes) -> None:
    """Write a reply with any header, as the decoder."""
    os.write(REPLIES[-1], decoder_worker._REPLY.pack(slot, status, size) + payload)


_ODD = b'{"code": "raster-not-tiff", "params": {"format": [1]}}'
_OTHER = b'{"code": "raster-not-tiff", "params": {"format": "x", "file": "y"}}'
BEHAVIOURS: dict[str, Callable[[], Any]] = {
    "nosy": nosy,
    "crash": lambda: ctypes.string_at(0),
    "leave": lambda: os._exit(0),
    "spin": spin,
    "eat": lambda: bytearray(2**40),
    "reply for another": lambda: reply(99, decoder_worker._PIXELS, 33, bytes(33)),
    "promise too much": lambda: reply(0, decoder_worker._REFUSED, 65535, b"x"),
    "invent a problem": lambda: reply(0, decoder_worker._REFUSED, 15, b'{"code": "mine"}'[:15]),
    "report ready again": lambda: reply(0, decoder_worker._READY, 0, b""),
    "unknown status": lambda: reply(0, 77, 0, b""),
    "refuse with a list": lambda: reply(0, decoder_worker._REFUSED, 2, b"[]"),
    "refuse with lists in lists": lambda: reply(0, decoder_worker._REFUSED, 4000, b"[" * 4000),
    "refuse with odd parameters": lambda: reply(0, decoder_worker._REFUSED, len(_ODD), _ODD),
    "refuse for another file": lambda: reply(0, decoder_worker._REFUSED, len(_OTHER), _OTHER),
    "killed": lambda: None,
}
FIRST_DECODERS = {"never": 0, "once": 1, "twice": 2}


def main() -> None:
    """Score with misbehaving decoders."""
    name, workers, truth, upload = sys.argv[1:]
    name, _, often = name.partition("-")
    patient = name.startswith("slowly, ")
    name = name.removeprefix("slowly, ")
    behaviour, first_decoders = BEHAVIOURS[name], FIRST_DECODERS.get(often, 10**9)
    decode, serve, fork = decoder.Decoder.decode, decoder_worker.serve, pool.Pool._fork

    def misbehave(
        self: decoder.Decoder, request: Any, source: Any, out: Any, **options: Any
    ) -> Any:
        is_alone = often == "twice" and IN_HAND[-1:] == [1]
        if bytes(source).endswith(MARK) and len(FORKED) <= first_decoders and not is_alone:
            behaviour()
        return decode(self, request, source, out, **options)

    def served(worker: DecoderWorker, *rest: Any) -> None:
        REPLIES.append(worker.reply_fd)
        read = os.read

        def counted(fd: int, size: int) -> bytes:
            piece = read(fd, size)
            if fd == worker.request_fd:
                IN_HAND.append(len(piece) // decoder_worker._REQUEST.size)
            return piece

        os.read = counted
        serve(worker, *rest)

    def forked(self: pool.Pool, *, uses_gdal: bool) -> DecoderWorker:
        FORKED.append(uses_gdal)
        return fork(self, uses_gdal=uses_gdal)

    decoder_worker.REQUEST_TIMEOUT_S = TIMEOUT_S
    decoder_worker.serve = served  # type: ignore[assignment]
    decoder.Decoder.decode = misbehave  # type: ignore[method-assign]
    pool.Pool._fork = forked  # type: ignore[method-assign]
    if name == "killed":
        kill_at_the_mark(first_decoders)
    if patient:
        count_slowly()
    spec = specs.load("flair-1")
    try:
        verdict = pipeline.score(
            spec=spec, truth_path=truth, upload_path=upload, workers=int(workers)
        )
    except decoding.AllDecodersFailed as lost:
        result: dict[str, Any] = {"lost": str(lost)}
    else:
        if isinstance(verdict, Scored):
            result = {"scored": {k: v for k, v in verdict.card.items() if k != "seconds"}}
        else:
            result = dict(verdict.to_json())
    sys.stdout.write(json.dumps(result))


def kill_at_the_mark(times: int) -> None:
    """Kill a decoder as the kernel does that has no memory left, when it gets a marked member."""
    request, send = decoding.IsolatedDecoding._request, DecoderWorker.send_requests
    doomed: set[int] = set()
    killed: list[int] = []

    def requested(self: Any, worker: DecoderWorker, member: listing.Member, recorder: Any) -> None:
        if self._listing.read(member).endswith(MARK):
            doomed.add(worker.pid)
        request(self, worker, member, recorder)

    def sent(worker: DecoderWorker) -> None:
        if worker.pid in doomed and len(killed) < times:
            doomed.discard(worker.pid)
            killed.append(worker.pid)
            os.kill(worker.pid, signal.SIGKILL)
        send(worker)

    decoding.IsolatedDecoding._request = requested  # type: ignore[method-assign]
    DecoderWorker.send_requests = sent  # type: ignore[assignment, method-assign]


def count_slowly() -> None:
    """Count as a scorer that other work keeps from the processor."""
    count = counting.PatchCounter.count

    def dawdling(self: counting.PatchCounter, *patch: Any) -> Any:
        time.sleep(0.005)
        return count(self, *patch)

    counting.PatchCounter.count = dawdling  # type: ignore[assignment, method-assign]


if __name__ == "__main__":
    main()
