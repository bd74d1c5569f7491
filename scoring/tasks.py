"""What Celery workers run: thin calls of services. Names here are the bells of services.dispatch.

A message is a hint and is acknowledged at once: the work is rows in PostgreSQL, claimed here, and
whatever a lost message or worker leaves behind the sweep rings for again.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from pathlib import Path
from threading import Event, Thread
from typing import Any

from celery import shared_task
from celery.signals import worker_ready
from django.conf import settings
from django.db import DatabaseError, close_old_connections, connection
from django.db.utils import InterfaceError

from challenge.errors import Refusal
from challenge.services import (
    archives,
    evaluations,
    mails,
    phases,
    retention,
    training_runs,
    uploads,
    webhooks,
)
from challenge.services.evaluations import Claim
from scoring.engine import child, sandbox
from scoring.engine import spec as specs
from scoring.engine.verdicts import Progress, Rejected, Scored

log = logging.getLogger(__name__)

# After this long a drain hands over to the next message, so that a worker asked to stop gently
# does so after the evaluation at hand.
DRAIN_S = 60.0
PROGRESS_EVERY_S = 1.0
# Of one drain: the second says that it is this worker or the storage, not that one archive.
RETURNED_MAX = 2
# What says nothing about the archive that was claimed.
OUT_OF_REACH = frozenset({"archive-missing", "archive-unreachable"})


@worker_ready.connect
def say_isolation(sender: Any, **_: object) -> None:
    """Log at start how this worker's decoders are locked in, or that it will score nothing."""
    if "scoring" not in sender.app.amqp.queues.consume_from:
        return
    try:
        log.info("decoders will be isolated by %s", sandbox.require())
    except sandbox.IsolationUnavailable as error:
        log.critical("this worker scores nothing: %s", error)


@shared_task(name="scoring.score", acks_late=False)
def score() -> int:
    """Score queued evaluations until none waits; returns how many were taken."""
    try:
        sandbox.require()
    except sandbox.IsolationUnavailable as error:
        # Nothing is claimed: a worker on another machine may still do it.
        log.critical("this worker scores nothing: %s", error)
        return 0
    worker = f"{socket.gethostname()}:{os.getpid()}"
    started_s = time.monotonic()
    taken = 0
    returned: set[int] = set()
    while claim := evaluations.claim(worker=worker, but_not=returned):
        taken += 1
        if not _score(claim):
            returned.add(claim.evaluation_id)
        close_old_connections()
        if len(returned) >= RETURNED_MAX:
            break  # it is not the one archive; the sweep rings again
        if time.monotonic() - started_s > DRAIN_S and evaluations.ring_again():
            break
    return taken


@shared_task(name="scoring.sweep", acks_late=False)
def sweep() -> dict[str, int]:
    """Make true what lost workers and messages left undone."""
    swept = evaluations.sweep()
    runs = training_runs.sweep()
    if swept.requeued or swept.failed or runs.requeued or runs.failed:
        log.warning(
            "lost workers: evaluations queued again %s, failed %s; runs queued again %s, failed %s",
            swept.requeued,
            swept.failed,
            runs.requeued,
            runs.failed,
        )
    return {
        "requeued": len(swept.requeued),
        "failed": len(swept.failed),
        "waiting": swept.waiting,
        "runs_requeued": len(runs.requeued),
        "runs_failed": len(runs.failed),
    }


@shared_task(name="challenge.send_mail", acks_late=False)
def send_mail() -> int:
    """Send the results that people asked to be told."""
    return mails.send_due()


@shared_task(name="challenge.deliver_webhooks", acks_late=False)
def deliver_webhooks() -> int:
    """Deliver the news that is due."""
    return webhooks.deliver()


@shared_task(name="challenge.sweep_files", acks_late=False)
def sweep_files() -> dict[str, int]:
    """Remove expired uploads, orphaned archives, and archives and evidence nobody needs."""
    swept = uploads.sweep()
    removed = retention.sweep()
    phases.hold_figures()
    return {
        "expired": swept.expired,
        "strays": swept.strays,
        "archives": archives.sweep_orphans(),
        "removed": removed.archives,
        "evidence": removed.evidence,
    }


def _score(claim: Claim) -> bool:
    """Take one evaluation from its claim to its verdict; False: given back without one."""
    log.info("scoring %s, attempt %s", claim.where, claim.attempt)
    evidence = _evidence_path(claim)
    beat = _Heartbeat(claim)
    try:
        with beat, archives.open_local(claim.archive) as archive_path:
            verdict = child.run(
                spec=specs.from_json(claim.task),
                truth_path=_truth_path(claim),
                archive_path=archive_path,
                evidence_path=evidence,
                timeout_s=settings.SCORER_TIMEOUT_S,
                on_progress=beat.note,
                should_stop=beat.lost.is_set,
                workers=settings.SCORER_WORKERS,
                memory_bytes=settings.SCORER_MEMORY_BYTES,
            )
            # Before a participant is told what is wrong: are these the bytes they sent?
            is_theirs = not isinstance(verdict, Rejected) or archives.is_whole(
                archive_path, sha256=claim.archive_sha256
            )
        if beat.lost.is_set():
            log.warning("%s: attempt %s was given up meanwhile", claim.where, claim.attempt)
            return True
        if not is_theirs:
            log.error("%s: the stored archive is not the one that was accepted", claim.where)
            _broken(claim, "archive-altered")
            return True
        if isinstance(verdict, Scored):
            if verdict.card["truth_digest"] != claim.truth_digest:
                log.error("%s: the labels installed here are another version", claim.where)
                _broken(claim, "truth-mismatch")
                return True
            evaluations.complete_scored(
                claim.evaluation_id,
                attempt=claim.attempt,
                card=verdict.card,
                evidence_name=evidence.name if verdict.evidence_path else "",
            )
        elif isinstance(verdict, Rejected):
            evaluations.complete_rejected(
                claim.evaluation_id,
                attempt=claim.attempt,
                problems=[problem.to_json() for problem in verdict.problems],
                more=verdict.more,
            )
        else:
            log.error("%s: %s (%s)", claim.where, verdict.code, verdict.detail)
            _broken(claim, verdict.code)
    except Refusal as refusal:
        if refusal.code == "late-worker":
            log.warning("%s: attempt %s was given up meanwhile", claim.where, claim.attempt)
            return True
        log.error("%s: %s", claim.where, refusal.code)
        if refusal.code in OUT_OF_REACH:
            return _give_back(claim, refusal.code)
        _broken(claim, refusal.code)
    except OSError as error:
        log.error("%s: given back, this worker cannot score it: %s", claim.where, error)
        return _give_back(claim, "worker-misconfigured")
    except specs.SpecError as error:
        log.error("%s: %s", claim.where, error)
        _broken(claim, "worker-misconfigured")
    return True


def _give_back(claim: Claim, code: str) -> bool:
    """Whether it is over all the same."""
    try:
        return not evaluations.give_back(claim.evaluation_id, attempt=claim.attempt, code=code)
    except Refusal as refusal:
        if refusal.code != "late-worker":
            raise
    return True


def _broken(claim: Claim, code: str) -> None:
    try:
        evaluations.complete_broken(claim.evaluation_id, attempt=claim.attempt, code=code)
    except Refusal as refusal:
        if refusal.code != "late-worker":
            raise


def _truth_path(claim: Claim) -> Path:
    if settings.LABELS_DIR is None:
        raise FileNotFoundError("LABELS_DIR is not set: this worker has no labels")
    path = Path(settings.LABELS_DIR) / claim.truth_store
    if not path.is_file():
        raise FileNotFoundError(f"{claim.truth_store} is not in this worker's LABELS_DIR")
    return path


def _evidence_path(claim: Claim) -> Path:
    if settings.EVIDENCE_DIR is None:
        raise FileNotFoundError("EVIDENCE_DIR is not set: this worker cannot keep evidence")
    folder = Path(settings.EVIDENCE_DIR)
    folder.mkdir(parents=True, exist_ok=True)
    # The attempt is in the name: a late worker never writes over its successor's evidence.
    return folder / f"{claim.submission_id}-{claim.evaluation_id}-{claim.attempt}.evidence"


class _Heartbeat:
    """Renews a claim's lease from a thread of its own while the child runs.

    ``lost`` is set once the claim is no longer ours. A database that cannot be reached is no loss
    by itself: the lease decides, and the last write is fenced by the attempt.
    """

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self.lost = Event()
        self._done = Event()
        self._progress = Progress("starting")
        self._thread = Thread(target=self._beat, name=f"heartbeat-{claim.evaluation_id}")

    def __enter__(self) -> _Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def note(self, progress: Progress) -> None:
        """Remember how far the child is; the thread writes it."""
        self._progress = progress

    def _beat(self) -> None:
        told: Progress | None = None
        told_s = 0.0
        renew_s = settings.LEASE_S / 4
        try:
            while not self._done.wait(min(PROGRESS_EVERY_S, renew_s)):
                progress = self._progress
                if progress == told and time.monotonic() - told_s < renew_s:
                    continue
                try:
                    ours = evaluations.heartbeat(
                        self.claim.evaluation_id,
                        attempt=self.claim.attempt,
                        stage=progress.stage,
                        patches_done=progress.patches_done,
                        patches_total=progress.patches_total,
                    )
                except (DatabaseError, InterfaceError) as error:
                    log.warning("heartbeat of %s missed: %s", self.claim.where, error)
                    connection.close()
                    continue
                if not ours:
                    self.lost.set()
                    return
                told, told_s = progress, time.monotonic()
        finally:
            connection.close()
