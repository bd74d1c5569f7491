"""The Celery application: workers and beat run it, the site only sends by task name.

PostgreSQL is the queue and a message only a hint (docs/architecture.md), so a lost or repeated
message costs seconds and nothing else.
"""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from celery.signals import (
    beat_init,
    heartbeat_sent,
    setup_logging,
    task_postrun,
    task_prerun,
    worker_init,
    worker_ready,
)
from structlog.contextvars import bind_contextvars, clear_contextvars

from challenge import embedded
from challenge.config import liveness, watchdog

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "challenge.config.settings")

app = Celery("challenge", task_cls="challenge.workers.tasks:SiteTask")
app.config_from_object("django.conf:settings", namespace="CELERY")
# Default of the process, not of this thread alone: gunicorn's threads send through it too.
app.set_default()


def connect_embedded_servers(**_: Any) -> None:
    embedded.connect_if_unset()


def record_alive(**_: Any) -> None:
    liveness.record_alive("worker")


def watch_readiness(sender: Any, **_: Any) -> None:
    """Have a worker record what its pool, and a scoring worker what its machine lacks."""
    from challenge.workers import readiness  # needs Django's settings

    pool_faults = watchdog.PoolCheck(sender)
    scores = readiness.consumes_scoring(sender)

    def faults() -> list[str]:
        return pool_faults() + (readiness.faults() if scores else [])

    heartbeat_sent.connect(liveness.FaultRecorder("worker", faults), weak=False)


def watch_worker(**_: Any) -> None:
    """End this worker where it stays unhealthy, but for work that goes on without a broker."""
    from celery.worker import state

    def may_end() -> bool:
        return not state.active_requests or bool(liveness.recorded_faults("worker"))

    watchdog.start("worker", may_end=may_end)


def watch_beat(**_: Any) -> None:
    watchdog.start("beat")


def keep_our_logging(**_: Any) -> None:
    """Connected, so that Celery leaves logging to ``settings.LOGGING``."""


def name_task(task_id: str, task: Any, **_: Any) -> None:
    """Have what a Celery task logs carry its name and id."""
    bind_contextvars(celery_task=task.name, celery_id=task_id)


def forget_task(**_: Any) -> None:
    clear_contextvars()


worker_init.connect(connect_embedded_servers)
worker_init.connect(watch_worker)
task_prerun.connect(name_task)
task_postrun.connect(forget_task)
beat_init.connect(connect_embedded_servers)
beat_init.connect(watch_beat)
heartbeat_sent.connect(record_alive)
worker_ready.connect(watch_readiness)
setup_logging.connect(keep_our_logging)
