"""Passwords: hashed by Argon2 in bounded memory.

Parameters: OWASP Password Storage Cheat Sheet, Argon2id with 19 MiB, two iterations, parallelism 1.
Hashes of other parameters are replaced when their owners log in (Django's ``must_update``).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.contrib.auth.hashers import Argon2PasswordHasher, make_password

from challenge.errors import refuse

KIB = 1024
MEMORY_KIB = 19 * 1024
WAIT_S = 5.0
WAITING_MAX = 4
RETRY_AFTER_S = 5


class HashMemory:
    """Memory that a process may use for hashing at once; further hashes wait for their turn.

    ``computed`` is the number of hashes so far.
    """

    def __init__(self) -> None:
        self.computed = 0
        self._used_bytes = 0
        self._waiting = 0
        self._freed = threading.Condition()

    @contextmanager
    def reserved(self, memory_kib: int) -> Iterator[None]:
        """Use ``memory_kib`` KiB; raises ``Refusal`` (503) when that would take too long.

        A hash that needs more than all of it is computed alone.
        """
        needed_bytes = memory_kib * KIB
        self._take(needed_bytes)
        try:
            yield
        finally:
            with self._freed:
                self.computed += 1
                self._used_bytes -= needed_bytes
                self._freed.notify_all()

    def _take(self, needed_bytes: int) -> None:
        end_s = time.monotonic() + WAIT_S
        with self._freed:
            if not self._fits(needed_bytes):
                # Threads that wait here answer nobody else.
                if self._waiting >= WAITING_MAX:
                    raise refuse("passwords-busy", retry_after_s=RETRY_AFTER_S)
                self._waiting += 1
                try:
                    while not self._fits(needed_bytes):
                        if not self._freed.wait(end_s - time.monotonic()):
                            raise refuse("passwords-busy", retry_after_s=RETRY_AFTER_S)
                finally:
                    self._waiting -= 1
            self._used_bytes += needed_bytes

    def _fits(self, needed_bytes: int) -> bool:
        limit_bytes = int(settings.PASSWORD_MEMORY_BYTES)
        return not self._used_bytes or self._used_bytes + needed_bytes <= limit_bytes


memory = HashMemory()


class Argon2Hasher(Argon2PasswordHasher):
    """Django's Argon2 with OWASP's parameters, within the process's memory for hashing."""

    time_cost = 2
    memory_cost = MEMORY_KIB
    parallelism = 1

    def encode(self, password: str, salt: str) -> str:
        """Hash a password. Raises ``Refusal`` (503) when too many are hashed at once."""
        with memory.reserved(self.memory_cost):
            return super().encode(password, salt)

    def verify(self, password: str, encoded: str) -> bool:
        """Compare a password with a hash. Raises ``Refusal`` (503) as ``encode`` does."""
        with memory.reserved(int(self.decode(encoded)["memory_cost"])):
            return super().verify(password, encoded)


def spend_a_hash(password: str) -> None:
    """Take as long as hashing ``password`` would, where nothing is to be hashed."""
    make_password(password)
