"""Pictures of a submission's patches: which are wanted, drawn by a worker, stored, removed.

The row is the queue (:mod:`challenge.services.leased_jobs`). What may be drawn follows from what is
published: the images of a phase's practice kit, and its labels where they are public. Pictures go
with the archive, and with the kit whose images they show.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet

from challenge.models import Evaluation, GroundTruth, PatchPictures, PracticeKit, Submission
from challenge.rules.lifecycle import RUN_TRANSITIONS, RunState, State
from challenge.services import database_clock
from challenge.services.leased_jobs import LeasedJobs, SweepReport
from challenge.services.task_queue import TaskName
from scoring.engine.pictures.choosing import Choice

FOLDER = "pictures"
QUEUED_AT_ONCE = 50  # by one sweep
REMOVED_AT_ONCE = 200
# As long a worker is waited for that has the labels and the evidence.
WAITED = timedelta(days=1)


class PatchPicturesJobs(LeasedJobs[PatchPictures]):
    """Pictures as leased jobs."""

    model = PatchPictures
    states = RunState
    active = RunState.RUNNING
    transitions = RUN_TRANSITIONS
    lease_setting = "LEASE_S"
    task = TaskName.DRAW_PICTURES


jobs = PatchPicturesJobs()


@dataclass(frozen=True)
class Claim:
    """Pictures taken by a worker, with all that drawing needs.

    ``patches`` are rows of patch id, domain and zone. ``truth_store`` and ``evidence_name`` are
    empty where the labels are hidden: nothing of them is opened. ``attempt`` goes into every later
    call; ``label`` names the submission in logs.
    """

    pictures_id: int
    attempt: int
    archive: str
    task: dict[str, Any]
    patches: list[list[str]]
    truth_store: str
    evidence_name: str
    kit_name: str
    kit_bytes: int
    seed: str
    label: str


def request(evaluation: Evaluation, *, now: datetime) -> PatchPictures | None:
    """Queue the pictures of an evaluation that is scored; None where nothing is published.

    The caller is in a transaction.
    """
    phase = evaluation.submission.entry.phase
    kit = PracticeKit.objects.filter(phase=phase).first()
    if kit is None:
        return None
    return jobs.enqueue(
        evaluation=evaluation,
        kit_sha256=kit.sha256,
        with_labels=_labels_are_public(phase.labels_public, evaluation.ground_truth),
        now=now,
    )


def claim(
    *,
    worker: str,
    label_files: Collection[str],
    evidence_files: Collection[str],
    now: datetime | None = None,
) -> Claim | None:
    """Take the pictures that wait longest of those whose files this worker has, or None.

    Labels and evidence are asked for where the labels are public alone.
    """
    now = now or database_clock.now()
    able = Q(with_labels=False) | Q(
        evaluation__ground_truth__store_name__in=label_files,
        evaluation__score__evidence_name__in=evidence_files,
    )
    with transaction.atomic():
        waiting = jobs.claimable().filter(able, _kit_is_the_same())
        row = (
            waiting.order_by("queued_at", "pk")
            .select_for_update(skip_locked=True, of=("self",))
            .first()
        )
        if row is None:
            return None
        jobs.start_attempt(row, worker=worker, now=now)
    evaluation = Evaluation.objects.select_related(
        "submission__entry__phase__challenge", "submission__entry__phase__kit", "ground_truth",
        "task_spec", "score",
    ).get(pk=row.evaluation_id)  # fmt: skip
    submission, truth = evaluation.submission, evaluation.ground_truth
    phase = submission.entry.phase
    return Claim(
        pictures_id=row.pk,
        attempt=row.attempt,
        archive=submission.archive,
        task=evaluation.task_spec.data,
        patches=list(truth.patches),
        truth_store=truth.store_name if row.with_labels else "",
        evidence_name=evaluation.score.evidence_name if row.with_labels else "",
        kit_name=phase.kit.stored_name,
        kit_bytes=phase.kit.size_bytes,
        seed=str(phase),
        label=f"pictures of {phase} #{submission.number}",
    )


def heartbeat(pictures_id: int, *, attempt: int, stage: str) -> bool:
    """Renew the lease; False: the attempt is over."""
    return jobs.renew(pictures_id, attempt=attempt, now=database_clock.now(), stage=stage[:32])


def complete(
    pictures_id: int,
    *,
    attempt: int,
    choices: Sequence[Choice],
    pictures: Mapping[str, bytes],
) -> None:
    """Store the pictures, by name such as ``0-image``: the number is the patch's among ``choices``.

    Raises Conflict ``late-worker``.
    """
    content = b"".join(pictures.values())
    files: dict[str, list[int]] = {}
    at = 0
    for name, data in pictures.items():
        files[name] = [at, at + len(data)]
        at += len(data)
    stored = default_storage.save(f"{FOLDER}/{uuid.uuid4().hex}.bin", ContentFile(content))
    try:
        with transaction.atomic():
            row = jobs.lock_attempt(pictures_id, attempt=attempt)
            jobs.transition(
                row,
                RunState.SUCCEEDED,
                now=database_clock.now(),
                stored_name=stored,
                files=files,
                rows=[asdict(choice) for choice in choices],
            )
    except BaseException:
        default_storage.delete(stored)
        raise


def mark_failed(pictures_id: int, *, attempt: int, code: str) -> None:
    """Write that there are none: our fault, or the archive is gone. Raises ``late-worker``."""
    with transaction.atomic():
        row = jobs.lock_attempt(pictures_id, attempt=attempt)
        now = database_clock.now()
        jobs.transition(row, RunState.FAILED, now=now, reason=code, error_code=code[:64])


def sweep(*, now: datetime | None = None) -> SweepReport:
    """Remove pictures that nothing is published for any more, queue those that are missing.

    Then, as for every job: queue again what lost workers held, and notify workers.
    """
    now = now or database_clock.now()
    remove_unneeded()
    missing = _without_pictures().select_related("submission__entry__phase", "ground_truth")
    for evaluation in missing.order_by("-pk")[:QUEUED_AT_ONCE]:
        with transaction.atomic():
            locked = Evaluation.objects.select_for_update(of=("self",)).get(pk=evaluation.pk)
            if not PatchPictures.objects.filter(evaluation=locked).exists():
                request(evaluation, now=now)
    for pk in jobs.queued().filter(queued_at__lt=now - WAITED).values_list("pk", flat=True):
        with transaction.atomic():
            row = jobs.lock(pk)
            if row.state == RunState.QUEUED:
                jobs.transition(row, RunState.CANCELLED, now=now, reason="no worker has its files")
    return jobs.sweep(now=now)


def remove_unneeded() -> int:
    """Delete pictures whose archive or kit is gone, or whose labels are hidden now.

    And those of which a newer evaluation of the submission has others. Returns how many.
    """
    kept = Q(evaluation__submission__archive_removed_at__isnull=True) & Q(_kit_is_the_same())
    kept &= Q(
        with_labels=True,
        evaluation__ground_truth__labels_public=True,
        evaluation__submission__entry__phase__labels_public=True,
    ) | Q(with_labels=False)
    newer = PatchPictures.objects.filter(
        evaluation__submission=OuterRef("evaluation__submission"),
        evaluation__gt=OuterRef("evaluation"),
        state=RunState.SUCCEEDED.value,
    )
    needed = PatchPictures.objects.filter(kept).exclude(Exists(newer))
    unneeded = PatchPictures.objects.exclude(pk__in=needed.values("pk"))
    return _delete(unneeded.order_by("pk")[:REMOVED_AT_ONCE])


def remove(submission: Submission) -> None:
    """Delete the pictures of a submission whose archive goes."""
    _delete(PatchPictures.objects.filter(evaluation__submission=submission))


def _delete(rows: Iterable[PatchPictures]) -> int:
    removed = list(rows)
    for row in removed:
        with transaction.atomic():
            row.delete()
            if row.stored_name:
                transaction.on_commit(partial(default_storage.delete, row.stored_name), robust=True)
    return len(removed)


def _labels_are_public(phase_says: bool, truth: GroundTruth) -> bool:
    return phase_says and truth.labels_public


def _kit_is_the_same() -> Exists:
    return Exists(
        PracticeKit.objects.filter(
            phase=OuterRef("evaluation__submission__entry__phase"), sha256=OuterRef("kit_sha256")
        )
    )


def _without_pictures() -> QuerySet[Evaluation]:
    """Evaluations that count now, of phases with a kit, whose pictures nobody asked for yet."""
    scored = Evaluation.objects.filter(
        state=State.SCORED.value,
        submission__archive_removed_at__isnull=True,
        submission__entry__phase__kit__isnull=False,
        ground_truth=F("submission__entry__phase__ground_truth"),
        task_spec=F("submission__entry__phase__task_spec"),
    )
    later = Evaluation.objects.filter(
        submission=OuterRef("submission"),
        pk__gt=OuterRef("pk"),
        state=State.SCORED.value,
        ground_truth=OuterRef("ground_truth"),
        task_spec=OuterRef("task_spec"),
    )
    return scored.filter(~Exists(later), pictures__isnull=True)
