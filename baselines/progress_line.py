"""How far a long command is, on stderr: one line that is written anew, or a line now and then.

On a terminal the line changes several times a second and goes when the command is done; elsewhere
(a log, a batch job) a new line comes every half a minute, so that no minute is silent.
"""

from __future__ import annotations

import sys
import time
from typing import TextIO

TERMINAL_EVERY_S = 0.2
LOG_EVERY_S = 30.0


class ProgressLine:
    """Tells how far something is. Use it as a context: at its end the terminal's line is wiped."""

    def __init__(self, *, stream: TextIO | None = None) -> None:
        """Write to a stream, stderr by default."""
        self._stream = sys.stderr if stream is None else stream
        self._is_terminal = self._stream.isatty()
        self._every_s = TERMINAL_EVERY_S if self._is_terminal else LOG_EVERY_S
        self._begun: dict[str, float] = {}
        self._told = time.monotonic()
        self._shown = False

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(self, *_error: object) -> None:
        self._wipe()

    def update(self, what: str, done: int, total: int | None, *, note: str = "") -> None:
        """Tell, if it is time, that `done` of `total` are done, and for how long it will go on.

        `what` names them and what is done to them, as "patches predicted". Without a `total`
        nobody knows how many there will be.
        """
        now = time.monotonic()
        begun = self._begun.setdefault(what, now)
        if now - self._told < self._every_s:
            return
        of, left = "", ""
        if total is not None:
            of = f" of {total}"
            left = f", {duration((now - begun) / done * (total - done))} left" if done else ""
        self._write(f"{done}{of} {what}{note}{left}")
        self._told = now

    def say(self, text: str) -> None:
        """Write a line that stays."""
        self._wipe()
        print(text, file=self._stream, flush=True)
        self._told = time.monotonic()

    def _write(self, text: str) -> None:
        if not self._is_terminal:
            print(text, file=self._stream, flush=True)
            return
        print(f"\r\x1b[K{text}", end="", file=self._stream, flush=True)
        self._shown = True

    def _wipe(self) -> None:
        if self._shown:
            print("\r\x1b[K", end="", file=self._stream, flush=True)
            self._shown = False


def duration(seconds: float) -> str:
    """Say a duration in its two largest units.

    >>> [duration(seconds) for seconds in (7.4, 150, 8_000, 200_000)]
    ['7 s', '2 min 30 s', '2 h 13 min', '2 d 7 h']
    """
    whole = round(seconds)
    for unit, size, part, part_size in (
        ("d", 86_400, "h", 3_600), ("h", 3_600, "min", 60), ("min", 60, "s", 1),
    ):  # fmt: skip
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // part_size} {part}"
    return f"{whole} s"
