"""Whether the labels themselves, handed in as predictions, score 1: on a machine that has them."""

from __future__ import annotations

import warnings
import zipfile
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from django.conf import settings
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile

from challenge.errors import refuse
from challenge.models import Phase
from challenge.selectors.launch import ORACLE
from challenge.services import audit
from scoring.engine.scorer import child
from scoring.engine.scorer.verdicts import Rejected, ScorerFailure
from scoring.engine.task import specification as task_spec
from scoring.engine.task.specification import TaskSpec
from scoring.engine.truth.store import PackedTruth

TIMEOUT_S = 3600.0


class OracleError(Exception):
    """The labels were not scored; the message says why."""


def check(phase: Phase, *, now: datetime | None = None) -> float:
    """Score a phase's labels as predictions, with the scorer of submissions; returns the mIoU.

    The result is kept for the launch check, under these labels and this task. Raises `OracleError`,
    FileNotFoundError without the labels, Refusal ``phase-not-ready``.
    """
    truth, stored = phase.ground_truth, phase.task_spec
    if truth is None or stored is None:
        raise refuse("phase-not-ready")
    if settings.LABELS_DIR is None:
        raise FileNotFoundError("LABELS_DIR is not set: run this on a worker that has the labels")
    path = Path(settings.LABELS_DIR) / truth.store_name
    spec = replace(task_spec.from_json(stored.data), expected=())
    with TemporaryDirectory(prefix="oracle-") as folder:
        archive = Path(folder) / "oracle.zip"
        write_archive(archive, path, spec=spec)
        verdict = child.run(
            spec=spec,
            truth_path=path,
            archive_path=archive,
            evidence_path=None,
            timeout_s=TIMEOUT_S,
        )
    if isinstance(verdict, ScorerFailure):
        raise OracleError(f"{verdict.code}: {verdict.detail}")
    if isinstance(verdict, Rejected):
        raise OracleError("; ".join(problem.message for problem in verdict.problems[:3]))
    miou = float(verdict.card["miou"] or 0.0)
    audit.record(
        ORACLE,
        actor=None,
        challenge=phase.challenge,
        target=phase,
        now=now,
        ground_truth=truth.pk,
        task=stored.pk,
        miou=miou,
    )
    return miou


def write_archive(archive: Path, store: Path, *, spec: TaskSpec) -> None:
    """Write packed labels as an archive of predictions, named as the task asks."""
    with (
        PackedTruth.open(store) as packed,
        zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as target,
    ):
        for patch_id in packed.ids:
            classes = spec.label_table[packed.read_labels(patch_id)]
            target.writestr(spec.prediction_name.replace("{id}", patch_id), _tiff(classes))


def _tiff(classes: NDArray[np.uint8]) -> bytes:
    """A raster uint8[H, W] as a deflated TIFF."""
    height_px, width_px = classes.shape
    with warnings.catch_warnings(), MemoryFile() as memory:
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # a prediction needs no place
        with memory.open(
            driver="GTiff",
            dtype="uint8",
            count=1,
            height=height_px,
            width=width_px,
            compress="deflate",
        ) as raster:
            raster.write(classes, 1)
        return bytes(memory.read())
