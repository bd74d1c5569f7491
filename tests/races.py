"""Two acts at once, one of them held at a known point: who waits for whom, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Event, Thread, current_thread
from typing import Any, ClassVar, Protocol

import pytest
from django.db import connection, connections

from challenge.errors import Refusal
from tests.helpers import WAIT_S, wait_until


class Act(Thread):
    """An act in a thread and a connection of its own.

    ``outcome`` is "done" or the code of the refusal; any other error is raised by :meth:`end`.
    """

    made: ClassVar[list[Act]] = []

    def __init__(self, do: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self.made.append(self)
        self._do = do
        self._error: BaseException | None = None
        self._backend: int | None = None
        self._connected = Event()
        self.outcome = ""

    def run(self) -> None:
        try:
            connection.ensure_connection()
            self._backend = connection.connection.info.backend_pid
            self._connected.set()
            self._do()
            self.outcome = "done"
        except Refusal as refusal:
            self.outcome = refusal.code
        except BaseException as error:  # noqa: BLE001 (the test raises it)
            self._error = error
        finally:
            self._connected.set()
            connections.close_all()

    def waits(self) -> bool:
        """Start it; say whether it waits for a lock of another (True) or came to its end."""
        self.start()
        assert self._connected.wait(WAIT_S)
        wait_until(lambda: not self.is_alive() or self._is_blocked(), "a lock or the end")
        return self.is_alive()

    def end(self) -> str:
        """Wait for its end and return the outcome."""
        self.join(WAIT_S)
        assert not self.is_alive()
        if self._error is not None:
            raise self._error
        return self.outcome

    def _is_blocked(self) -> bool:
        with connection.cursor() as cursor:
            cursor.execute("SELECT cardinality(pg_blocking_pids(%s))", [self._backend])
            return bool(cursor.fetchone()[0])


class Stop:
    """The point at which an act is held: before its first call of a function."""

    def __init__(self, patch: pytest.MonkeyPatch, act: Act, owner: object, name: str) -> None:
        self._reached, self._released = Event(), Event()
        called = getattr(owner, name)

        def held(*args: Any, **kwargs: Any) -> Any:
            if current_thread() is act:
                self._reached.set()
                assert self._released.wait(WAIT_S)
            return called(*args, **kwargs)

        patch.setattr(owner, name, held)
        self._act = act

    def reach(self) -> None:
        """Start the act where it does not run, and wait until it is held."""
        if self._act.ident is None:
            self._act.start()
        wait_until(
            lambda: self._reached.is_set() or not self._act.is_alive(),
            "the point",
            timeout_s=WAIT_S,
        )
        if not self._reached.is_set():
            self._act.end()
            raise AssertionError(f"it never came there: {self._act.outcome}")

    def release(self) -> None:
        self._released.set()


class Hold(Protocol):
    """Holds an act before its first call of a function."""

    def __call__(self, act: Act, owner: object, name: str) -> Stop: ...


@pytest.fixture
def hold(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hold]:
    """Stops of acts; all are released when the test ends, however it does."""
    stops: list[Stop] = []

    def make(act: Act, owner: object, name: str) -> Stop:
        stops.append(Stop(monkeypatch, act, owner, name))
        return stops[-1]

    yield make
    for stop in stops:
        stop.release()
    while Act.made:
        act = Act.made.pop()
        if act.ident is not None:
            act.join(WAIT_S)
