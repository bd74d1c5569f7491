"""The Celery task of pixel comparisons: packs the predictions of each archive, then counts.

An archive is read by the strict reader and decoded in the sandbox, once, by the process that packs
masks: a packed submission holds runs of class ids. Each is opened and its name removed at once, so
that a killed worker leaves nothing on the disk but what it was writing.
"""

from __future__ import annotations

import logging
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

from celery import shared_task
from django.conf import settings
from django.db import close_old_connections

from challenge.errors import Refusal, refuse
from challenge.models import Phase, Submission
from challenge.services.storage import archives
from challenge.services.submissions import pixel_comparisons as service
from challenge.services.submissions.pixel_comparisons import Claim
from challenge.services.task_queue import TaskName
from challenge.workers import readiness
from challenge.workers.heartbeat import Heartbeat
from scoring.engine.metrics import equal_pixels
from scoring.engine.scorer import child
from scoring.engine.scorer.verdicts import Progress, Rejected, ScorerFailure
from scoring.engine.task import specification as specs
from scoring.engine.task.specification import Patch, TaskSpec
from scoring.engine.truth.store import PackedTruth, StoreError

log = logging.getLogger(__name__)

# Of one archive. Where all are missing, it is the storage that is away.
MISSING = frozenset({"archive-missing", "archive-removed"})
OUT_OF_REACH = frozenset({"archive-unreachable"})


class ComparisonFailed(Exception):
    """The comparison cannot go on here; ``code`` says why."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code


class OutOfReach(ComparisonFailed):
    """The archives, or this machine's disk, are away: it may be over soon."""


@shared_task(name=TaskName.COMPARE_PIXELS.value, acks_late=False)
def compare_pixels() -> int:
    """Work comparisons off until none waits; returns how many were taken.

    Takes nothing where this worker lacks anything: another one may have it.
    """
    if faults := readiness.faults():
        log.critical("this worker compares nothing: %s", "; ".join(faults))
        return 0
    taken = 0
    returned: set[int] = set()
    worker = f"{socket.gethostname()}:{os.getpid()}"
    while claim := service.claim(worker=worker, exclude=returned):
        taken += 1
        try:
            if not _work(claim):
                returned.add(claim.comparison_id)  # the sweep notifies again
        except Refusal as refusal:
            if refusal.code != "late-worker":
                raise
            log.warning("%s: attempt %s is over", claim.label, claim.attempt)
        close_old_connections()
    return taken


def prediction_masks(spec: TaskSpec, patches: list[list[str]]) -> TaskSpec:
    """Return the specification by which predictions are packed as if they were masks.

    ``patches`` are rows of patch id, domain and zone.
    """
    classes = tuple(replace(one, labels=(one.id,)) for one in spec.classes)
    expected = tuple(Patch(id=row[0], domain=row[1], zone=row[2]) for row in patches)
    return replace(
        spec,
        label_offset=0,
        classes=classes,
        truth_pattern=spec.prediction_pattern,
        expected=expected,
    )


def _work(claim: Claim) -> bool:
    """Take a comparison from its claim to its end; False: it waits in the queue again."""
    log.info("%s, attempt %s: %s", claim.label, claim.attempt, len(claim.submission_ids))
    try:
        result = _compare(claim)
    except OutOfReach as away:
        return _return_to_queue(claim, away.code, reason=away)
    except OSError as error:
        return _return_to_queue(claim, "scorer-storage", reason=error)
    except ComparisonFailed as failed:
        log.error("%s: %s", claim.label, failed)
        service.mark_failed(claim.comparison_id, attempt=claim.attempt, code=failed.code)
    except StoreError as error:
        log.error("%s: %s", claim.label, error)
        service.mark_failed(claim.comparison_id, attempt=claim.attempt, code="scorer-storage")
    else:
        service.complete(claim.comparison_id, attempt=claim.attempt, result=result)
    return True


def _return_to_queue(claim: Claim, code: str, *, reason: object) -> bool:
    """Return a claim that cannot be served now; False: it waits in the queue again."""
    log.error("%s: out of reach (%s): %s", claim.label, code, reason)
    return not service.return_to_queue(claim.comparison_id, attempt=claim.attempt, code=code)


def _compare(claim: Claim) -> dict[str, Any]:
    phase = Phase.objects.select_related("task_spec", "ground_truth").get(pk=claim.phase_id)
    if phase.task_spec is None or phase.ground_truth is None:
        raise ComparisonFailed("phase-not-ready")
    spec = prediction_masks(specs.from_json(phase.task_spec.data), list(phase.ground_truth.patches))
    rows = Submission.objects.select_related("entry").in_bulk(claim.submission_ids)
    submissions = [one for pk in claim.submission_ids if (one := rows.get(_key(pk))) is not None]
    unread: list[tuple[str, str]] = []
    with _heartbeat(claim) as heartbeat, ExitStack() as opened:
        packs: list[PackedTruth] = []
        compared: list[Submission] = []
        for position, submission in enumerate(submissions):
            heartbeat.set_progress(Progress("reading", position, len(submissions)))
            with _packed(submission, spec, heartbeat) as found:
                if isinstance(found, str):
                    unread.append((str(submission.pk), found))
                    continue
                packs.append(opened.enter_context(PackedTruth.open(found)))
                compared.append(submission)
        if not packs and any(code == "archive-missing" for _pk, code in unread):
            raise OutOfReach("archive-missing", "none of the archives is in storage")
        counts = None
        if packs:
            counts = equal_pixels.count(
                packs,
                on_progress=lambda done, all_: heartbeat.set_progress(
                    Progress("comparing", done, all_)
                ),
                should_stop=heartbeat.lost.is_set,
            )
        if heartbeat.lost.is_set():
            raise refuse("late-worker", attempt=claim.attempt)
    pairs = [
        (str(compared[i].pk), str(compared[j].pk), int(counts[i, j]))
        for i, j in combinations(range(len(compared)), 2)
        if counts is not None and compared[i].entry.team_id != compared[j].entry.team_id
    ]
    return {"pixels": len(spec.expected) * spec.patch_pixels, "pairs": pairs, "unread": unread}


@contextmanager
def _packed(submission: Submission, spec: TaskSpec, heartbeat: Heartbeat) -> Iterator[Path | str]:
    """Give the packed predictions of a submission, removed after; or the code why there are none.

    Raises ComparisonFailed, Refusal ``late-worker``, OSError.
    """
    if submission.archive_removed_at is not None:
        yield "archive-removed"
        return
    with tempfile.TemporaryDirectory(prefix="comparison-") as folder:
        out = Path(folder) / "predictions.pack"
        yield _pack(submission, spec, out, heartbeat) or out


def _pack(submission: Submission, spec: TaskSpec, out: Path, heartbeat: Heartbeat) -> str:
    """Write a submission's packed predictions; returns a code where its archive has none."""
    try:
        with archives.open_local(submission.archive) as path:
            verdict = child.pack(
                spec=spec,
                archive_path=path,
                out_path=out,
                timeout_s=settings.SCORER_TIMEOUT_S,
                should_stop=heartbeat.lost.is_set,
                workers=settings.SCORER_WORKERS,
                memory_bytes=settings.SCORER_MEMORY_BYTES,
            )
    except Refusal as refusal:
        if refusal.code in MISSING:
            return refusal.code
        if refusal.code in OUT_OF_REACH:
            raise OutOfReach(refusal.code) from refusal
        raise ComparisonFailed(refusal.code) from refusal
    if heartbeat.lost.is_set():
        raise refuse("late-worker", attempt=0)
    if isinstance(verdict, Rejected):
        return "archive-rejected"
    if isinstance(verdict, ScorerFailure) and verdict.is_this_machine:
        raise OutOfReach(verdict.code, verdict.detail)
    if isinstance(verdict, ScorerFailure):
        raise ComparisonFailed(verdict.code, verdict.detail)
    return ""


def _key(text: str) -> Any:
    return Submission._meta.pk.to_python(text)


def _heartbeat(claim: Claim) -> Heartbeat:
    def renew(progress: Progress) -> bool:
        return service.heartbeat(
            claim.comparison_id,
            attempt=claim.attempt,
            stage=progress.stage,
            done=progress.patches_done,
            total=progress.patches_total,
        )

    return Heartbeat(renew, lease_s=settings.LEASE_S, label=claim.label, stage="reading")
