"""A site out of a backup: all is checked before anything is written, the database comes last.

So no row is seen whose file is not there, and a restore that stops midway has written only files,
which the next one finds. Sessions, queued mails and leases are those of the backup's moment: the
sweep takes up what was being scored.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from django.conf import settings
from django.core.files.base import File
from django.core.files.storage import default_storage
from django.db import ProgrammingError, connection, transaction
from django.db.migrations.loader import MigrationLoader

from challenge.services.backup import manifest, postgres_tools, site_secrets
from challenge.services.backup.making import folder_of
from challenge.services.backup.manifest import DATABASE, BackupError, KeptFile, Manifest
from challenge.services.storage import archives

log = logging.getLogger(__name__)

REPLACED = "replaced_by_restore"


@dataclass(frozen=True)
class Options:
    """What may be overwritten and left out.

    ``replace`` is the name of the database, given by whoever wants its present content replaced.
    ``other_keys``: restore although this process has other keys than the backup's site.
    """

    replace: str = ""
    other_keys: bool = False
    labels: bool = True
    evidence: bool = True


@dataclass
class Restored:
    """What a restore did: files written and found there, by kind; keys written; notes."""

    manifest: Manifest
    written: dict[str, int] = field(default_factory=dict)
    present: dict[str, int] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def choose(source: Path) -> Path:
    """Return the backup that a folder is, or the newest of those in it. Raises BackupError."""
    if (source / manifest.MANIFEST).is_file():
        return source
    found = manifest.moments(source)
    if not found:
        raise BackupError(f"{source} has no complete backup")
    return found[-1]


def check(folder: Path) -> Manifest:
    """Read every byte of a backup. Raises BackupError, which names what is damaged or missing."""
    kept = manifest.read(folder)
    faults = list(_faults(folder, kept))
    if faults:
        shown = "\n".join(faults[:20])
        raise BackupError(f"{len(faults)} files of {folder} are not as they were:\n{shown}")
    return kept


def _faults(folder: Path, kept: Manifest) -> Iterator[str]:
    checked: set[str] = set()
    if not _is(folder / DATABASE, kept.database):
        yield DATABASE
    for kind, files in kept.files.items():
        for name, one in files.items():
            if one.sha256 not in checked and not _is(
                manifest.path_of(folder.parent, one.sha256), one
            ):
                yield f"{kind}/{name}"
            checked.add(one.sha256)


def _is(path: Path, expected: KeptFile) -> bool:
    try:
        return manifest.digest_of(path) == expected
    except FileNotFoundError:
        return False


def restore(folder: Path, *, options: Options) -> Restored:
    """Write a backup's files, keys and database into this site.

    Raises BackupError before anything was written for a damaged backup, one of a newer release,
    other keys, a database that is in use, or has tables and was not named, files of the same names
    with another content; OSError.
    """
    kept = check(folder)
    tool = postgres_tools.find(
        "pg_restore", at_least=max(kept.tool_version, postgres_tools.server_major())
    )
    _check_release(kept)
    differences = site_secrets.differences(kept)
    if differences and not options.other_keys:
        raise BackupError(
            f"{'; '.join(differences)}. Set the keys from {folder / manifest.SECRETS} "
            "(SECRET_KEY_FILE, RECEIPT_KEY_FILE), or say --other-keys"
        )
    replaces = _check_database(options.replace)
    restored = Restored(kept, notes=differences)
    kinds = _kinds(kept, options, restored)
    _write_files(folder, kept, kinds, restored)
    restored.keys, notes = site_secrets.restore(folder, kept)
    restored.notes += notes
    _write_database(folder, tool, replaces=replaces)
    log.info("restored the backup %s", folder)
    return restored


def _check_release(kept: Manifest) -> None:
    known = MigrationLoader(None).disk_migrations or {}
    if ("challenge", kept.migration) not in known:
        raise BackupError(
            f"the backup was made by a newer release (migration {kept.migration}): install that one"
        )


def _check_database(replace: str) -> bool:
    """Whether present tables are to be replaced. Raises BackupError."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_database(), (SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND backend_type = 'client backend'), (SELECT count(*) FROM pg_tables"
            " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')),"
            " to_regnamespace(%s) IS NOT NULL",
            [REPLACED],
        )
        name, others, tables, has_replaced = cursor.fetchone()
    if tables and replace != name:
        raise BackupError(
            f"the database {name} has {tables} tables: nothing was written. To replace all of "
            f"them say --replace {name}"
        )
    if others:
        raise BackupError(
            f"{others} other connections use the database {name}: stop web, workers and beat"
        )
    if has_replaced:
        raise BackupError(
            f"an earlier restore was stopped: the former tables are in the schema {REPLACED}. Drop "
            "it, or the database, first"
        )
    return bool(tables)


def _kinds(kept: Manifest, options: Options, restored: Restored) -> list[str]:
    """The kinds of files that are written here."""
    wanted = {"stored": True, "labels": options.labels, "evidence": options.evidence}
    kinds = []
    for kind, files in kept.files.items():
        if wanted[kind] and files:
            if kind != "stored":
                folder_of(kind)
            kinds.append(kind)
        elif files:
            restored.notes.append(f"{len(files)} files of {kind} were left in the backup")
    return kinds


def _write_files(folder: Path, kept: Manifest, kinds: list[str], restored: Restored) -> None:
    """Write what is not there yet; nothing at all where a file of the name has another content."""
    todo: dict[str, list[str]] = {kind: [] for kind in kinds}
    other = []
    for kind in kinds:
        for name, one in kept.files[kind].items():
            there = _present(kind, name)
            if there is None:
                todo[kind].append(name)
            elif there != one:
                other.append(f"{kind}/{name}")
    if other:
        shown = "\n".join(other[:20])
        raise BackupError(
            f"nothing was written: {len(other)} files here have the names of the backup's and "
            f"another content:\n{shown}"
        )
    for kind, names in todo.items():
        for name in names:
            source = manifest.path_of(folder.parent, kept.files[kind][name].sha256)
            _write_file(kind, name, source)
        restored.written[kind] = len(names)
        restored.present[kind] = len(kept.files[kind]) - len(names)


def _present(kind: str, name: str) -> KeptFile | None:
    if kind != "stored":
        path = folder_of(kind) / name
        return manifest.digest_of(path) if path.is_file() else None
    if not default_storage.exists(name):
        return None
    return manifest.measure(archives.read_whole(name))


def _write_file(kind: str, name: str, source: Path) -> None:
    if kind == "stored":
        with source.open("rb") as file:
            saved = default_storage.save(name, File(file))
        if saved != name:
            default_storage.delete(saved)
            raise BackupError(f"the storage would call {name} {saved}: is something else writing?")
        return
    target = folder_of(kind) / name
    target.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    draft = target.with_name(f".{name}.restoring")
    with draft.open("wb") as out:
        draft.chmod(0o600)
        for chunk in manifest.file_chunks(source):
            out.write(chunk)
        out.flush()
        os.fsync(out.fileno())
    draft.replace(target)


def _write_database(folder: Path, tool: postgres_tools.Tool, *, replaces: bool) -> None:
    """Restore the dump in one transaction; what was there is dropped only after."""
    if replaces:
        _execute(
            f"ALTER SCHEMA public RENAME TO {REPLACED}",
            "CREATE SCHEMA public",
            "GRANT USAGE ON SCHEMA public TO PUBLIC",
        )
    try:
        connection.close()
        postgres_tools.run(
            tool,
            "--single-transaction",
            "--exit-on-error",
            "--no-owner",
            "--no-privileges",
            str(folder / DATABASE),
        )
    except BaseException:
        if replaces:
            _execute("DROP SCHEMA public CASCADE", f"ALTER SCHEMA {REPLACED} RENAME TO public")
        raise
    if replaces:
        _execute(f"DROP SCHEMA {REPLACED} CASCADE")


def _execute(*statements: str) -> None:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
    except ProgrammingError as error:
        raise BackupError(
            f"{statement} is not allowed ({error}): restore as the owner of the database, or into "
            f"an empty one. User: {settings.DATABASES['default']['USER']}"
        ) from error
