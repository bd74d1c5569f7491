"""A training asked to stop: by a signal, or by its own time limit.

The handlers only take note; the training looks after each step and leaves a checkpoint that goes on
from that very step.
"""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# sysexits.h EX_TEMPFAIL: not done, worth another try. Slurm requeues on it with `RequeueExit=75`.
EXIT_STOPPED = 75
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


class StopRequest:
    """Whether a training shall stop, and why; calling it gives the first as a bool."""

    def __init__(self, *, time_limit_s: float | None = None) -> None:
        """Start the time limit's clock, if there is one."""
        self.reason = ""
        self._until_s = None if time_limit_s is None else time.monotonic() + time_limit_s

    def __call__(self) -> bool:
        if not self.reason and self._until_s is not None and time.monotonic() >= self._until_s:
            self.reason = "the time limit"
        return bool(self.reason)

    def note(self, number: int, frame: FrameType | None) -> None:
        """Take a signal; a second Ctrl-C ends the process at once, as everywhere."""
        self.reason = self.reason or signal.Signals(number).name
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def requested(*, time_limit_s: float | None = None) -> Iterator[StopRequest]:
    """Note the stop signals until the end of the block; then the former handlers are back."""
    request = StopRequest(time_limit_s=time_limit_s)
    former = {number: signal.signal(number, request.note) for number in SIGNALS}
    try:
        yield request
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def seconds(text: str) -> float:
    """Read a time limit as seconds, as `90m`, `3.5h`, or as Slurm writes it.

    Raises ValueError.

    >>> [seconds(text) for text in ("90", "90m", "1.5h", "2:00:00", "1-00:30:00")]
    [90.0, 5400.0, 5400.0, 7200.0, 88200.0]
    """
    plain = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text)
    clock = re.fullmatch(r"(?:(\d+)-)?(\d+):(\d{2}):(\d{2})", text)
    if plain:
        value = float(plain[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[plain[2]]
    elif clock:
        days, hours, minutes, rest = (int(part or 0) for part in clock.groups())
        value = float(((days * 24 + hours) * 60 + minutes) * 60 + rest)
    else:
        value = 0.0
    if value <= 0:
        raise ValueError(
            f"time limit {text!r}; allowed are seconds, or a form like 90m, 3.5h or [days-]h:mm:ss"
        )
    return value
