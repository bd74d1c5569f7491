"""Django's PostgreSQL engine, whose pooled connections fail within seconds, never within minutes.

psycopg's pool tests each connection when it is asked for one, and after a failure waits ever longer
before it tests the next: a pool of twelve dead connections costs thirty seconds. Here the first
failure drops all idle connections, and a test or query without an answer ends after a time limit,
because a firewall that drops packets answers nothing at all.
"""

from __future__ import annotations

import time
from typing import Any, ClassVar

import psycopg
from django.conf import settings
from django.db.backends.base.base import NO_DB_ALIAS
from django.db.backends.postgresql import base as postgresql
from psycopg import errors
from psycopg_pool import ConnectionPool

CHECK_S = 2.0
# Where the last attempt to connect failed this recently, no request waits for the next one.
FAILED_RECENTLY_S = 2.0
NO_WAIT_S = 0.2
# The pool gives up and begins anew with the next request, so that it never waits for minutes.
RECONNECT_S = 1.0


class LimitedConnection(psycopg.Connection[Any]):
    """A connection that is closed when the server does not answer in ``answer_s`` seconds."""

    failed_at_s: ClassVar[float] = -FAILED_RECENTLY_S
    answer_s: float

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.opened_at_s = time.monotonic()
        self.answer_s = float(settings.DATABASE_ANSWER_S)

    @classmethod
    def connect(cls, *args: Any, **kwargs: Any) -> LimitedConnection:
        """Connect, and remember when that failed."""
        try:
            connection = super().connect(*args, **kwargs)
        except psycopg.Error:
            LimitedConnection.failed_at_s = time.monotonic()
            raise
        LimitedConnection.failed_at_s = -FAILED_RECENTLY_S
        return connection

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Wait for the server. Raises ``OperationalError`` when it does not answer in time."""
        if timeout is not None:
            return super().wait(gen, interval=interval, timeout=timeout)
        try:
            return super().wait(gen, interval=interval, timeout=self.answer_s)
        except errors._WaitTimeout:
            self.close()
            raise psycopg.OperationalError(f"no answer in {self.answer_s:g} s") from None


class RecoveringPool(ConnectionPool[LimitedConnection]):
    """A pool that drops all idle connections when the first of them turns out to be dead."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            connection_class=LimitedConnection,
            check=self._check_or_drain,
            timeout=float(settings.DATABASE_WAIT_S),
            reconnect_timeout=RECONNECT_S,
            **options,
        )
        self._drained_last_s = -1.0

    def getconn(self, timeout: float | None = None) -> LimitedConnection:
        """A tested connection. Raises ``PoolTimeout``, at once where the server is known away."""
        failed_s = time.monotonic() - LimitedConnection.failed_at_s
        if timeout is None and failed_s < FAILED_RECENTLY_S:
            timeout = NO_WAIT_S
        return super().getconn(timeout)

    def _check_or_drain(self, connection: LimitedConnection) -> None:
        connection.answer_s = CHECK_S
        try:
            ConnectionPool.check_connection(connection)
        except Exception:
            # What was opened after the last time may be alive: others found the same failure.
            if connection.opened_at_s > self._drained_last_s:
                self._drained_last_s = time.monotonic()
                self.drain()
            raise
        connection.answer_s = float(settings.DATABASE_ANSWER_S)


class DatabaseWrapper(postgresql.DatabaseWrapper):
    """Django's connection to PostgreSQL, from our pool where ``OPTIONS`` has one."""

    @property
    def pool(self) -> RecoveringPool | None:
        """The process's pool of this database, or None without one."""
        options = self.settings_dict["OPTIONS"].get("pool")
        if not options or self.alias == NO_DB_ALIAS:
            return None
        pools = self._connection_pools  # type: ignore[attr-defined]
        if self.alias not in pools:
            parameters = self.get_connection_params() | {"autocommit": True}
            pools.setdefault(
                self.alias,
                RecoveringPool(
                    kwargs=parameters,
                    open=False,  # by the first query, after gunicorn has forked
                    configure=self._configure_connection,  # type: ignore[attr-defined]
                    **options,
                ),
            )
        found: RecoveringPool = pools[self.alias]
        return found
