"""A scorer whose decoders do what a hostile file might make them do, once they are locked down.

Usage: python -m tests.scoring.misbehaving DEED TRUTH UPLOAD. Prints the verdict as JSON.
A decoder misbehaves on a member that ends with MARK; with "-once", only the first decoder does.
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import sys
from collections.abc import Callable
from typing import Any

from scoring.engine import decoder, feeding, pipeline, pool
from scoring.engine import spec as specs
from scoring.engine.problems import Refused
from scoring.engine.verdicts import Scored

MARK = b"misbehave"
PATIENCE_S = 0.5
FORKED: list[bool] = []  # in a decoder: one for itself and each that was forked before it
REPLIES: list[int] = []  # in a decoder: its reply pipe


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
}


def main() -> None:
    """Score with misbehaving decoders."""
    name, truth, upload = sys.argv[1:]
    deed, only_first = DEEDS[name.removesuffix("-once")], name.endswith("-once")
    decode, serve, fork = decoder.Decoder.decode, pool._serve, pool.Pool._fork

    def misbehave(self: decoder.Decoder, task: Any, source: Any, out: Any, **options: Any) -> Any:
        if bytes(source).endswith(MARK) and not (only_first and len(FORKED) > 1):
            deed()
        return decode(self, task, source, out, **options)

    def served(lane: pool.Lane, *rest: Any) -> None:
        REPLIES.append(lane.replies)
        serve(lane, *rest)

    def forked(self: pool.Pool, *, uses_gdal: bool) -> pool.Lane:
        FORKED.append(uses_gdal)
        return fork(self, uses_gdal=uses_gdal)

    pool.ORDER_TIMEOUT_S = PATIENCE_S
    pool._serve = served  # type: ignore[assignment]
    decoder.Decoder.decode = misbehave  # type: ignore[method-assign]
    pool.Pool._fork = forked  # type: ignore[method-assign]
    spec = specs.load("flair-1")
    try:
        verdict = pipeline.score(spec=spec, truth_path=truth, upload_path=upload, workers=1)
    except feeding.DecodersLost as lost:
        result: dict[str, Any] = {"lost": str(lost)}
    else:
        scored = isinstance(verdict, Scored)
        result = {"scored": True} if scored else verdict.to_json()  # type: ignore[union-attr]
    sys.stdout.write(json.dumps(result))


if __name__ == "__main__":
    main()
