"""The Celery task of pictures: chooses patches, decodes their images, draws what was predicted.

An archive is read by the strict reader and decoded in the sandbox; of it those patches alone that
are shown. Images come out of the practice kit and are decoded in a sandbox of their own. The labels
are opened where they are public and nowhere else.
"""

from __future__ import annotations

import logging
import os
import socket
import tempfile
import zipfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
from celery import shared_task
from django.conf import settings
from django.db import close_old_connections
from numpy.typing import NDArray

from challenge.errors import Refusal
from challenge.services.storage import archives, stored_file
from challenge.services.submissions import pictures as service
from challenge.services.submissions.pictures import Claim
from challenge.services.task_queue import TaskName
from challenge.workers import readiness
from challenge.workers.comparing import prediction_masks
from challenge.workers.heartbeat import Heartbeat
from scoring.engine.metrics import evidence
from scoring.engine.pictures import choosing, drawing, images
from scoring.engine.pictures.choosing import Choice
from scoring.engine.scorer import child
from scoring.engine.scorer.verdicts import Packed, Progress
from scoring.engine.task import specification as specs
from scoring.engine.task.specification import TaskSpec
from scoring.engine.truth.store import PackedTruth

log = logging.getLogger(__name__)

DECODING_TIMEOUT_S = 120.0


class DrawingFailed(Exception):
    """There are no pictures to draw here; ``code`` says why."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code


@shared_task(name=TaskName.DRAW_PICTURES.value, acks_late=False)
def draw_pictures() -> int:
    """Draw pictures until none waits that this worker has the files for; returns how many."""
    if faults := readiness.faults():
        log.critical("this worker draws nothing: %s", "; ".join(faults))
        return 0
    label_files = readiness.label_files()
    evidence_files = [path.name for path in _folder(settings.EVIDENCE_DIR).iterdir()]
    worker = f"{socket.gethostname()}:{os.getpid()}"
    taken = 0
    while claim := service.claim(
        worker=worker, label_files=label_files, evidence_files=evidence_files
    ):
        taken += 1
        try:
            _work(claim)
        except Refusal as refusal:
            if refusal.code != "late-worker":
                raise
            log.warning("%s: attempt %s is over", claim.label, claim.attempt)
        close_old_connections()
    return taken


def _work(claim: Claim) -> None:
    try:
        with _heartbeat(claim) as heartbeat:
            choices, pictures = _draw(claim, heartbeat)
    except (
        DrawingFailed, Refusal, OSError, ValueError, KeyError, images.ImagesFailed,
        zipfile.BadZipFile,
    ) as error:  # fmt: skip
        code = error.code if isinstance(error, DrawingFailed | Refusal) else "pictures-not-drawn"
        log.error("%s: %s: %s", claim.label, type(error).__name__, error)
        service.mark_failed(claim.pictures_id, attempt=claim.attempt, code=code)
    else:
        service.complete(
            claim.pictures_id, attempt=claim.attempt, choices=choices, pictures=pictures
        )


def _draw(claim: Claim, heartbeat: Heartbeat) -> tuple[list[Choice], dict[str, bytes]]:
    """Return the choices and the pictures by name.

    Raises DrawingFailed, Refusal, OSError, ImagesFailed, BadZipFile, and ValueError (also
    StoreError, EvidenceError) or KeyError where files are damaged or do not fit each other.
    """
    spec = specs.from_json(claim.task)
    choices = _choose(claim)
    found = _images(claim, spec, {choice.patch for choice in choices})
    choices = [choice for choice in choices if choice.patch in found]
    if not choices:
        raise DrawingFailed("pictures-not-drawn", "the kit has no image that can be read")
    numbers = {patch: n for n, patch in enumerate(dict.fromkeys(c.patch for c in choices))}
    heartbeat.set_progress(Progress("drawing", 0, len(numbers)))
    step = images.step_of((spec.patch_height_px, spec.patch_width_px))
    pictures: dict[str, bytes] = {}
    wrong: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="pictures-") as folder, ExitStack() as opened:
        packed = _pack(claim, spec, Path(folder) / "predictions.pack", list(numbers))
        predictions = opened.enter_context(PackedTruth.open(packed))
        truth = None
        if claim.truth_store:
            path = _folder(settings.LABELS_DIR) / claim.truth_store
            truth = opened.enter_context(PackedTruth.open(path))
        for patch, number in numbers.items():
            predicted = predictions.read(patch)[::step, ::step]
            pictures[f"{number}-image"] = drawing.image_webp(found[patch])
            pictures[f"{number}-prediction"] = drawing.class_png(predicted, spec=spec)
            if truth is not None:
                labels = spec.label_table[truth.read_labels(patch)][::step, ::step]
                pictures[f"{number}-labels"] = drawing.class_png(labels, spec=spec)
                pictures[f"{number}-errors"] = drawing.error_png(labels, predicted, spec=spec)
                wrong[patch] = float(np.mean(labels != predicted))
    return [replace(one, wrong=wrong.get(one.patch)) for one in choices], pictures


def _choose(claim: Claim) -> list[Choice]:
    if not claim.truth_store:
        return choosing.samples([row[0] for row in claim.patches], seed=claim.seed)
    return choosing.by_score(evidence.load(_folder(settings.EVIDENCE_DIR) / claim.evidence_name))


def _images(claim: Claim, spec: TaskSpec, patches: set[str]) -> dict[str, NDArray[np.uint8]]:
    """Return the visible bands of the images that can be decoded: the first three, or the first."""
    wanted = sorted(patches)
    with (
        stored_file.open_stored(claim.kit_name, size_bytes=claim.kit_bytes) as file,
        zipfile.ZipFile(file) as kit,
    ):
        data = [kit.read(f"images/{patch}.tif") for patch in wanted]
    decoded = images.decode(
        data, shape=(spec.patch_height_px, spec.patch_width_px), timeout_s=DECODING_TIMEOUT_S
    )
    return {
        patch: bands[:3] if len(bands) >= 3 else bands[:1]
        for patch, bands in zip(wanted, decoded, strict=True)
        if bands is not None
    }


def _pack(claim: Claim, spec: TaskSpec, out: Path, patches: list[str]) -> Path:
    """Write the packed predictions of these patches."""
    with archives.open_local(claim.archive) as path:
        verdict = child.pack(
            spec=prediction_masks(spec, claim.patches),
            archive_path=path,
            out_path=out,
            only_ids=patches,
            timeout_s=settings.SCORER_TIMEOUT_S,
            workers=settings.SCORER_WORKERS,
            memory_bytes=settings.SCORER_MEMORY_BYTES,
        )
    if not isinstance(verdict, Packed):
        raise DrawingFailed("pictures-not-drawn", type(verdict).__name__)
    return out


def _heartbeat(claim: Claim) -> Heartbeat:
    def renew(progress: Progress) -> bool:
        return service.heartbeat(claim.pictures_id, attempt=claim.attempt, stage=progress.stage)

    return Heartbeat(renew, lease_s=settings.LEASE_S, label=claim.label, stage="reading")


def _folder(setting: Path | None) -> Path:
    """Return a folder that `readiness.faults` has found to be set."""
    assert setting is not None
    return Path(setting)
