"""The gallery of a practice kit: small pictures of its images, drawn once by a worker.

The row is the queue (:mod:`challenge.services.leased_jobs`). What may be drawn follows from what is
published: the kit's images, and the phase's labels where they are public. A gallery goes with its
kit, and another kit, other labels or other bands mean another gallery.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models import Q

from challenge.models import Gallery, GroundTruth, Phase, PracticeKit
from challenge.rules.lifecycle import RUN_TRANSITIONS, RunState
from challenge.selectors import phases
from challenge.services import database_clock
from challenge.services.leased_jobs import LeasedJobs, SweepReport
from challenge.services.task_queue import TaskName

FOLDER = "galleries"
# A gallery shows what the images are like; all of them are in the kit.
MAX_PATCHES = 300
WAITED = timedelta(days=1)  # for a worker that has the labels


class GalleryJobs(LeasedJobs[Gallery]):
    """Galleries as leased jobs."""

    model = Gallery
    states = RunState
    active = RunState.RUNNING
    transitions = RUN_TRANSITIONS
    lease_setting = "LEASE_S"
    task = TaskName.DRAW_GALLERY


jobs = GalleryJobs()


@dataclass(frozen=True)
class Claim:
    """A gallery taken by a worker, with all that drawing needs.

    ``patches`` are rows of patch id, domain and zone. ``truth_store`` is empty where the labels
    are hidden: nothing of them is opened.
    """

    gallery_id: int
    attempt: int
    task: dict[str, Any]
    patches: list[list[str]]
    bands: list[str]
    truth_store: str
    kit_name: str
    kit_bytes: int
    label: str


def refresh(phase: Phase, *, now: datetime | None = None) -> Gallery | None:
    """Queue a gallery where the phase has a kit and no gallery of it as things are now.

    One that is out of date is deleted. The caller may be in a transaction.
    """
    with transaction.atomic():
        locked = Phase.objects.select_for_update(no_key=True, of=("self",)).select_related(
            "challenge", "ground_truth"
        ).defer("public_patches", "ground_truth__patches").get(pk=phase.pk)  # fmt: skip
        kit = PracticeKit.objects.filter(phase=locked).first()
        row = Gallery.objects.filter(phase=locked).first()
        if row is not None and (kit is None or not _is_current(row, kit, locked)):
            _delete(row)
            row = None
        if kit is None or row is not None or locked.task_spec_id is None:
            return row
        return jobs.enqueue(
            phase=locked,
            kit_sha256=kit.sha256,
            ground_truth=public_truth(locked),
            bands=_bands(locked),
            now=now or database_clock.now(),
        )


def public_truth(phase: Phase) -> GroundTruth | None:
    """Return a phase's labels where the phase and they themselves say that they are public."""
    truth = phase.ground_truth
    return truth if truth is not None and truth.labels_public and phase.labels_public else None


def claim(
    *, worker: str, label_files: Collection[str], now: datetime | None = None
) -> Claim | None:
    """Take the gallery that waits longest of those whose labels this worker has, or None."""
    now = now or database_clock.now()
    able = Q(ground_truth__isnull=True) | Q(ground_truth__store_name__in=label_files)
    with transaction.atomic():
        ready = jobs.claimable().filter(able, phase__kit__isnull=False)
        waiting = ready.order_by("queued_at", "pk")
        row = waiting.select_for_update(skip_locked=True, of=("self",)).first()
        if row is None:
            return None
        jobs.start_attempt(row, worker=worker, now=now)
    phase = Phase.objects.select_related(
        "challenge", "task_spec", "ground_truth", "kit"
    ).get(pk=row.phase_id)  # fmt: skip
    listed = phases.expected_patches(phase)
    assert phase.task_spec is not None
    return Claim(
        gallery_id=row.pk,
        attempt=row.attempt,
        task=phase.task_spec.data,
        patches=listed[:: max(1, -(-len(listed) // MAX_PATCHES))],
        bands=list(row.bands),
        truth_store=row.ground_truth.store_name if row.ground_truth else "",
        kit_name=phase.kit.stored_name,
        kit_bytes=phase.kit.size_bytes,
        label=f"gallery of {phase}",
    )


def heartbeat(gallery_id: int, *, attempt: int, stage: str) -> bool:
    """Renew the lease; False: the attempt is over."""
    return jobs.renew(gallery_id, attempt=attempt, now=database_clock.now(), stage=stage[:32])


def complete(
    gallery_id: int,
    *,
    attempt: int,
    rows: Sequence[Mapping[str, Any]],
    pictures: Mapping[str, bytes],
) -> None:
    """Store the pictures, by name such as ``0-height``: the number is the patch's in ``rows``.

    Raises Conflict ``late-worker``.
    """
    files: dict[str, list[int]] = {}
    at = 0
    for name, data in pictures.items():
        files[name] = [at, at + len(data)]
        at += len(data)
    content = ContentFile(b"".join(pictures.values()))
    stored = default_storage.save(f"{FOLDER}/{uuid.uuid4().hex}.bin", content)
    try:
        with transaction.atomic():
            row = jobs.lock_attempt(gallery_id, attempt=attempt)
            jobs.transition(
                row,
                RunState.SUCCEEDED,
                now=database_clock.now(),
                stored_name=stored,
                files=files,
                rows=[dict(one) for one in rows],
            )
    except BaseException:
        default_storage.delete(stored)
        raise


def mark_failed(gallery_id: int, *, attempt: int, code: str) -> None:
    """Write that there is none. Raises ``late-worker``."""
    with transaction.atomic():
        row = jobs.lock_attempt(gallery_id, attempt=attempt)
        now = database_clock.now()
        jobs.transition(row, RunState.FAILED, now=now, reason=code, error_code=code[:64])


def sweep(*, now: datetime | None = None) -> SweepReport:
    """Delete galleries that are out of date, queue those that are missing, notify workers."""
    now = now or database_clock.now()
    kits = {kit.phase_id: kit for kit in PracticeKit.objects.all()}
    rows = {row.phase_id: row for row in Gallery.objects.defer("rows", "files")}
    concerned = Phase.objects.filter(pk__in=kits.keys() | rows.keys()).select_related(
        "challenge", "ground_truth"
    )
    for phase in concerned.defer("public_patches", "ground_truth__patches"):
        kit, row = kits.get(phase.pk), rows.get(phase.pk)
        if kit is None or row is None or not _is_current(row, kit, phase):
            refresh(phase, now=now)
    for pk in jobs.queued().filter(queued_at__lt=now - WAITED).values_list("pk", flat=True):
        with transaction.atomic():
            waiting = jobs.lock(pk)
            if waiting.state == RunState.QUEUED:
                reason = "no worker has its files"
                jobs.transition(waiting, RunState.CANCELLED, now=now, reason=reason)
    return jobs.sweep(now=now)


def _is_current(row: Gallery, kit: PracticeKit, phase: Phase) -> bool:
    truth = public_truth(phase)
    wanted = (kit.sha256, truth.pk if truth else None, _bands(phase))
    return (row.kit_sha256, row.ground_truth_id, list(row.bands)) == wanted


def _bands(phase: Phase) -> list[str]:
    images = phase.challenge.facts.get("images") or {}
    return list(images.get("bands") or [])


def _delete(row: Gallery) -> None:
    row.delete()
    if row.stored_name:
        transaction.on_commit(partial(default_storage.delete, row.stored_name), robust=True)
