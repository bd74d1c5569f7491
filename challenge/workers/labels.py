"""The labels worker: opens sealed masks, installs them, and sends labels to scoring workers.

It alone has the key and writes LABELS_DIR. The row is the job; a message is a hint.
"""

from __future__ import annotations

import logging
import os
import socket
from pathlib import Path
from threading import Event, Thread
from typing import Any

from celery import shared_task
from celery.signals import worker_ready, worker_shutting_down
from django.conf import settings
from django.db import DatabaseError, close_old_connections, connection
from django.db.utils import InterfaceError

from challenge.errors import Refusal
from challenge.models import Phase
from challenge.services.challenges import ground_truth, oracle
from challenge.services.challenges.ground_truth import InstallError
from challenge.services.challenges.oracle import OracleError
from challenge.services.labels import distribution, installing, keys, label_jobs
from challenge.services.labels.installing import MasksRefused, PackingFailed
from challenge.services.labels.label_jobs import LabelClaim
from challenge.services.task_queue import Queue, TaskName
from challenge.workers.heartbeat import Heartbeat
from scoring.engine.scorer.verdicts import Progress
from scoring.engine.truth import sealing_keys
from scoring.engine.truth.sealing_keys import PrivateKey, SealError

log = logging.getLogger(__name__)

ANNOUNCE_EVERY_S = 60.0


@shared_task(name=TaskName.INSTALL_LABELS.value, acks_late=False)
def install_labels() -> int:
    """Install queued labels until none waits; returns how many jobs were taken."""
    try:
        key = keys.labels_key()
    except (SealError, OSError) as error:
        log.critical("this worker installs no labels: %s", error)
        return 0
    if settings.LABELS_DIR is None:
        log.critical("this worker installs no labels: LABELS_DIR is not set")
        return 0
    removed = ground_truth.remove_partial(Path(settings.LABELS_DIR))
    if removed:
        log.warning("%s unfinished files of killed installations were removed", removed)
    taken = 0
    while claim := label_jobs.claim(worker=f"{socket.gethostname()}:{os.getpid()}"):
        taken += 1
        _install(claim, key)
        close_old_connections()
    if taken:
        _distribute()
    return taken


@shared_task(name=TaskName.DISTRIBUTE_LABELS.value, acks_late=False)
def distribute_labels() -> int:
    """Seal into storage what scoring workers may need of this LABELS_DIR."""
    return _distribute()


def _distribute() -> int:
    try:
        count = distribution.distribute()
    except (SealError, OSError) as error:
        log.error("labels were not sent to scoring workers: %s", error)
        return 0
    if count:
        log.info("%s files of labels are in storage, sealed for the scoring workers", count)
    return count


def _install(claim: LabelClaim, key: PrivateKey) -> None:
    """Take one job to its end. Whatever is raised, nothing of it is registered."""
    log.info("installing %s, attempt %s", claim.label, claim.attempt)
    try:
        with _heartbeat(claim) as heartbeat:
            installed = installing.install(
                claim,
                key=key,
                on_progress=heartbeat.set_progress,
                should_stop=heartbeat.lost.is_set,
            )
        log.info("%s: %s masks are installed", claim.label, installed.ground_truth.patch_count)
        label_jobs.delete_copy(claim.job_id)
        _check_oracle(claim)
    except Refusal as refusal:
        if refusal.code == "late-worker":
            log.warning("%s: attempt %s is over", claim.label, claim.attempt)
            return
        _fail(claim, refusal.code, str(refusal.message))
    except SealError as error:
        _refuse(claim, error.code, message=str(error))
    except InstallError as error:
        _refuse(claim, "labels-invalid", message=str(error))
    except MasksRefused as refused:
        problems = [dict(problem.to_json()) for problem in refused.verdict.problems]
        _refuse(claim, "masks-invalid", problems=problems, more=refused.verdict.more)
    except PackingFailed as failed:
        # Details may hold a path of this machine: the log has them.
        log.error("%s: %s", claim.label, failed)
        _fail(claim, failed.failure.code)
    except OSError as error:
        log.error("%s: %s", claim.label, error)
        _fail(claim, "worker-misconfigured", error.strerror or "")


def _check_oracle(claim: LabelClaim) -> None:
    """Score the labels as predictions for the launch check; what fails is logged there alone."""
    phase = Phase.objects.select_related("challenge", "ground_truth", "task_spec").get(
        pk=claim.phase_id
    )
    try:
        log.info("%s: as predictions the labels score %s", claim.label, oracle.check(phase))
    except (OracleError, Refusal, OSError) as error:
        log.error("%s: whether the labels score 1 was not checked: %s", claim.label, error)


def _refuse(claim: LabelClaim, code: str, **columns: Any) -> None:
    log.warning("%s: refused with %s", claim.label, code)
    try:
        label_jobs.mark_refused(claim.job_id, attempt=claim.attempt, code=code, **columns)
    except Refusal as refusal:
        if refusal.code != "late-worker":
            raise
        return
    label_jobs.delete_copy(claim.job_id)


def _fail(claim: LabelClaim, code: str, message: str = "") -> None:
    log.error("%s: failed with %s", claim.label, code)
    try:
        label_jobs.mark_failed(claim.job_id, attempt=claim.attempt, code=code, message=message)
    except Refusal as refusal:
        if refusal.code != "late-worker":
            raise


def _heartbeat(claim: LabelClaim) -> Heartbeat:
    def renew(progress: Progress) -> bool:
        return label_jobs.heartbeat(
            claim.job_id,
            attempt=claim.attempt,
            stage=progress.stage,
            patches_done=progress.patches_done,
            patches_total=progress.patches_total,
        )

    return Heartbeat(renew, lease_s=settings.LABELS_LEASE_S, label=claim.label, stage="opening")


# --- The public key -----------------------------------------------------------------------------

_leaving = Event()


def _announce() -> None:
    """Say again and again which key this worker opens labels with, or why it has none."""
    try:
        key = keys.labels_key()
        keys.scoring_key()
    except (SealError, OSError) as error:
        log.critical("this worker installs no labels: %s", error)
        return
    fingerprint = sealing_keys.fingerprint(sealing_keys.public_bytes(key))
    log.info("labels are sealed for %s", sealing_keys.shown_fingerprint(fingerprint))
    while True:
        try:
            keys.announce(key)
        except (DatabaseError, InterfaceError) as error:
            log.warning("the key was not announced, trying again: %s", error)
            connection.close()
        if _leaving.wait(ANNOUNCE_EVERY_S):
            return


@worker_ready.connect
def start_announcing(sender: Any = None, **_: Any) -> None:
    """Announce workers of the labels queue, from a thread of the parent process."""
    if sender is not None and Queue.LABELS in sender.app.amqp.queues.consume_from:
        Thread(target=_announce, name="announce-key", daemon=True).start()


@worker_shutting_down.connect
def stop_announcing(**_: Any) -> None:
    """Let the thread end."""
    _leaving.set()
