"""The Celery task of galleries: decodes a kit's images in the sandbox and draws their layers.

The labels are opened where they are public and nowhere else.
"""

from __future__ import annotations

import csv
import io
import logging
import os
import socket
import zipfile
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from celery import shared_task
from django.conf import settings
from django.db import close_old_connections

from challenge.errors import Refusal, refuse
from challenge.services.challenges import galleries as service
from challenge.services.challenges.galleries import Claim
from challenge.services.challenges.kit_extras import DATES_NAME, MIN_BANDS, SERIES_FOLDER
from challenge.services.storage import stored_file
from challenge.services.task_queue import TaskName
from challenge.workers import readiness
from challenge.workers.heartbeat import Heartbeat
from scoring.engine.pictures import drawing, images, layers
from scoring.engine.scorer.verdicts import Progress
from scoring.engine.task import specification as specs
from scoring.engine.task.specification import TaskSpec
from scoring.engine.truth.store import PackedTruth

log = logging.getLogger(__name__)

DECODING_TIMEOUT_S = 120.0
AT_ONCE = 16  # images that are decoded together
SIDE_PX = 256


class DrawingFailed(Exception):
    """The kit has no image that can be read."""


@shared_task(name=TaskName.DRAW_GALLERY.value, acks_late=False)
def draw_galleries() -> int:
    """Draw galleries until none waits that this worker has the files for; returns how many."""
    if faults := readiness.faults():
        log.critical("this worker draws nothing: %s", "; ".join(faults))
        return 0
    label_files = readiness.label_files()
    worker = f"{socket.gethostname()}:{os.getpid()}"
    taken = 0
    while claim := service.claim(worker=worker, label_files=label_files):
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
            rows, pictures = _draw(claim, heartbeat)
    except (
        DrawingFailed, Refusal, OSError, ValueError, KeyError, images.ImagesFailed,
        zipfile.BadZipFile,
    ) as error:  # fmt: skip
        code = error.code if isinstance(error, Refusal) else "gallery-not-drawn"
        log.error("%s: %s: %s", claim.label, type(error).__name__, error)
        service.mark_failed(claim.gallery_id, attempt=claim.attempt, code=code)
    else:
        service.complete(claim.gallery_id, attempt=claim.attempt, rows=rows, pictures=pictures)


def _draw(claim: Claim, heartbeat: Heartbeat) -> tuple[list[dict[str, Any]], dict[str, bytes]]:
    """Return the patches and the pictures by name.

    Raises DrawingFailed, Refusal, OSError, ImagesFailed, BadZipFile, and ValueError (also
    StoreError) or KeyError where files are damaged or do not fit each other.
    """
    spec = specs.from_json(claim.task)
    shape = (spec.patch_height_px, spec.patch_width_px)
    rows: list[dict[str, Any]] = []
    pictures: dict[str, bytes] = {}
    with ExitStack() as opened:
        file = opened.enter_context(
            stored_file.open_stored(claim.kit_name, size_bytes=claim.kit_bytes)
        )
        kit = opened.enter_context(zipfile.ZipFile(file))
        dates, series = _dates(kit), _series_dates(kit)
        truth = None
        if claim.truth_store:
            truth = opened.enter_context(
                PackedTruth.open(Path(settings.LABELS_DIR or "") / claim.truth_store)
            )
        for first in range(0, len(claim.patches), AT_ONCE):
            if heartbeat.lost.is_set():  # another kit, or other labels, took its place
                raise refuse("late-worker", attempt=claim.attempt)
            heartbeat.set_progress(Progress("drawing", first, len(claim.patches)))
            part = claim.patches[first : first + AT_ONCE]
            data = [kit.read(f"images/{patch}.tif") for patch, _domain, _zone in part]
            decoded = images.decode(data, shape=shape, timeout_s=DECODING_TIMEOUT_S)
            for (patch, domain, zone), bands in zip(part, decoded, strict=True):
                if bands is None:
                    continue
                drawn = {
                    layer: drawing.image_webp(layers.shrink(pixels, side_px=SIDE_PX))
                    for layer, pixels in layers.compose(bands, bands=claim.bands).items()
                }
                row = {"patch": patch, "domain": domain, "zone": zone, "classes": {}}
                row["date"] = dates.get(patch, "")
                if truth is not None:
                    drawn["labels"], row["classes"] = _labels(truth, patch, spec)
                if strip := _year(kit, patch, series.get(patch)):
                    drawn["year"] = strip
                row["layers"] = list(drawn)
                pictures |= {f"{len(rows)}-{layer}": one for layer, one in drawn.items()}
                rows.append(row)
    if not rows:
        raise DrawingFailed("the kit has no image that can be read")
    return rows, pictures


def _labels(truth: PackedTruth, patch: str, spec: TaskSpec) -> tuple[bytes, dict[str, float]]:
    """Return the picture of a patch's labels, and the share of each class that is there."""
    ids = spec.label_table[truth.read_labels(patch)]
    counts = np.bincount(ids.reshape(-1), minlength=spec.n_classes)
    shares = {str(n): round(count / ids.size, 4) for n, count in enumerate(counts) if count}
    return drawing.class_png(layers.shrink_ids(ids, side_px=SIDE_PX), spec=spec), shares


def _dates(kit: zipfile.ZipFile) -> dict[str, str]:
    """Return when patches were photographed, of a kit that says so."""
    if DATES_NAME not in kit.namelist():
        return {}
    text = kit.read(DATES_NAME).decode()
    return {row["patch"]: row["date"] for row in csv.DictReader(io.StringIO(text))}


def _series_dates(kit: zipfile.ZipFile) -> dict[str, list[date]]:
    name = f"{SERIES_FOLDER}/dates.csv"
    if name not in kit.namelist():
        return {}
    rows = csv.DictReader(io.StringIO(kit.read(name).decode()))
    return {row["patch"]: [date.fromisoformat(one) for one in row["dates"].split()] for row in rows}


def _year(kit: zipfile.ZipFile, patch: str, dates: list[date] | None) -> bytes:
    """Return the strip of a patch's series, empty where it has none."""
    if not dates:
        return b""
    array = np.load(io.BytesIO(kit.read(f"{SERIES_FOLDER}/{patch}.npy")), allow_pickle=False)
    if array.ndim != 4 or array.shape[1] < MIN_BANDS or len(array) != len(dates):
        raise ValueError(f"the series of {patch} is {array.shape} for {len(dates)} dates")
    strip, _months = layers.strip_of_year(array, dates)
    return drawing.image_webp(strip)


def _heartbeat(claim: Claim) -> Heartbeat:
    def renew(progress: Progress) -> bool:
        return service.heartbeat(claim.gallery_id, attempt=claim.attempt, stage=progress.stage)

    return Heartbeat(renew, lease_s=settings.LEASE_S, label=claim.label, stage="reading")
