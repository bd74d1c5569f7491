"""Packed labels on their way to scoring workers: sealed for their key, in storage, by digest.

The labels worker puts each file of LABELS_DIR that scoring needs into storage; a scoring worker on
another machine, with a LABELS_DIR of its own, fetches what it lacks, opens it and compares the
digest of its masks (or the commitment of its split) with the database before it is used.
"""

from __future__ import annotations

import logging
import os
import secrets
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path

from django.conf import settings
from django.core.files.base import File
from django.core.files.storage import default_storage

from challenge.errors import Refusal
from challenge.models import Evaluation, GroundTruth
from challenge.rules.lifecycle import State
from challenge.services.challenges.ground_truth import PARTIAL
from challenge.services.labels import keys
from challenge.services.storage import archives
from scoring.engine.truth import sealed, sealing_keys, store
from scoring.engine.truth import split as splits
from scoring.engine.truth.sealed import Context, Kind
from scoring.engine.truth.sealing_keys import PrivateKey, SealError
from scoring.engine.truth.split import SplitError
from scoring.engine.truth.store import StoreError

log = logging.getLogger(__name__)

FOLDER = "labels"


def stored_name(file_name: str, *, key: PrivateKey) -> str:
    """Return where in storage a file of labels is, sealed for a scoring key."""
    mark = sealing_keys.fingerprint(sealing_keys.public_bytes(key))[:16]
    return f"{FOLDER}/{mark}/{file_name}.sealed"


def distribute() -> int:
    """Seal into storage what of this LABELS_DIR is not there yet; returns how many files.

    Nothing without SCORING_KEY_DIR. Raises SealError, OSError.
    """
    key = keys.scoring_key()
    if key is None or settings.LABELS_DIR is None:
        return 0
    count = 0
    for truth in GroundTruth.objects.select_related("challenge").defer("patches"):
        for name in file_names(truth):
            path = Path(settings.LABELS_DIR) / name
            target = stored_name(name, key=key)
            if path.is_file() and not default_storage.exists(target):
                _seal_into_storage(path, target, truth, key)
                count += 1
    return count


def fetch_missing(label_files: Collection[str]) -> list[str]:
    """Fetch the labels that queued evaluations wait for and this machine lacks; their names.

    Nothing without SCORING_KEY_DIR, or where LABELS_DIR cannot be written: there the labels worker
    writes it. What cannot be fetched is logged, and left to another worker.
    """
    folder = settings.LABELS_DIR
    if settings.SCORING_KEY_DIR is None or folder is None or not os.access(folder, os.W_OK):
        return []
    waiting = Evaluation.objects.filter(state=State.QUEUED.value).values("ground_truth")
    fetched = []
    truths = GroundTruth.objects.filter(pk__in=waiting).select_related("challenge")
    for truth in truths.defer("patches"):
        for name in file_names(truth):
            if name in label_files:
                continue
            try:
                key = keys.scoring_key()
                assert key is not None
                _fetch(name, truth, Path(folder), key)
            except (SealError, StoreError, SplitError, Refusal, OSError) as error:
                log.error("%s cannot be fetched: %s", name, error)
            else:
                log.info("%s was fetched and is what was installed", name)
                fetched.append(name)
    return fetched


def file_names(truth: GroundTruth) -> list[str]:
    """Return the plain names of the files in LABELS_DIR that scoring with a truth needs."""
    names = [truth.store_name]
    if truth.is_split:
        names.append(splits.file_name(truth.split_commitment))
    return [name for name in names if Path(name).name == name and not name.startswith(".")]


def _context(name: str, truth: GroundTruth) -> Context:
    return Context(truth.challenge.slug, truth.name, name)


def _seal_into_storage(path: Path, target: str, truth: GroundTruth, key: PrivateKey) -> None:
    with path.open("rb") as source, tempfile.TemporaryFile() as file:
        sealed.seal(
            source,
            file,
            size_bytes=path.stat().st_size,
            kind=Kind.LABEL_FILE,
            context=_context(path.name, truth),
            recipients=[sealing_keys.public_bytes(key)],
        )
        file.seek(0)
        saved = default_storage.save(target, File(file))
    if saved != target:  # another labels worker was first
        default_storage.delete(saved)


def _fetch(name: str, truth: GroundTruth, folder: Path, key: PrivateKey) -> None:
    """Put one file into LABELS_DIR once it is known to be the right one."""
    unfinished = folder / f".{name}.{secrets.token_hex(8)}{PARTIAL}"
    check = _check_of(name, truth)
    try:
        unfinished.touch(mode=0o600, exist_ok=False)
        with (
            archives.open_local(stored_name(name, key=key)) as path,
            path.open("rb") as source,
            unfinished.open("wb") as target,
        ):
            sealed.unseal(
                source,
                target,
                sealed_bytes=path.stat().st_size,
                kind=Kind.LABEL_FILE,
                context=_context(name, truth),
                key=key,
            )
            target.flush()
            os.fsync(target.fileno())
        check(unfinished)
        unfinished.replace(folder / name)
    finally:
        unfinished.unlink(missing_ok=True)


def _check_of(name: str, truth: GroundTruth) -> Callable[[Path], object]:
    """Return what raises StoreError or SplitError for a file with another content."""
    if name != truth.store_name:
        return lambda path: splits.load(path, committed=truth.split_commitment)

    def check(path: Path) -> None:
        if store.verify(path).digest != truth.digest:
            raise StoreError(name, "holds other labels than the database names")

    return check
