"""The Celery task of reveals asked for on the desk, where labels and evidence are."""

from __future__ import annotations

import logging
import os
import socket

from celery import shared_task

from challenge.services.submissions import reveal_requests
from challenge.services.task_queue import TaskName
from challenge.workers import readiness

log = logging.getLogger(__name__)


@shared_task(name=TaskName.REVEAL.value, acks_late=False)
def reveal() -> int:
    """Reveal what was asked for; returns how many requests were carried out.

    Takes nothing where this worker lacks anything: another one may have it.
    """
    if faults := readiness.faults():
        log.critical("this worker reveals nothing: %s", "; ".join(faults))
        return 0
    return reveal_requests.work(worker=f"{socket.gethostname()}:{os.getpid()}")
