"""What a scoring worker lacks on its own machine: one that lacks anything claims nothing.

Another worker may have it. The worker's health check says what is missing
(:mod:`challenge.config.liveness`).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from django.conf import settings

from challenge.services.task_queue import Queue
from scoring.engine import resource_limits
from scoring.engine.decode import sandbox

MIB = 2**20


def faults() -> list[str]:
    """Return what keeps this worker from scoring, each with what to do; empty: nothing does."""
    found = []
    try:
        sandbox.require()
    except sandbox.IsolationUnavailable as error:
        found.append(str(error))
    labels = settings.LABELS_DIR
    if labels is None:
        found.append("LABELS_DIR is not set: this worker has no labels")
    elif not os.access(labels, os.R_OK | os.X_OK):
        found.append(f"LABELS_DIR {labels} is no folder that this worker can read")
    evidence = settings.EVIDENCE_DIR
    if evidence is None:
        found.append("EVIDENCE_DIR is not set: this worker cannot keep evidence")
    else:
        found += _folder_faults("EVIDENCE_DIR", Path(evidence), create=True)
    return found + _folder_faults("the folder for temporary files", Path(tempfile.gettempdir()))


def label_files() -> list[str]:
    """Return the names of the files of labels that this worker has: packed labels and splits."""
    with os.scandir(settings.LABELS_DIR) as entries:
        return [entry.name for entry in entries if entry.is_file()]


def _folder_faults(name: str, folder: Path, *, create: bool = False) -> list[str]:
    """Return why nothing can be written into a folder, by writing something."""
    try:
        if create:
            folder.mkdir(parents=True, exist_ok=True)
        free_bytes = shutil.disk_usage(folder).free
        if free_bytes < settings.WORKER_MIN_FREE_BYTES:
            needed_mib = settings.WORKER_MIN_FREE_BYTES // MIB
            found = f"{name} {folder} has {free_bytes // MIB} MiB free"
            return [f"{found}, {needed_mib} MiB are needed (WORKER_MIN_FREE): make room"]
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0" * 4096)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return [f"nothing can be written into {name} {folder}: {resource_limits.describe(error)}"]
    return []


def consumes_scoring(sender: Any) -> bool:
    """Whether a worker that Celery's signal names takes scoring tasks."""
    return Queue.SCORING in sender.app.amqp.queues.consume_from
