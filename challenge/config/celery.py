"""The Celery application: workers and beat run it, the site only sends by task name.

PostgreSQL is the queue and Celery the doorbell (docs/architecture.md), so a lost or repeated
message costs seconds and nothing else.
"""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from celery.signals import beat_init, heartbeat_sent, setup_logging, worker_init

from challenge.config import engines, liveness

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "challenge.config.settings")

app = Celery("challenge")
app.config_from_object("django.conf:settings", namespace="CELERY")
# Default of the process, not of this thread alone: gunicorn's threads ring through it too.
app.set_default()


def hold_engines(**_: Any) -> None:
    engines.hold_if_unset()


def sign_life(**_: Any) -> None:
    liveness.sign("worker")


def keep_our_logging(**_: Any) -> None:
    """Connected, so that Celery leaves logging to ``settings.LOGGING``."""


worker_init.connect(hold_engines)
beat_init.connect(hold_engines)
heartbeat_sent.connect(sign_life)
setup_logging.connect(keep_our_logging)
