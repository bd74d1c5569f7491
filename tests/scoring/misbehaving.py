"""A scorer whose decoders do what a hostile file might make them do, once they are locked down.

Usage: python -m tests.scoring.misbehaving DEED WORKERS TRUTH UPLOAD. Prints the verdict as JSON.
A decoder misbehaves on a member that ends with MARK; with "-once", only the first decoder does,
with "-twice" the first two, each while it has several orders: a member that ends a second decoder
alone is rightly named. With "slowly, ", the scorer takes its time to count, so that decoders end
while they are not waited for. "killed" is what is done to decoders from outside.
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

from scoring.engine import archive, counting, decoder, feeding, pipeline, pool
from scoring.engine import spec as specs
from scoring.engine.problems import Refused
from scoring.engine.verdicts import Scored

MARK = b"misbehave"
PATIENCE_S = 0.5
FORKED: list[bool] = []  # in a decoder: one for itself and each that was forked before it
REPLIES: list[int] = []  # in a decoder: its reply pipe
IN_HAND: list[int] = []  # in a decoder: how many orders it read at once, each time


def tried(deed: Callable[[], Any]) -> str:
    """The name of the error that stops `deed`."""
    try:
        deed()
    except Exception as error:  # noqa: BLE001 (any error will do: it is what is asked)
        return type(error).__name__
    return "allowed"


def nosy() -> None:
    """Ask for a file, a socket and two kinds of process; tell how it went in a problem."""
    deeds: list[Callable[[], Any]] = [
        lambda: os.open("/etc/passwd", os.O_RDONLY),
        socket.socket,
        os.fork,
        lambda: os.execv("/bin/true", ["true"]),
    ]
    raise Refused.of("raster-not-tiff", format=" ".join(map(tried, deeds)))


def spin() -> None:
    """Never come back."""
    while True:
        pass


def reply(slot: int, outcome: int, size: int, payload: bytes) -> None:
    """Answer in the decoder's place, with any header."""
    os.write(REPLIES[-1], pool._REPLY.pack(slot, outcome, size) + payload)


_ODD = b'{"code": "raster-not-tiff", "params": {"format": [1]}}'
_OTHER = b'{"code": "raster-not-tiff", "params": {"format": "x", "file": "y"}}'
DEEDS: dict[str, Callable[[], Any]] = {
    "nosy": nosy,
    "crash": lambda: ctypes.string_at(0),
    "leave": lambda: os._exit(0),
    "spin": spin,
    "eat": lambda: bytearray(2**40),
    "answer for another": lambda: reply(99, pool._PIXELS, 33, bytes(33)),
    "promise too much": lambda: reply(0, pool._REFUSED, 65535, b"x"),
    "invent a problem": lambda: reply(0, pool._REFUSED, 15, b'{"code": "mine"}'[:15]),
    "greet again": lambda: reply(0, pool._READY, 0, b""),
    "unknown outcome": lambda: reply(0, 77, 0, b""),
    "refuse with a list": lambda: reply(0, pool._REFUSED, 2, b"[]"),
    "refuse with lists in lists": lambda: reply(0, pool._REFUSED, 4000, b"[" * 4000),
    "refuse with odd figures": lambda: reply(0, pool._REFUSED, len(_ODD), _ODD),
    "refuse for another file": lambda: reply(0, pool._REFUSED, len(_OTHER), _OTHER),
    "killed": lambda: None,
}
FIRST_DECODERS = {"never": 0, "once": 1, "twice": 2}


def main() -> None:
    """Score with misbehaving decoders."""
    name, workers, truth, upload = sys.argv[1:]
    name, _, often = name.partition("-")
    patient = name.startswith("slowly, ")
    name = name.removeprefix("slowly, ")
    deed, first_decoders = DEEDS[name], FIRST_DECODERS.get(often, 10**9)
    decode, serve, fork = decoder.Decoder.decode, pool._serve, pool.Pool._fork

    def misbehave(self: decoder.Decoder, task: Any, source: Any, out: Any, **options: Any) -> Any:
        is_alone = often == "twice" and IN_HAND[-1:] == [1]
        if bytes(source).endswith(MARK) and len(FORKED) <= first_decoders and not is_alone:
            deed()
        return decode(self, task, source, out, **options)

    def served(lane: pool.Lane, *rest: Any) -> None:
        REPLIES.append(lane.replies)
        read = os.read

        def counted(fd: int, size: int) -> bytes:
            piece = read(fd, size)
            if fd == lane.orders:
                IN_HAND.append(len(piece) // pool._ORDER.size)
            return piece

        os.read = counted
        serve(lane, *rest)

    def forked(self: pool.Pool, *, uses_gdal: bool) -> pool.Lane:
        FORKED.append(uses_gdal)
        return fork(self, uses_gdal=uses_gdal)

    pool.ORDER_TIMEOUT_S = PATIENCE_S
    pool._serve = served  # type: ignore[assignment]
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
    except feeding.DecodersLost as lost:
        result: dict[str, Any] = {"lost": str(lost)}
    else:
        if isinstance(verdict, Scored):
            result = {"scored": {k: v for k, v in verdict.card.items() if k != "seconds"}}
        else:
            result = verdict.to_json()
    sys.stdout.write(json.dumps(result))


def kill_at_the_mark(times: int) -> None:
    """Kill a decoder as the kernel does that has no memory left, when it gets a marked member."""
    order, send = feeding.Isolated._order, pool.Lane.send
    doomed: set[int] = set()
    killed: list[int] = []

    def ordered(self: Any, lane: pool.Lane, member: archive.Member, ledger: Any) -> None:
        if self._listing.read(member).endswith(MARK):
            doomed.add(lane.pid)
        order(self, lane, member, ledger)

    def sent(lane: pool.Lane) -> None:
        if lane.pid in doomed and len(killed) < times:
            doomed.discard(lane.pid)
            killed.append(lane.pid)
            os.kill(lane.pid, signal.SIGKILL)
        send(lane)

    feeding.Isolated._order = ordered  # type: ignore[method-assign]
    pool.Lane.send = sent  # type: ignore[assignment, method-assign]


def count_slowly() -> None:
    """Count as a scorer that other work keeps from the processor."""
    count = counting.PatchCounter.count

    def dawdling(self: counting.PatchCounter, *patch: Any) -> Any:
        time.sleep(0.005)
        return count(self, *patch)

    counting.PatchCounter.count = dawdling  # type: ignore[assignment, method-assign]


if __name__ == "__main__":
    main()
