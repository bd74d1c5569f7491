"""Checks of this host: versions, settings, folders, free space, labels, isolation."""

from __future__ import annotations

import logging
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import django
from django.conf import settings
from django.core import checks
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, default_storage, storages
from django.db import Error
from django.utils.crypto import get_random_string

from challenge.models import GroundTruth
from challenge.services.installation.findings import Finding, error, ok, warning
from scoring import __version__
from scoring.engine.decode import sandbox
from scoring.engine.truth import split

log = logging.getLogger(__name__)

MIB = 2**20
NAMED_MAX = 3


def versions() -> Iterator[Finding]:
    """What runs here."""
    yield ok(
        "versions",
        f"platform {__version__}, Python {platform.python_version()}, "
        f"Django {django.get_version()}, Linux {platform.release()}",
    )


def configuration() -> Iterator[Finding]:
    """Django's system checks, and ours."""
    found = [one for one in checks.run_checks() if not one.is_silenced()]
    for one in found:
        make = error if one.level >= checks.ERROR else warning
        yield make("settings", f"{one.msg} ({one.id})", str(one.hint or "See docs/settings.md."))
    if settings.DEBUG:
        advice = "Unset DEBUG: it shows source and settings."
        yield warning("settings", "DEBUG is on", advice)
    if not found:
        yield ok("settings", "no check complains")


def storage() -> Iterator[Finding]:
    """The storage of archives: writes, reads and deletes a small file."""
    name = f"doctor-{get_random_string(12)}"
    try:
        name = default_storage.save(name, ContentFile(b"written by doctor"))
        with default_storage.open(name) as file:
            whole = file.read() == b"written by doctor"
        default_storage.delete(name)
    # A store's client has errors of its own for each of its faults.
    except Exception as problem:
        log.debug("the storage failed", exc_info=True)
        yield error(
            "storage",
            f"{type(problem).__name__}: {problem}",
            "Correct STORAGE_URL; the folder must belong to this user, a bucket's key needs the "
            "rights in docs/operating.md.",
        )
        return
    if whole:
        yield ok("storage", "writes, reads and deletes")
    else:
        yield error("storage", "returned other bytes", "Look at what lies before the store.")


def folders() -> Iterator[Finding]:
    """Folders that this process writes, and their free space."""
    wanted = {
        "UPLOADS_DIR": (settings.UPLOADS_DIR, settings.UPLOAD_RESERVE_BYTES),
        "the folder for temporary files": (
            Path(tempfile.gettempdir()),
            settings.WORKER_MIN_FREE_BYTES,
        ),
    }
    if isinstance(storages["default"], FileSystemStorage):
        stored = Path(default_storage.path(""))
        wanted["STORAGE_URL"] = (stored, settings.UPLOAD_RESERVE_BYTES)
    if settings.EVIDENCE_DIR:
        wanted["EVIDENCE_DIR"] = (Path(settings.EVIDENCE_DIR), settings.WORKER_MIN_FREE_BYTES)
    for name, (folder, needed_bytes) in wanted.items():
        yield _folder(name, folder, needed_bytes=needed_bytes)


def _folder(name: str, folder: Path, *, needed_bytes: int) -> Finding:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0")
        free_bytes = shutil.disk_usage(folder).free
    except OSError as problem:
        user = f"user {os.geteuid()}"
        advice = f"Let {user} write it, or set {name} to a folder that it may write."
        return error("disk", f"{name} {folder} cannot be written: {problem}", advice)
    found = f"{name} {folder} has {free_bytes // MIB} MiB free"
    if free_bytes < needed_bytes:
        return error("disk", f"{found}, {needed_bytes // MIB} MiB are needed", "Make room.")
    return ok("disk", found)


def labels() -> Iterator[Finding]:
    """Where ``LABELS_DIR`` is set (a worker's machine): labels, and isolation of decoders."""
    if settings.LABELS_DIR is None:
        yield ok("labels", "LABELS_DIR is not set: this process scores nothing, as the web should")
        return
    folder = Path(settings.LABELS_DIR)
    try:
        present = {entry.name for entry in os.scandir(folder)}
        wanted = list(GroundTruth.objects.order_by("pk"))
    except OSError as problem:
        advice = f"Mount it readable for user {os.geteuid()}."
        yield error("labels", f"LABELS_DIR cannot be read: {problem}", advice)
        wanted = []
    except Error:
        wanted = []  # said of the database already
    else:
        files = [truth.store_name for truth in wanted]
        files += [split.file_name(one.split_commitment) for one in wanted if one.is_split]
        missing = [name for name in files if name not in present]
        if missing:
            named = ", ".join(missing[:NAMED_MAX]) + (" …" if len(missing) > NAMED_MAX else "")
            yield warning(
                "labels",
                f"{len(missing)} of {len(files)} files are missing: {named}",
                "Their submissions wait for a worker that has them; SCORING_KEY_DIR lets this one "
                "fetch them.",
            )
        else:
            yield ok("labels", f"{len(files)} of {len(files)} files")
    try:
        yield ok("isolation", str(sandbox.require()))
    except sandbox.IsolationUnavailable as problem:
        advice = "Use Linux 5.13 or newer, and a container runtime that allows Landlock's calls."
        yield error("isolation", str(problem), advice)
