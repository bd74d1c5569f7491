"""A backup of a site that runs: the files that a snapshot of the database names, then the dump.

Rows are committed after their files were stored, and files are deleted after their rows are gone.
So a snapshot names only files that were there when it was taken; one that is missing a moment later
was deleted meanwhile, or was lost before. Files are copied first without a snapshot (which may take
hours), then those that are new under one; where a file is missing, a newer snapshot tells whether
it is still named (decision 455).
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from challenge.errors import Refusal
from challenge.services import signing
from challenge.services.backup import inventory, manifest, postgres_tools, site_secrets
from challenge.services.backup.inventory import NamedFile
from challenge.services.backup.manifest import DATABASE, BackupError, KeptFile, Manifest
from challenge.services.storage import archives

log = logging.getLogger(__name__)

# Snapshots under which a file may vanish before it counts as lost.
SNAPSHOTS = 3


@dataclass(frozen=True)
class Options:
    """What a backup leaves out, and how many earlier ones stay (None: all)."""

    labels: bool = True
    evidence: bool = True
    secrets: bool = True
    keep: int | None = None


@dataclass
class Made:
    """A finished backup: its folder and manifest, what was copied and what had been there."""

    folder: Path
    manifest: Manifest
    copied: int
    copied_bytes: int
    removed: list[str]


@dataclass
class _Copies:
    """The files copied so far, by kind and name."""

    target: Path
    left_out: frozenset[str]
    before: Manifest | None
    files: dict[str, dict[str, KeptFile]] = field(
        default_factory=lambda: {kind: {} for kind in manifest.KINDS}
    )
    copied: int = 0
    copied_bytes: int = 0

    def copy_named(self) -> list[str]:
        """Copy what the database names and is not copied; returns what is missing."""
        missing = []
        for one in inventory.named_files():
            if one.kind in self.left_out or one.name in self.files[one.kind]:
                continue
            kept = self._known(one) or self._copy(one)
            if kept is not None and one.sha256 in {"", kept.sha256}:
                self.files[one.kind][one.name] = kept
            elif not one.is_elsewhere:
                missing.append(f"{one.kind}/{one.name}")
        return missing

    def keep_only_named(self) -> None:
        """Forget what was copied and is named no more."""
        named = {(one.kind, one.name) for one in inventory.named_files()}
        for kind, files in self.files.items():
            for name in [name for name in files if (kind, name) not in named]:
                del files[name]

    def _known(self, one: NamedFile) -> KeptFile | None:
        """What the folder of backups has of a file already; nothing is read for it."""
        sha256 = one.sha256
        # Names of evidence and of stored files are never used twice; labels are read every time.
        if not sha256 and one.kind != "labels" and self.before is not None:
            kept = self.before.files[one.kind].get(one.name)
            sha256 = kept.sha256 if kept else ""
        if not sha256 or not manifest.has(self.target, sha256):
            return None
        return KeptFile(manifest.path_of(self.target, sha256).stat().st_size, sha256)

    def _copy(self, one: NamedFile) -> KeptFile | None:
        try:
            if one.kind == "stored":
                kept, is_new = manifest.add(self.target, archives.read_whole(one.name))
            else:
                path = folder_of(one.kind) / one.name
                kept, is_new = manifest.add(self.target, manifest.file_chunks(path))
        except FileNotFoundError:
            return None
        except Refusal as refusal:
            if refusal.code == "archive-missing":
                return None
            raise BackupError(f"the storage does not answer: {refusal}") from refusal
        self.copied += is_new
        self.copied_bytes += kept.bytes if is_new else 0
        return kept


def folder_of(kind: str) -> Path:
    """Return LABELS_DIR or EVIDENCE_DIR. Raises BackupError where it is not set."""
    name = {"labels": "LABELS_DIR", "evidence": "EVIDENCE_DIR"}[kind]
    folder = getattr(settings, name)
    if folder is None:
        raise BackupError(
            f"{name} is not set: run this where the workers' folders are, or leave {kind} out "
            f"(--without-{kind})"
        )
    return Path(folder)


def make(target: Path, *, options: Options, now: datetime | None = None) -> Made:
    """Make a backup in ``target``, a folder that may have earlier ones, while the site runs.

    Raises BackupError, OSError; then the folder of the moment is removed. Files that are named and
    not there do not stop it: they are in the manifest (``missing``).
    """
    moment = f"{now or timezone.now():%Y-%m-%dT%H%M%SZ}"
    with _only_one(target):
        tool = postgres_tools.find("pg_dump", at_least=postgres_tools.server_major())
        folder = target / moment
        folder.mkdir(mode=0o700)
        try:
            return _make(target, folder, tool=tool, options=options)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise


def _make(target: Path, folder: Path, *, tool: postgres_tools.Tool, options: Options) -> Made:
    earlier = manifest.moments(target)
    copies = _Copies(
        target,
        left_out=frozenset(
            kind
            for kind, wanted in (("labels", options.labels), ("evidence", options.evidence))
            if not wanted
        ),
        before=manifest.read(earlier[-1]) if earlier else None,
    )
    for kind in ("labels", "evidence"):
        if kind not in copies.left_out:
            folder_of(kind)  # what is not configured is no lost file
    copies.copy_named()
    migration, missing = _dump(copies, folder, tool)
    (folder / DATABASE).chmod(0o600)
    made = Manifest(
        moment=folder.name,
        database=manifest.digest_of(folder / DATABASE),
        tool_version=tool.major,
        migration=migration,
        receipt_key=signing.public_key(),
        secret_key_mark=site_secrets.mark(),
        files=copies.files,
        missing=missing,
        left_out=sorted(copies.left_out),
        secrets=site_secrets.save(folder) if options.secrets else [],
    )
    manifest.write(made, folder)
    removed = manifest.remove_old(target, keep=options.keep) if options.keep else []
    log.info("backup %s: %s files copied, %s missing", folder, copies.copied, len(missing))
    return Made(folder, made, copies.copied, copies.copied_bytes, removed)


def _dump(copies: _Copies, folder: Path, tool: postgres_tools.Tool) -> tuple[str, list[str]]:
    """Copy what a snapshot names and dump that snapshot; its last migration, and what is lost."""
    for tries_left in reversed(range(SNAPSHOTS)):
        with _snapshot_of_database() as snapshot:
            missing = copies.copy_named()
            if missing and tries_left:
                continue
            copies.keep_only_named()
            postgres_tools.run(
                tool,
                "--format=custom",
                "--no-owner",
                "--no-privileges",
                f"--snapshot={snapshot}",
                f"--file={folder / DATABASE}",
            )
            return _last_migration(), missing
    raise AssertionError("the last try returns")


@contextmanager
def _snapshot_of_database() -> Iterator[str]:
    """A transaction that sees one moment of the database; its name is for pg_dump."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        cursor.execute("SELECT pg_export_snapshot()")
        yield str(cursor.fetchone()[0])


def _last_migration() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT max(name) FROM django_migrations WHERE app = 'challenge'")
        return str(cursor.fetchone()[0])


@contextmanager
def _only_one(target: Path) -> Iterator[None]:
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(target / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BackupError(f"another backup is being made in {target}") from None
    else:
        yield
    finally:
        os.close(descriptor)
