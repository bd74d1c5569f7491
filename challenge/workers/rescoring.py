"""The Celery task of re-scores from the desk: previews and publications, where the evidence is."""

from __future__ import annotations

import logging
import os
import socket

from celery import shared_task
from django.conf import settings
from django.db import close_old_connections

from challenge.errors import Refusal
from challenge.services.submissions import rescores
from challenge.services.submissions.rescores import Claim
from challenge.services.task_queue import TaskName
from challenge.workers import readiness
from challenge.workers.heartbeat import Heartbeat

log = logging.getLogger(__name__)


@shared_task(name=TaskName.RESCORE.value, acks_late=False)
def rescore() -> int:
    """Preview and publish until nothing waits; returns how many were taken.

    Takes nothing where this worker lacks anything: another one may have it.
    """
    if faults := readiness.faults():
        log.critical("this worker previews nothing: %s", "; ".join(faults))
        return 0
    worker = f"{socket.gethostname()}:{os.getpid()}"
    taken = 0
    while claim := rescores.claim(worker=worker):
        taken += 1
        try:
            with _heartbeat(claim):
                state = rescores.work(claim, worker=worker)
            log.info("re-score %s, attempt %s: %s", claim.rescore_id, claim.attempt, state)
        except Refusal as refusal:
            if refusal.code != "late-worker":
                raise
            log.warning("re-score %s: attempt %s is over", claim.rescore_id, claim.attempt)
        close_old_connections()
    return taken


def _heartbeat(claim: Claim) -> Heartbeat:
    return Heartbeat(
        lambda _progress: rescores.heartbeat(claim),
        lease_s=settings.LEASE_S,
        label=f"re-score {claim.rescore_id}",
        stage="",
    )
