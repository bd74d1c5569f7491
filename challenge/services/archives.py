"""Uploaded archives in storage: streamed in, opened on the worker, swept when orphaned.

A stored archive belongs to nobody until a Submission or an Upload names it. Who stored it deletes
it when the submission is refused; whatever a crash leaves behind is an orphan and is swept after
a day. Nothing that a submission keeps is ever deleted here (:mod:`retention` decides that).
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
from pathlib import Path, PurePosixPath
from typing import IO

from django.core.files.base import File
from django.core.files.storage import default_storage
from django.utils import timezone

from challenge.errors import Refusal, refuse
from challenge.models import Submission, Upload
from challenge.services import upload_shipping

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


class _Metered(File):  # type: ignore[type-arg]  # no generic at run time
    """Reads a stream in chunks, counts and hashes what passes, stops above the limit."""

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
    metered = _Metered(stream, limit_bytes=limit_bytes)
    try:
        saved = default_storage.save(name, metered)
        if metered.bytes == 0:
            raise refuse("archive-empty")
    except BaseException:
        default_storage.delete(name)
        raise
    return StoredArchive(
        name=saved,
        sha256=metered.digest.hexdigest(),
        bytes=metered.bytes,
        original_name=clean_name(original_name),
    )


def adopt(path: Path, *, original_name: str) -> StoredArchive:
    """Take a complete local file into storage, hashed once; ``path`` itself stays where it is.

    On one file system nothing is copied: storage gets a second name of the same bytes, so a
    process killed between this and the row that names the archive has lost nothing. Raises
    Refusal ``archive-empty``.
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
        with tempfile.TemporaryDirectory(prefix="archive-") as folder:
            local = Path(folder) / "archive.zip"
            with local.open("wb") as target:
                for chunk in _fetched(name):
                    target.write(chunk)
            yield local
        return
    if not local.is_file():
        raise refuse("archive-missing")
    yield local


def _fetched(name: str) -> Iterator[bytes]:
    store = upload_shipping.store()
    if store is None:
        raise NotImplementedError("archives are kept in a folder or in an S3-compatible store")
    try:
        yield from store.read(name)
    except upload_shipping.Lost:
        raise refuse("archive-missing") from None
    except upload_shipping.Unreachable as error:
        raise refuse("archive-unreachable") from error


def is_whole(path: Path, *, sha256: str) -> bool:
    """Whether a local file holds the bytes that were accepted."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() == sha256


def read_range(submission: Submission, *, first: int, end: int) -> Iterator[bytes]:
    """Return a submission's archive from byte ``first`` up to ``end``, a part at a time.

    From an object store these bytes alone are fetched. Raises, before the first part is asked for,
    Gone ``archive-removed``, Conflict ``archive-missing``, Refusal ``archive-unreachable``.
    """
    if submission.archive_removed_at is not None:
        raise removed(submission)
    store = upload_shipping.store()
    if store is None:
        if not default_storage.exists(submission.archive):
            raise refuse("archive-missing")
        return _slice(submission.archive, first, end)
    parts = store.read(submission.archive, first=first, end=end)
    try:
        head = next(parts, b"")
    except upload_shipping.Lost:
        raise refuse("archive-missing") from None
    except upload_shipping.Unreachable as error:
        raise refuse("archive-unreachable") from error
    return _after(head, parts)


def _slice(name: str, first: int, end: int) -> Iterator[bytes]:
    with default_storage.open(name, "rb") as stored:  # not before the first part is asked for
        stored.seek(first)
        left = end - first
        while left > 0:
            chunk = stored.read(min(CHUNK_BYTES, left))
            if not chunk:
                return
            left -= len(chunk)
            yield chunk


def _after(head: bytes, parts: Iterator[bytes]) -> Iterator[bytes]:
    yield head
    yield from parts


def removed(submission: Submission) -> Refusal:
    """The refusal of whoever asks for an archive that was removed."""
    return refuse("archive-removed", removed_at=f"{submission.archive_removed_at:%Y-%m-%d}")


def open_stored(name: str) -> File[bytes]:
    """Open a stored archive for streaming it back to its owner."""
    if not default_storage.exists(name):
        raise refuse("archive-missing")
    return default_storage.open(name, "rb")


def delete(name: str) -> None:
    """Delete a stored archive unless a submission keeps it."""
    if name and not _kept({name}):
        default_storage.delete(name)


def sweep_orphans(*, now: datetime | None = None, older_than: timedelta = ORPHAN_AGE) -> int:
    """Delete archives that no submission keeps and no upload names, from folders of days gone by.

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
        kept = _kept(names)
        kept |= set(Upload.objects.filter(archive__in=names).values_list("archive", flat=True))
        kept |= _of_uploads(names - kept)
        for name in names - kept:
            default_storage.delete(name)
            deleted += 1
    return deleted


def _kept(names: set[str]) -> set[str]:
    kept = Submission.objects.filter(archive__in=names, archive_removed_at__isnull=True)
    return set(kept.values_list("archive", flat=True))


def is_of_upload(name: str) -> bool:
    """Whether a name is that of an upload which is still there, stored or on its way."""
    return bool(_of_uploads({name}))


def _of_uploads(names: set[str]) -> set[str]:
    """Those of the names that streamed in under the id of an upload which is still there.

    An object store may have the whole archive a moment before the upload's row says so.
    """
    by_id: dict[uuid.UUID, str] = {}
    for name in names:
        with suppress(ValueError):
            by_id[uuid.UUID(hex=PurePosixPath(name).stem)] = name
    found = Upload.objects.filter(id__in=list(by_id)).values_list("id", flat=True)
    return {by_id[upload_id] for upload_id in found}
