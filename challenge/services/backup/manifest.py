"""The format of a backup: a folder of files by their digests, and a folder for each moment.

::

    FOLDER/files/ab/abcdef…             each file once, named by its SHA-256
    FOLDER/2026-11-30T120000Z/
        database.dump                   pg_dump's custom format
        manifest.json                   written last: without it the moment is not complete
        secrets/secret_key …            unless left out; readable by their owner alone
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath

VERSION = 1
MANIFEST = "manifest.json"
DATABASE = "database.dump"
SECRETS = "secrets"
FILES = "files"
CHUNK_BYTES = 1 << 20
# Where files are: in the site's storage, in LABELS_DIR, in EVIDENCE_DIR.
KINDS = ("stored", "labels", "evidence")
MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{6}Z")
DIGEST = re.compile(r"[0-9a-f]{64}")


class BackupError(Exception):
    """A backup cannot be made, read or restored; the message says why and what to do."""


@dataclass(frozen=True)
class KeptFile:
    """A file of a backup: its size in bytes, and its SHA-256 in hexadecimal."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a backup of one moment has.

    ``files`` are those of each kind (`KINDS`) by name. ``missing`` are the names, ``kind/name``,
    that the database names and that were not there or had another content. ``left_out`` are kinds
    that were not wanted. ``tool_version`` is pg_dump's major version, ``migration`` the last one of
    the dump. ``receipt_key`` is the public key of receipts, ``secret_key_mark`` a keyed digest of
    SECRET_KEY: a restore compares both with its own.
    """

    moment: str
    database: KeptFile
    tool_version: int
    migration: str
    receipt_key: str
    secret_key_mark: str
    files: dict[str, dict[str, KeptFile]]
    missing: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)
    version: int = VERSION

    def digests(self) -> Iterator[KeptFile]:
        """Every file but the database, one after the other."""
        for files in self.files.values():
            yield from files.values()


def write(manifest: Manifest, folder: Path) -> None:
    """Write a moment's manifest: whole, and on the disk, or not at all."""
    draft = folder / f".{MANIFEST}"
    with draft.open("w", encoding="utf-8") as out:
        json.dump(asdict(manifest), out, ensure_ascii=False, sort_keys=True, indent=1)
        out.flush()
        os.fsync(out.fileno())
    draft.chmod(0o600)
    draft.replace(folder / MANIFEST)


def read(folder: Path) -> Manifest:
    """Read a moment's manifest. Raises BackupError for what is none, or leads out of its folder."""
    try:
        values = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if values.get("version") != VERSION:
            raise BackupError(f"{folder}: version {values.get('version')} of backups is not known")
        manifest = Manifest(
            **values
            | {
                "database": KeptFile(**values["database"]),
                "files": {
                    kind: {name: KeptFile(**one) for name, one in files.items()}
                    for kind, files in values["files"].items()
                },
            }
        )
    except FileNotFoundError:
        raise BackupError(f"{folder} has no {MANIFEST}: the backup is not complete") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BackupError(f"{folder / MANIFEST} cannot be read: {error}") from error
    _check_names(manifest)
    return manifest


def _check_names(manifest: Manifest) -> None:
    for kind, files in manifest.files.items():
        if kind not in KINDS:
            raise BackupError(f"{manifest.moment} has files of an unknown kind: {kind}")
        for name, kept in files.items():
            parts = PurePosixPath(name).parts
            inside = parts and not name.startswith("/") and ".." not in parts
            if not inside or (kind != "stored" and len(parts) != 1):
                raise BackupError(f"{manifest.moment} names a file outside its folder: {name}")
            if DIGEST.fullmatch(kept.sha256) is None:
                raise BackupError(f"{manifest.moment} has no digest of {name}")


def moments(folder: Path) -> list[Path]:
    """The complete backups in a folder, oldest first."""
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if MOMENT.fullmatch(path.name)]
    return sorted(path for path in found if (path / MANIFEST).is_file())


def path_of(folder: Path, sha256: str) -> Path:
    """Where the file with this digest is in a folder of backups."""
    return folder / FILES / sha256[:2] / sha256


def has(folder: Path, sha256: str, *, size_bytes: int | None = None) -> bool:
    """Whether a folder of backups has the file with this digest (and size)."""
    try:
        found = path_of(folder, sha256).stat().st_size
    except FileNotFoundError:
        return False
    return size_bytes is None or found == size_bytes


def add(folder: Path, chunks: Iterable[bytes]) -> tuple[KeptFile, bool]:
    """Write a file under its digest, on the disk when this returns; True where it is new."""
    draft = folder / FILES / f".incoming-{os.getpid()}"
    draft.parent.mkdir(mode=0o700, exist_ok=True)
    digest, size_bytes = hashlib.sha256(), 0
    try:
        with draft.open("wb") as out:
            draft.chmod(0o600)
            for chunk in chunks:
                digest.update(chunk)
                size_bytes += out.write(chunk)
            out.flush()
            os.fsync(out.fileno())
        kept = KeptFile(size_bytes, digest.hexdigest())
        is_new = not has(folder, kept.sha256, size_bytes=size_bytes)
        if is_new:
            target = path_of(folder, kept.sha256)
            target.parent.mkdir(mode=0o700, exist_ok=True)
            draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
    return kept, is_new


def file_chunks(path: Path) -> Iterator[bytes]:
    """The bytes of a local file, a mebibyte at a time."""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def measure(chunks: Iterable[bytes]) -> KeptFile:
    """Size and digest of bytes that come in chunks."""
    digest, size_bytes = hashlib.sha256(), 0
    for chunk in chunks:
        digest.update(chunk)
        size_bytes += len(chunk)
    return KeptFile(size_bytes, digest.hexdigest())


def digest_of(path: Path) -> KeptFile:
    """Size and digest of a local file. Raises OSError."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return KeptFile(file.tell(), sha256)


def remove_old(folder: Path, *, keep: int) -> list[str]:
    """Remove all but the newest ``keep`` backups, and the files that only they named."""
    old = moments(folder)[:-keep]
    for moment in old:
        (moment / MANIFEST).unlink()  # first: what is left is no backup any more
        for path in sorted(moment.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        moment.rmdir()
    named = {one.sha256 for moment in moments(folder) for one in read(moment).digests()}
    for path in (folder / FILES).glob("*/*"):
        if path.name not in named:
            path.unlink()
    return [moment.name for moment in old]
