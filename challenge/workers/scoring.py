"""The Celery task that scores: claim an evaluation, run the scorer process, record its verdict.

A message is a hint and is acknowledged at once: the work is rows in PostgreSQL, claimed here, and
for whatever a lost message or worker leaves behind the sweep notifies workers again.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from pathlib import Path
from typing import Any

from celery import shared_task
from celery.signals import worker_ready
from django.conf import settings
from django.db import close_old_connections
from structlog.contextvars import bound_contextvars

from challenge.errors import Refusal, refuse
from challenge.services.challenges import splits
from challenge.services.labels import distribution
from challenge.services.storage import archives
from challenge.services.submissions import evaluations, retries
from challenge.services.submissions.evaluations import Claim
from challenge.services.task_queue import TaskName
from challenge.workers import readiness
from challenge.workers.heartbeat import Heartbeat
from scoring.engine import resource_limits
from scoring.engine.decode import sandbox
from scoring.engine.scorer import child
from scoring.engine.scorer.verdicts import Progress, Rejected, Scored, ScorerFailure
from scoring.engine.task import specification as specs
from scoring.engine.truth.split import CountedZones, SplitError, SplitFile

log = logging.getLogger(__name__)

# After this long a drain hands over to the next message, so that a worker asked to stop gently
# does so after the evaluation at hand.
DRAIN_S = 60.0
# Of one drain: the second says that it is this worker or the storage, not that one archive.
RETURNED_MAX = 2
# How a process dies that the kernel or a person ends.
KILLED = frozenset({"scorer-killed", "scorer-silent"})
OUT_OF_REACH = frozenset({"archive-missing", "archive-unreachable"})


@worker_ready.connect
def log_isolation(sender: Any, **_: object) -> None:
    """Log at start how this worker's decoders are locked in, or that it will score nothing."""
    if not readiness.consumes_scoring(sender):
        return
    try:
        isolation = sandbox.require()
        log.info("decoders will be isolated by %s", resource_limits.with_low_limits(str(isolation)))
    except sandbox.IsolationUnavailable as error:
        log.critical("this worker scores nothing: %s", error)


@shared_task(name=TaskName.SCORE.value, acks_late=False)
def score() -> int:
    """Score queued evaluations until none waits; returns how many were taken.

    Takes nothing where this worker lacks anything, and nothing whose labels it lacks: a worker on
    another machine may have them.
    """
    if faults := readiness.faults():
        log.critical("this worker scores nothing: %s", "; ".join(faults))
        return 0
    label_files = readiness.label_files()
    label_files += distribution.fetch_missing(label_files)
    worker = f"{socket.gethostname()}:{os.getpid()}"
    started_s = time.monotonic()
    taken = 0
    returned: set[int] = set()
    while claim := evaluations.claim(worker=worker, label_files=label_files, exclude=returned):
        taken += 1
        if not _score(claim):
            returned.add(claim.evaluation_id)
        close_old_connections()
        if len(returned) >= RETURNED_MAX:
            break  # it is not the one archive; the sweep notifies again
        if time.monotonic() - started_s > DRAIN_S and evaluations.notify_workers():
            break
    for store, waiting in retries.labels_not_in(label_files).items():
        words = "%s evaluations wait for labels that this worker lacks: %s or its .split file"
        log.error(words, waiting, store)
    return taken


def _score(claim: Claim) -> bool:
    """Take one evaluation from its claim to its verdict; False: it waits in the queue again."""
    with bound_contextvars(
        submission=str(claim.submission_id), evaluation=claim.evaluation_id, attempt=claim.attempt
    ):
        log.info("scoring %s, attempt %s", claim.label, claim.attempt)
        return _score_claimed(claim)


def _score_claimed(claim: Claim) -> bool:
    try:
        return _run_and_record(claim)
    except Refusal as refusal:
        if refusal.code == "late-worker":
            log.warning("%s: attempt %s is over", claim.label, claim.attempt)
        elif refusal.code in OUT_OF_REACH:
            return _return_to_queue(claim, refusal.code, reason=refusal)
        else:
            _mark_failed(claim, refusal.code, reason=refusal)
    except OSError as error:
        return _return_to_queue(claim, "worker-misconfigured", reason=error)
    except specs.SpecError as error:
        _mark_failed(claim, "worker-misconfigured", reason=error)
    return True


def _run_and_record(claim: Claim) -> bool:
    """Run the scorer process and record its verdict; False: the evaluation waits again.

    Raises Refusal ``late-worker`` and those of the archive's storage, OSError where this worker
    lacks something, SpecError for a task it cannot read.
    """
    evidence = _evidence_path(claim)
    heartbeat = _heartbeat(claim)
    with heartbeat, archives.open_local(claim.archive) as archive_path:
        verdict = child.run(
            spec=specs.from_json(claim.task),
            truth_path=_truth_path(claim),
            archive_path=archive_path,
            evidence_path=evidence,
            split_file=_split_file(claim),
            timeout_s=settings.SCORER_TIMEOUT_S,
            on_progress=heartbeat.set_progress,
            should_stop=heartbeat.lost.is_set,
            workers=settings.SCORER_WORKERS,
            memory_bytes=settings.SCORER_MEMORY_BYTES,
        )
        # Before a participant is told what is wrong: are these the bytes they sent?
        is_unaltered = not isinstance(verdict, Rejected) or archives.has_digest(
            archive_path, sha256=claim.archive_sha256
        )
    if heartbeat.lost.is_set():
        raise refuse("late-worker", attempt=claim.attempt)
    if not is_unaltered:
        _mark_failed(claim, "archive-altered", reason="the stored archive is not the accepted one")
    elif isinstance(verdict, Rejected):
        evaluations.complete_rejected(
            claim.evaluation_id,
            attempt=claim.attempt,
            problems=[problem.to_json() for problem in verdict.problems],
            more=verdict.more,
        )
    elif not isinstance(verdict, Scored):
        return _record_failure(claim, verdict)
    elif verdict.card["truth_digest"] != claim.truth_digest:
        reason = "the labels installed here are others"
        return _return_to_queue(claim, "truth-mismatch", reason=reason)
    else:
        evaluations.complete_scored(
            claim.evaluation_id,
            attempt=claim.attempt,
            card=verdict.card,
            zones=claim.zones,
            evidence_name=evidence.name if verdict.evidence_path else "",
        )
    return True


def _record_failure(claim: Claim, failure: ScorerFailure) -> bool:
    """Record that the scorer failed; False: the evaluation waits in the queue again."""
    if failure.is_this_machine:
        return _return_to_queue(claim, failure.code, reason=failure.detail)
    if failure.code in KILLED and retries.retry_once(
        claim.evaluation_id, attempt=claim.attempt, code=failure.code
    ):
        log.error("%s: %s, tried once more: %s", claim.label, failure.code, failure.detail)
        return True
    if failure.code not in KILLED:
        _mark_failed(claim, failure.code, reason=failure.detail)
    return True


def _return_to_queue(claim: Claim, code: str, *, reason: object) -> bool:
    """Return a claim that cannot be served here; False: it waits in the queue again."""
    log.error("%s: this worker cannot score it (%s): %s", claim.label, code, reason)
    try:
        returned = retries.return_to_queue(claim.evaluation_id, attempt=claim.attempt, code=code)
    except Refusal as refusal:
        if refusal.code != "late-worker":
            raise
        return True
    return not returned


def _mark_failed(claim: Claim, code: str, *, reason: object) -> None:
    log.error("%s: failed with %s: %s", claim.label, code, reason)
    try:
        evaluations.mark_failed(claim.evaluation_id, attempt=claim.attempt, code=code)
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


def _split_file(claim: Claim) -> SplitFile | None:
    """Return the list of the zones to count, None for all. Raises OSError where it is not here."""
    if claim.zones is CountedZones.ALL:
        return None
    file = splits.file_of(claim.split_commitment, zones=claim.zones)
    try:
        file.load()
    except SplitError as error:
        raise OSError(str(error)) from error
    return file


def _evidence_path(claim: Claim) -> Path:
    if settings.EVIDENCE_DIR is None:
        raise FileNotFoundError("EVIDENCE_DIR is not set: this worker cannot keep evidence")
    folder = Path(settings.EVIDENCE_DIR)
    folder.mkdir(parents=True, exist_ok=True)
    # The attempt is in the name: a late worker never writes over its successor's evidence.
    return folder / f"{claim.submission_id}-{claim.evaluation_id}-{claim.attempt}.evidence"


def _heartbeat(claim: Claim) -> Heartbeat:
    def renew(progress: Progress) -> bool:
        return evaluations.heartbeat(
            claim.evaluation_id,
            attempt=claim.attempt,
            stage=progress.stage,
            patches_done=progress.patches_done,
            patches_total=progress.patches_total,
        )

    return Heartbeat(renew, lease_s=settings.LEASE_S, label=claim.label, stage="starting")
