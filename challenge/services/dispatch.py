"""The doorbell: tell workers that there is work. The work itself is rows in PostgreSQL.

A ring is sent by task name once the transaction is committed (nothing is imported from the
workers' side). When the broker cannot be reached the ring is lost and logged: the sweep rings
again for whatever is left waiting. Only services.evaluations and services.training_runs ring.
"""

from __future__ import annotations

import logging
from enum import StrEnum
from functools import partial

from celery import current_app
from django.db import transaction
from kombu.exceptions import OperationalError

log = logging.getLogger(__name__)


class Bell(StrEnum):
    """Every task name that is ever sent; a test asserts that a worker registers each."""

    SCORE = "scoring.score"
    TRAIN = "baselines.train"
    SEND_MAIL = "challenge.send_mail"
    DELIVER_WEBHOOKS = "challenge.deliver_webhooks"


QUEUES: dict[Bell, str] = {
    Bell.SCORE: "scoring",
    Bell.TRAIN: "gpu",
    Bell.SEND_MAIL: "default",
    Bell.DELIVER_WEBHOOKS: "default",
}


def ring(bell: Bell) -> None:
    """Ring once the current transaction is committed (at once where there is none)."""
    transaction.on_commit(partial(send, bell))


def send(bell: Bell) -> bool:
    """Send the message now; False (and a line in the log) when the broker cannot be reached."""
    try:
        current_app.send_task(
            bell.value, queue=QUEUES[bell], ignore_result=True, retry=False, expires=3600
        )
    except (OperationalError, OSError) as error:
        log.warning("broker unreachable, ring %s is lost until the sweep: %s", bell.value, error)
        return False
    return True
