"""Uploaded archives in storage: streamed in, opened on the worker, swept when orphaned.

Whoever stored an archive deletes it when the submission is refused. An archive that neither a
Submission nor an Upload names, as after a crash, is an orphan and is swept after a day. Nothing
that a submission keeps is ever deleted here (:mod:`retention` decides that).
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import unicodedata
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import IO

from django.core.files.base import File
from django.core.files.storage import default_storage
from django.utils import timezone

from challenge.errors import Refusal, refuse
from challenge.models import Submission, Upload
from challenge.services.storage import object_store, scratch

CHUNK_BYTES = 1 << 20
FOLDER = "archives"
ORPHAN_AGE = timedelta(days=1)


@dataclass(frozen=True)
class StoredArchive:
    """An archive in storage: its name there, digest, size, and what its owner called it."""

    name: str
    sha256: str
    bytes: int
    original_name: str


class _HashingReader(File):  # type: ignore[type-arg]  # no generic at run time
    """Reads a stream in chunks, counts and hashes them, refuses more than the limit."""

    def __init__(self, stream: IO[bytes], *, limit_bytes: int) -> None:
        super().__init__(stream, name="archive")
        self._stream = stream
        self.limit_bytes = limit_bytes
        self.digest = hashlib.sha256()
        self.bytes = 0

    def read(self, size: int = CHUNK_BYTES) -> bytes:
        chunk: bytes = self._stream.read(CHUNK_BYTES if size < 0 else size)
        self.bytes += len(chunk)
        if self.bytes > self.limit_bytes:
            raise refuse("archive-too-large", limit_bytes=self.limit_bytes)
        self.digest.update(chunk)
        return chunk

    def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
        while chunk := self.read(chunk_size or CHUNK_BYTES):
            yield chunk

    def multiple_chunks(self, chunk_size: int | None = None) -> bool:
        return True

    def seekable(self) -> bool:
        return False


def new_name(key: uuid.UUID) -> str:
    """The name that a new archive gets in storage: in a folder of today."""
    return f"{FOLDER}/{timezone.now():%Y-%m-%d}/{key.hex}.zip"


def store(stream: IO[bytes], *, original_name: str, limit_bytes: int) -> StoredArchive:
    """Stream an archive to storage, a megabyte at a time, hashing on the way.

    ``stream`` is read from where it stands. Raises TooLarge ``archive-too-large`` as soon as more
    than ``limit_bytes`` came, Refusal ``archive-empty``; then nothing is left in storage.
    """
    name = new_name(uuid.uuid4())
    reader = _HashingReader(stream, limit_bytes=limit_bytes)
    try:
        saved = default_storage.save(name, reader)
        if reader.bytes == 0:
            raise refuse("archive-empty")
    except BaseException:
        default_storage.delete(name)
        raise
    return StoredArchive(
        name=saved,
        sha256=reader.digest.hexdigest(),
        bytes=reader.bytes,
        original_name=clean_name(original_name),
    )


def store_file(path: Path, *, original_name: str) -> StoredArchive:
    """Store a complete local file, hashed once; ``path`` itself stays where it is.

    On one file system nothing is copied: storage gets a hard link to the file, so a process
    killed between this and the row that names the archive has lost nothing. Raises Refusal
    ``archive-empty``.
    """
    size_bytes = path.stat().st_size
    name = new_name(uuid.uuid4())
    try:
        target = Path(default_storage.path(name))
        target.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        os.link(path, target)
    except (NotImplementedError, OSError):  # an object store, or another file system
        with path.open("rb") as stream:
            return store(stream, original_name=original_name, limit_bytes=size_bytes)
    try:
        if size_bytes == 0:
            raise refuse("archive-empty")
        with target.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256")
    except BaseException:
        target.unlink()
        raise
    return StoredArchive(
        name=name,
        sha256=digest.hexdigest(),
        bytes=size_bytes,
        original_name=clean_name(original_name),
    )


def clean_name(name: str) -> str:
    """Return a file name fit to be shown: no folder, no control or direction characters.

    >>> clean_name("C:\\\\preds\\\\a\\u202eb.zip")
    'ab.zip'
    """
    last = PurePosixPath(name.replace("\\", "/")).name
    shown = "".join(c for c in last if unicodedata.category(c) not in {"Cc", "Cf", "Cs"})
    return shown.strip()[:255]


@contextmanager
def open_local(name: str) -> Iterator[Path]:
    """Give a local path of a stored archive; what was downloaded for it is removed after.

    Raises Conflict ``archive-missing`` when storage does not have it, Refusal
    ``archive-unreachable`` when an object store does not answer, OSError of a folder.
    """
    try:
        local = Path(default_storage.path(name))
    except NotImplementedError:
        with tempfile.TemporaryDirectory(prefix=scratch.PREFIX) as folder:
            local = Path(folder) / "archive.zip"
            with local.open("wb") as target:
                for chunk in _object_chunks(name):
                    target.write(chunk)
            yield local
        return
    if not local.is_file():
        raise refuse("archive-missing")
    yield local


def read_whole(name: str) -> Iterator[bytes]:
    """Return all bytes of a stored file, a chunk at a time; nothing is kept on the disk.

    Raises, before the first chunk is asked for, Conflict ``archive-missing``, Refusal
    ``archive-unreachable``; later OSError, or Refusal ``archive-unreachable``.
    """
    if object_store.configured_store() is None:
        if not default_storage.exists(name):
            raise refuse("archive-missing")
        return _read_local(name)
    chunks = _refusing(_object_chunks(name))
    return chain([next(chunks, b"")], chunks)


def _read_local(name: str) -> Iterator[bytes]:
    with default_storage.open(name, "rb") as stored:
        yield from stored.chunks(CHUNK_BYTES)


def _refusing(chunks: Iterator[bytes]) -> Iterator[bytes]:
    with _refusals():
        yield from chunks


def _object_chunks(name: str) -> Iterator[bytes]:
    store = object_store.configured_store()
    if store is None:
        raise NotImplementedError("archives are kept in a folder or in an S3-compatible store")
    with _refusals():
        yield from store.read_object(name)


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except object_store.ObjectNotFound:
        raise refuse("archive-missing") from None
    except object_store.StoreUnavailable as error:
        raise refuse("archive-unreachable") from error


def has_digest(path: Path, *, sha256: str) -> bool:
    """Whether a local file has the bytes that were accepted."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() == sha256


def read_range(submission: Submission, *, first: int, end: int) -> Iterator[bytes]:
    """Return a submission's archive from byte ``first`` up to ``end``, a chunk at a time.

    From an object store these bytes alone are fetched. Raises, before the first chunk is asked
    for, Gone ``archive-removed``, Conflict ``archive-missing``, Refusal ``archive-unreachable``.
    """
    if submission.archive_removed_at is not None:
        raise removed_refusal(submission)
    return read_stored(submission.archive, first=first, end=end)


def read_stored(name: str, *, first: int, end: int) -> Iterator[bytes]:
    """Return a stored file from byte ``first`` up to ``end``, a chunk at a time.

    Raises, before the first chunk is asked for, Conflict ``archive-missing``, Refusal
    ``archive-unreachable``.
    """
    store = object_store.configured_store()
    if store is None:
        if not default_storage.exists(name):
            raise refuse("archive-missing")
        return _read_local_range(name, first, end)
    chunks = store.read_object(name, first=first, end=end)
    with _refusals():
        first_chunk = next(chunks, b"")
    return chain([first_chunk], chunks)


def read_start(name: str, *, size_bytes: int) -> bytes:
    """Return the first bytes of a stored archive.

    Raises Conflict ``archive-missing``, Refusal ``archive-unreachable``.
    """
    store = object_store.configured_store()
    if store is not None:
        with _refusals():
            return b"".join(store.read_object(name, first=0, end=size_bytes))
    if not default_storage.exists(name):
        raise refuse("archive-missing")
    return b"".join(_read_local_range(name, 0, size_bytes))


def _read_local_range(name: str, first: int, end: int) -> Iterator[bytes]:
    with default_storage.open(name, "rb") as stored:  # not before the first chunk is asked for
        stored.seek(first)
        left = end - first
        while left > 0 and (chunk := stored.read(min(CHUNK_BYTES, left))):
            left -= len(chunk)
            yield chunk


def removed_refusal(submission: Submission) -> Refusal:
    """The refusal of whoever asks for an archive that was removed."""
    return refuse("archive-removed", removed_at=f"{submission.archive_removed_at:%Y-%m-%d}")


def delete(name: str) -> None:
    """Delete a stored archive unless a submission keeps it."""
    if name and not _names_of_submissions({name}):
        default_storage.delete(name)


def sweep_orphans(*, now: datetime | None = None, older_than: timedelta = ORPHAN_AGE) -> int:
    """Delete archives that no submission keeps and no upload names, from folders of past days.

    Returns how many were deleted.
    """
    before = ((now or timezone.now()) - older_than).date().isoformat()
    if not default_storage.exists(FOLDER):
        return 0
    deleted = 0
    for day in default_storage.listdir(FOLDER)[0]:
        if day >= before:
            continue
        names = {f"{FOLDER}/{day}/{file}" for file in default_storage.listdir(f"{FOLDER}/{day}")[1]}
        orphans = names - _names_of_submissions(names) - _names_of_uploads(names)
        orphans -= unfinished_upload_names(orphans)
        for name in orphans:
            default_storage.delete(name)
            deleted += 1
    return deleted


def _names_of_submissions(names: set[str]) -> set[str]:
    kept = Submission.objects.filter(archive__in=names, archive_removed_at__isnull=True)
    return set(kept.values_list("archive", flat=True))


def _names_of_uploads(names: set[str]) -> set[str]:
    return set(Upload.objects.filter(archive__in=names).values_list("archive", flat=True))


def unfinished_upload_names(names: set[str]) -> set[str]:
    """Those of the names that were made (``new_name``) from the id of an unfinished upload.

    An object store may have the whole archive a moment before the upload's row says so.
    """
    name_by_id: dict[uuid.UUID, str] = {}
    for name in names:
        with suppress(ValueError):
            name_by_id[uuid.UUID(hex=PurePosixPath(name).stem)] = name
    unfinished = Upload.objects.filter(id__in=list(name_by_id), archive="")
    return {name_by_id[upload_id] for upload_id in unfinished.values_list("id", flat=True)}
