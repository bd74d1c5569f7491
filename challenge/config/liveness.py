"""Records that processes without a port are alive, and the health check that reads them.

A worker records it at every heartbeat it sends to the broker, beat at every tick, so that a lost
broker is a sign of life that grows old. A worker also records whether its pool is frozen, a scoring
worker what it lacks to score, beat that the broker takes no message.
``python -m challenge.config.liveness worker|beat|web`` exits 0 while the record is fresh, or
while the web process answers; containers use it as their health check.
"""

from __future__ import annotations

import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from challenge import env
from challenge.embedded.data_folder import data_folder

FRESH_S = 60
WEB_TIMEOUT_S = 5.0


def fresh_s() -> int:
    """Seconds after which a sign of life is too old."""
    return env.integer("HEALTH_FRESH_S", default=FRESH_S, minimum=2)


def record_file(role: str) -> Path:
    return data_folder() / "alive" / role


def record_alive(role: str) -> None:
    """Record that ``role`` is alive now."""
    path = record_file(role)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def faults_file(role: str) -> Path:
    return data_folder() / "alive" / f"{role}.faults"


def record_faults(role: str, faults: Sequence[str]) -> None:
    """Record what keeps ``role`` from its work; an empty list: nothing does any more."""
    path = faults_file(role)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text("\n".join(faults))
    part.replace(path)


class FaultRecorder:
    """A receiver of heartbeats that records what ``faults`` finds, twice in ``HEALTH_FRESH_S``."""

    def __init__(self, role: str, faults: Callable[[], Sequence[str]]) -> None:
        self._role, self._faults = role, faults
        self._next_s = 0.0

    def __call__(self, **_: object) -> None:
        if time.monotonic() >= self._next_s:
            self._next_s = time.monotonic() + fresh_s() / 2
            record_faults(self._role, self._faults())


def why_unhealthy(role: str) -> str | None:
    """Why ``role`` is unhealthy, or None."""
    if role == "web":
        return _why_web_unhealthy()
    try:
        age_s = time.time() - record_file(role).stat().st_mtime
    except FileNotFoundError:
        return f"{role} has given no sign of life in {record_file(role)}"
    if age_s > fresh_s():
        return f"{role}'s last sign of life is {age_s:.0f} s old: it hangs, or has no broker"
    return recorded_faults(role) or None


def recorded_faults(role: str) -> str:
    """What keeps ``role`` from its work, a line each; "" where nothing was recorded."""
    try:
        return faults_file(role).read_text()
    except FileNotFoundError:
        return ""


def _why_web_unhealthy() -> str | None:
    port = (env.text("BIND") or "127.0.0.1:8000").rpartition(":")[2]
    request = urllib.request.Request(f"http://127.0.0.1:{port}/healthz")
    request.add_header("Host", urlsplit(env.text("SITE_URL")).hostname or "localhost")
    try:
        with urllib.request.urlopen(request, timeout=WEB_TIMEOUT_S):
            return None
    except (urllib.error.URLError, OSError) as error:
        return f"web does not answer: {error}"


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or arguments[0] not in {"worker", "beat", "web"}:
        print("usage: python -m challenge.config.liveness worker|beat|web", file=sys.stderr)
        return 2
    reason = why_unhealthy(arguments[0])
    if reason:
        print(reason, file=sys.stderr)
    return 1 if reason else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
