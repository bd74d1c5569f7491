"""A broker that restarts ends no worker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import current_app
from celery.bootsteps import StartStopStep
from kombu import Connection

from challenge.config.consumer import Consumer
from challenge.services.task_queue import TaskName
from tests.cache_server import CacheServer
from tests.worker_process import WorkerProcess

RESTARTS = 3


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[CacheServer]:
    server = CacheServer(tmp_path)
    yield server
    server.close()


def start(step: type[StartStopStep]) -> None:
    """Start a consumer that has this part alone."""

    class Parts(Consumer.Blueprint):  # type: ignore[misc]
        default_steps: tuple[str, ...] = ()

    class Parent:
        app = current_app

        def __init__(self) -> None:
            self.steps: list[Any] = []

    parent = Parent()
    parts = Parts(steps=[step])
    parts.apply(parent)
    parts.start(parent)


def test_a_channel_without_its_connection_is_a_lost_connection(broker: CacheServer) -> None:
    class UsesAClosedChannel(StartStopStep):  # type: ignore[misc]
        def start(self, parent: Any) -> None:
            connection = Connection(broker.url.replace("unix://", "redis+socket://"))
            channel = connection.default_channel
            channel.client.ping()
            # What a dropped connection leaves behind.
            channel.connection = None
            channel._connparams()

    with pytest.raises(ConnectionResetError) as caught:
        start(UsesAClosedChannel)

    assert isinstance(caught.value, current_app.connection_for_read().connection_errors)


def test_a_mistake_of_ours_stays_one() -> None:
    class HasAMistake(StartStopStep):  # type: ignore[misc]
        def start(self, parent: Any) -> None:
            return parent.nothing_of_the_kind

    with pytest.raises(AttributeError, match="nothing"):
        start(HasAMistake)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("running_servers")
def test_a_worker_outlives_restarts_of_its_broker(broker: CacheServer, tmp_path: Path) -> None:
    class Worker(WorkerProcess):
        def environment(self) -> dict[str, str]:
            return {"REDIS_URL": broker.url}

    worker = Worker(tmp_path / "worker.log", queues="default")
    worker.start()
    process = worker.process
    assert process is not None
    try:
        worker.wait_until(lambda: "ready." in worker.log_tail(), "the worker")
        for _ in range(RESTARTS):
            broker.stop()
            broker.start()
            ran = worker.log.read_text().count("succeeded")
            with Connection(broker.url.replace("unix://", "redis+socket://")) as connection:
                current_app.send_task(
                    TaskName.SWEEP.value, queue="default", ignore_result=True, connection=connection
                )
            worker.wait_until(
                lambda ran=ran: worker.log.read_text().count("succeeded") > ran, "a sweep"
            )
            assert process.poll() is None
    finally:
        worker.stop()
