"""What many tests need and no fixture gives: expect a refusal, wait for something, race threads."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Thread
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse

from challenge.errors import Refusal

WAIT_S = 180.0


def refused(code: str) -> pytest.RaisesExc[Refusal]:
    """Expect the block to raise a ``Refusal`` with this code."""
    return pytest.raises(Refusal, check=lambda refusal: refusal.code == code)


def confirm_password(client: Client, password: str = "secret") -> Any:
    """Type the password again, as protected pages want; the answer is where that leads."""
    return client.post(reverse("account_reauthenticate"), {"password": password})


def wait_until(
    condition: Callable[[], object],
    what: str = "a condition",
    *,
    timeout_s: float = WAIT_S,
    report: Callable[[], str] = str,
) -> None:
    """Wait for ``condition`` to become true; after ``timeout_s`` fail with ``report``'s text."""
    end_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end_s, f"waited for {what} in vain\n{report()}"
        time.sleep(0.05)


def run_in_threads(work: Callable[[], None], *, count: int) -> None:
    """Run ``work`` in ``count`` threads at once, each with a database connection of its own."""

    def run() -> None:
        try:
            work()
        finally:
            connection.close()

    threads = [Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=2 * WAIT_S)
