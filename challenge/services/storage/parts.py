"""Part files: the bytes of uploads that are still arriving, one local file each, one writer.

The offset of an upload *is* the size of its part file, read under an exclusive lock of that file,
so nothing can disagree with it: no database row, no other process, no killed one. While bytes
arrive whose checksum is not verified yet, a file beside the part file (``.from``) holds the offset
at which they start; whoever locks the part file next discards them if that file still exists.
What has been sent to an object store (:mod:`multipart`) leaves a hole: the size stays.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import hashlib
import os
import shutil
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol
from uuid import UUID

from django.conf import settings

from challenge.errors import refuse

MIB = 2**20
# A server hands out a chunk only once it is full, and what is not on disk yet is lost with a killed
# process; but large chunks take half the processor time. So chunks grow while they fill quickly.
CHUNK_MIN_BYTES = 64 * 1024
CHUNK_MAX_BYTES = 1024 * 1024
CHUNK_FAST_S = 0.02
CHUNK_SLOW_S = 0.2
LOCK_POLL_S = 0.05
DISK_FULL_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
FALLOC_FL_KEEP_SIZE_AND_PUNCH_HOLE = 0x01 | 0x02


class Stream(Protocol):
    """What bytes are read from: a request, a file."""

    def read(self, size: int, /) -> bytes: ...


class Digest(Protocol):
    """What hashlib's objects have in common with :class:`Crc32`."""

    def update(self, data: bytes, /) -> None: ...
    def digest(self) -> bytes: ...


class Crc32:
    """CRC-32 (as in zip and PNG) behind hashlib's two methods; four bytes, big-endian."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes, /) -> None:
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


CHECKSUMS: dict[str, Callable[[], Digest]] = {
    "sha1": lambda: hashlib.sha1(usedforsecurity=False),
    "sha256": hashlib.sha256,
    "md5": lambda: hashlib.md5(usedforsecurity=False),
    "crc32": Crc32,
}


class PartFileLocked(Exception):
    """Another request is writing to this part file."""


class PartFileNotFound(Exception):
    """There is no such part file (any more)."""


@dataclass(frozen=True)
class Checksum:
    """What the client says its bytes hash to."""

    algorithm: str
    digest: bytes


def part_path(upload_id: UUID) -> Path:
    """Where the bytes of an upload are until it is complete."""
    return Path(settings.UPLOADS_DIR) / f"{upload_id.hex}.part"


def free_bytes() -> int:
    """Free space on the part files' disk, less the reserve that is never filled."""
    folder = Path(settings.UPLOADS_DIR)
    folder.mkdir(parents=True, exist_ok=True)
    return shutil.disk_usage(folder).free - int(settings.UPLOAD_RESERVE_BYTES)


def create(upload_id: UUID) -> None:
    """Create the empty part file of a new upload."""
    path = part_path(upload_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))


def offset_bytes(upload_id: UUID) -> int:
    """Verified bytes received so far. Raises ``PartFileNotFound``."""
    try:
        size = part_path(upload_id).stat().st_size
    except FileNotFoundError as error:
        raise PartFileNotFound from error
    unverified_from = _read_unverified_from(upload_id)
    return size if unverified_from is None else min(size, unverified_from)


def remove(upload_id: UUID) -> None:
    """Delete the part file; nothing happens where there is none."""
    part_path(upload_id).unlink(missing_ok=True)
    _unverified_path(upload_id).unlink(missing_ok=True)


@contextmanager
def locked(upload_id: UUID, *, wait_s: float = 0.0) -> Iterator[PartFile]:
    """Lock a part file for one writer, without unverified bytes.

    Raises ``PartFileLocked`` after ``wait_s``, ``PartFileNotFound`` where there is none.
    """
    path = part_path(upload_id)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise PartFileNotFound from error
    try:
        deadline = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() >= deadline:
                    raise PartFileLocked from error
                time.sleep(LOCK_POLL_S)
        if not path.exists():
            raise PartFileNotFound
        part_file = PartFile(upload_id, descriptor)
        part_file.discard_unverified()
        yield part_file
    finally:
        os.close(descriptor)


class PartFile:
    """A part file held under its lock."""

    def __init__(self, upload_id: UUID, descriptor: int) -> None:
        self.upload_id = upload_id
        self._descriptor = descriptor

    @property
    def offset_bytes(self) -> int:
        """How many bytes were received."""
        return os.fstat(self._descriptor).st_size

    def append(
        self, stream: Stream, *, limit_bytes: int, on_chunk: Callable[[bytes], None] | None = None
    ) -> None:
        """Append what ``stream`` gives, at most ``limit_bytes``, one chunk in memory at a time.

        ``on_chunk`` gets every chunk after it was written. Bytes received before the connection
        broke are kept. Raises Refusal ``upload-disk-full``; what fits is kept.
        """
        position = self.offset_bytes
        end = position + limit_bytes
        chunk_bytes = CHUNK_MIN_BYTES
        while position < end:
            started_s = time.monotonic()
            data = _read(stream, min(chunk_bytes, end - position))
            if not data:
                return
            chunk_bytes = _next_chunk_bytes(chunk_bytes, took_s=time.monotonic() - started_s)
            self._write(data, at=position)
            position += len(data)
            if on_chunk is not None:
                on_chunk(data)

    def append_verified(self, stream: Stream, *, limit_bytes: int, checksum: Checksum) -> None:
        """Append bytes that hash to ``checksum``, or nothing at all.

        Raises Refusal ``upload-checksum`` for other bytes (also for a connection that broke) and
        ``upload-disk-full``.
        """
        _write_unverified_from(self.upload_id, self.offset_bytes)
        hasher = CHECKSUMS[checksum.algorithm]()
        try:
            self.append(stream, limit_bytes=limit_bytes, on_chunk=hasher.update)
            if hasher.digest() != checksum.digest:
                raise refuse("upload-checksum")
        except BaseException:
            self.discard_unverified()
            raise
        _unverified_path(self.upload_id).unlink()

    def discard_unverified(self) -> None:
        """Cut off bytes whose checksum was never verified (their writer was cut off or killed)."""
        unverified_from = _read_unverified_from(self.upload_id)
        if unverified_from is None:
            return
        if self.offset_bytes > unverified_from:
            os.ftruncate(self._descriptor, unverified_from)
        _unverified_path(self.upload_id).unlink(missing_ok=True)

    def read(self, start: int, length: int) -> bytes:
        """Read ``length`` bytes from ``start``. Raises EOFError where there are fewer."""
        pieces = []
        while length > 0:
            piece = os.pread(self._descriptor, length, start)
            if not piece:
                raise EOFError(f"the part file of {self.upload_id} ends at {start}")
            pieces.append(piece)
            start, length = start + len(piece), length - len(piece)
        return b"".join(pieces)

    def punch_hole(self, start: int, length: int) -> bool:
        """Give a range back to the disk; the size stays. False where the file system cannot."""
        return _punch_hole(self._descriptor, start, length)

    def has_holes(self) -> bool:
        """Whether some of the bytes are no longer in the file."""
        return _has_holes(self._descriptor)

    def sync(self) -> None:
        """Ask the disk to keep what was written, before the upload is called complete."""
        os.fdatasync(self._descriptor)

    def _write(self, data: bytes, *, at: int) -> None:
        view = memoryview(data)
        while view:
            try:
                written = os.pwrite(self._descriptor, view, at)
            except OSError as error:
                if error.errno in DISK_FULL_ERRNOS:
                    raise refuse("upload-disk-full") from error
                raise
            at += written
            view = view[written:]


def _next_chunk_bytes(chunk_bytes: int, *, took_s: float) -> int:
    """How much to read next, so that a fraction of a second's bytes is in memory.

    >>> _next_chunk_bytes(65536, took_s=0.001), _next_chunk_bytes(262144, took_s=1.0)
    (131072, 131072)
    """
    if took_s < CHUNK_FAST_S:
        return min(2 * chunk_bytes, CHUNK_MAX_BYTES)
    if took_s > CHUNK_SLOW_S:
        return max(chunk_bytes // 2, CHUNK_MIN_BYTES)
    return chunk_bytes


def _read(stream: Stream, size: int) -> bytes:
    """Read up to ``size`` bytes; none when the connection broke.

    A server that buffers may raise although it holds bytes that did arrive; asked once more, it
    meets the end of the stream and hands them out, so that nothing received is lost.
    """
    with suppress(OSError):
        return stream.read(size)
    with suppress(OSError):
        return stream.read(size)
    return b""


def _unverified_path(upload_id: UUID) -> Path:
    return Path(settings.UPLOADS_DIR) / f"{upload_id.hex}.from"


def _read_unverified_from(upload_id: UUID) -> int | None:
    try:
        text = _unverified_path(upload_id).read_text(encoding="ascii")
    except FileNotFoundError:
        return None
    return int(text) if text.isdecimal() else 0


def _write_unverified_from(upload_id: UUID, offset: int) -> None:
    path = _unverified_path(upload_id)
    draft = path.with_suffix(".from-new")
    draft.write_text(str(offset), encoding="ascii")
    draft.replace(path)


@cache
def supports_holes(folder: Path) -> bool:
    """Whether files of this folder can have holes (on ext4, XFS, Btrfs, tmpfs, NFS 4.2)."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as probe:
        probe.write(bytes(MIB))
        probe.flush()
        return _punch_hole(probe.fileno(), 0, MIB) and _has_holes(probe.fileno())


def _has_holes(descriptor: int) -> bool:
    size = os.fstat(descriptor).st_size
    return size > 0 and os.lseek(descriptor, 0, os.SEEK_HOLE) < size


def _punch_hole(descriptor: int, start: int, length: int) -> bool:
    # Python's os module has no fallocate with flags.
    fallocate = getattr(ctypes.CDLL(None, use_errno=True), "fallocate", None)
    if fallocate is None or length <= 0:
        return False
    fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return bool(fallocate(descriptor, FALLOC_FL_KEEP_SIZE_AND_PUNCH_HOLE, start, length) == 0)
