"""How long a refused client may keep a thread."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from challenge.uploads import streams


class Drip:
    """A request whose body comes byte by byte, without end."""

    META: dict[str, Any] = {}

    def __init__(self) -> None:
        self.reads = 0

    def read(self, _size: int) -> bytes:
        self.reads += 1
        time.sleep(0.01)
        return b"x"


def test_a_refused_slow_client_loses_its_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "DRAIN_S", 0.1)
    drip: Any = Drip()
    started_s = time.monotonic()
    streams.Body(drip).drain()
    assert 1 <= drip.reads <= 11
    assert time.monotonic() - started_s < 30


def test_what_comes_quickly_is_read_to_its_end() -> None:
    chunks = iter([b"x" * 10, b"y", b""])
    request: Any = SimpleNamespace(META={}, read=lambda _size: next(chunks))
    streams.Body(request).drain()
    assert next(chunks, None) is None
