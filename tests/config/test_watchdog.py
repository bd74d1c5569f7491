"""A frozen pool, missing labels and a lost broker are unhealthy, and end what cannot recover."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from challenge.config import watchdog
from challenge.embedded.data_folder import ROOT
from tests import compose
from tests.cache_server import CacheServer
from tests.helpers import wait_until
from tests.live_site import database_url
from tests.worker_process import STOP_S
from tests.workers.real import Worker

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("running_servers"),
]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[CacheServer]:
    server = CacheServer(tmp_path)
    yield server
    server.close()


class WatchedWorker(Worker):
    """A scoring worker that is soon found unhealthy, and ends ``restart_s`` later (0: never)."""

    def __init__(self, folder: Path, broker: CacheServer, *, restart_s: int) -> None:
        (folder / "labels").mkdir()
        super().__init__(folder / "labels")
        self.data, self.broker, self.restart_s = folder / "data", broker, restart_s

    def environment(self) -> dict[str, str]:
        return super().environment() | settings_of(self.data, self.broker, self.restart_s)

    def health(self) -> str:
        return health("worker", self.environment())


def settings_of(data: Path, broker: CacheServer, restart_s: int) -> dict[str, str]:
    return {
        "REDIS_URL": broker.url,
        "FLAIR_DATA_DIR": str(data),
        "HEALTH_FRESH_S": "6",
        "RESTART_UNHEALTHY_S": str(restart_s),
    }


def health(role: str, environment: dict[str, str]) -> str:
    """What the health check of the container says; "" for healthy."""
    asked = subprocess.run(
        [sys.executable, "-m", "challenge.config.liveness", role],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert asked.returncode == (1 if asked.stderr else 0)
    return asked.stderr.strip()


def test_a_worker_with_a_frozen_pool_is_unhealthy_and_ends(
    broker: CacheServer, tmp_path: Path
) -> None:
    worker = WatchedWorker(tmp_path, broker, restart_s=5)
    worker.start()
    process = worker.process
    assert process is not None
    try:
        worker.wait_until(lambda: worker.health() == "", "a healthy worker")
        child = worker.pool_child()
        os.kill(child, signal.SIGSTOP)

        worker.wait_until(lambda: f"process {child} is stopped" in worker.health(), "the check")
        worker.wait_until(lambda: process.poll() is not None, "its end")

        assert process.returncode == watchdog.EXIT
        wait_until(lambda: watchdog.state_of(child) in {"", "Z"}, "the end of the frozen process")
        assert "ends: the pool is frozen" in worker.log_tail()
    finally:
        worker.stop()


def test_a_worker_that_lost_its_broker_is_unhealthy_and_ends(
    broker: CacheServer, tmp_path: Path
) -> None:
    worker = WatchedWorker(tmp_path, broker, restart_s=5)
    worker.start()
    process = worker.process
    assert process is not None
    try:
        worker.wait_until(lambda: worker.health() == "", "a healthy worker")
        broker.stop()

        worker.wait_until(lambda: "has no broker" in worker.health(), "the check")
        worker.wait_until(lambda: process.poll() is not None, "its end")
        worker.process = None

        broker.start()
        worker.start()  # as Compose and systemd do
        worker.wait_until(lambda: worker.health() == "", "a healthy worker again")
    finally:
        worker.stop()


def test_a_worker_without_labels_recovers_or_ends(broker: CacheServer, tmp_path: Path) -> None:
    worker = WatchedWorker(tmp_path, broker, restart_s=5)
    worker.start()
    process = worker.process
    assert process is not None
    try:
        worker.wait_until(lambda: worker.health() == "", "a healthy worker")
        worker.labels.rmdir()

        worker.wait_until(lambda: "LABELS_DIR" in worker.health(), "the check")
        worker.wait_until(lambda: process.poll() is not None, "its end")
        assert "ends: LABELS_DIR" in worker.log_tail()
    finally:
        worker.stop()


def test_beat_that_lost_its_broker_is_unhealthy_and_recovers(
    broker: CacheServer, tmp_path: Path
) -> None:
    environment = settings_of(tmp_path / "data", broker, 0) | {"DATABASE_URL": database_url()}
    log = tmp_path / "beat.log"
    with log.open("ab") as out:
        beat = subprocess.Popen(
            [
                *(sys.executable, "-m", "celery", "--app", "challenge.config.celery"),
                *("beat", "--pidfile", "", "--max-interval", "1"),
            ],
            cwd=ROOT,
            env=os.environ | environment,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until(lambda: health("beat", environment) == "", "beat", report=log.read_text)
        broker.stop()
        wait_until(
            lambda: "broker" in health("beat", environment), "the check", report=log.read_text
        )
        assert beat.poll() is None
        broker.start()
        wait_until(
            lambda: health("beat", environment) == "", "a healthy beat", report=log.read_text
        )
    finally:
        beat.terminate()
        beat.wait(timeout=STOP_S)


def test_what_ends_is_started_again() -> None:
    lasting = set(compose.services()) - {"migrate", "organiser"}

    assert {compose.services()[name]["restart"] for name in lasting} == {"unless-stopped"}
