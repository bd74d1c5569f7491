"""The bytes of uploads on their way: one part file each, one writer at a time.

The offset of an upload *is* the size of its part file, read under an exclusive lock of that file,
so nothing can disagree with it: not a database row, not another process, not a killed one. Bytes
whose checksum is not verified yet are marked by a note beside the part (``.from``) that names
the offset they start at; whoever opens the part next drops them if the note is still there.
With an object store as storage full parts leave the file while the rest arrives
(:mod:`upload_shipping`): then the file has holes, and its size is the offset all the same.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from uuid import UUID

from django.conf import settings

from challenge.services import upload_shipping
from challenge.services.upload_shipping import Shipment

# A server hands out a chunk only once it is full, and what is not on disk yet dies with a killed
# process; but large chunks cost half the processor time. So a chunk grows while it fills at once.
CHUNK_MIN_BYTES = 64 * 1024
CHUNK_MAX_BYTES = 1024 * 1024
CHUNK_FAST_S = 0.02
CHUNK_SLOW_S = 0.2
LOCK_POLL_S = 0.05
FULL_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


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


class Busy(Exception):
    """Another request is writing to this part."""


class Gone(Exception):
    """There is no such part (any more)."""


class DiskFull(Exception):
    """The disk took no more; what it took before is kept."""


class ChecksumMismatch(Exception):
    """The bytes are not those that the client described; they were dropped."""


@dataclass(frozen=True)
class Checksum:
    """What the client says its bytes hash to."""

    algorithm: str
    digest: bytes


@dataclass(frozen=True)
class Received:
    """How one request's bytes ended: the new offset, and whether the client was cut off."""

    offset_bytes: int
    is_cut: bool


def part_path(upload_id: UUID) -> Path:
    """Where the bytes of an upload lie until it is complete."""
    return Path(settings.UPLOADS_DIR) / f"{upload_id.hex}.part"


def _note_path(upload_id: UUID) -> Path:
    return Path(settings.UPLOADS_DIR) / f"{upload_id.hex}.from"


def _noted_offset(upload_id: UUID) -> int | None:
    try:
        text = _note_path(upload_id).read_text(encoding="ascii")
    except FileNotFoundError:
        return None
    return int(text) if text.isdecimal() else 0


def free_bytes() -> int:
    """Room left on the parts' disk, less the reserve that is never filled."""
    folder = Path(settings.UPLOADS_DIR)
    folder.mkdir(parents=True, exist_ok=True)
    return shutil.disk_usage(folder).free - int(settings.UPLOAD_RESERVE_BYTES)


def make(upload_id: UUID) -> None:
    """Create the empty part of a new upload."""
    path = part_path(upload_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))


def offset_bytes(upload_id: UUID) -> int:
    """Verified bytes received so far. Raises ``Gone``."""
    try:
        size = part_path(upload_id).stat().st_size
    except FileNotFoundError as error:
        raise Gone from error
    noted = _noted_offset(upload_id)
    return size if noted is None else min(size, noted)


def remove(upload_id: UUID) -> None:
    """Forget the bytes; nothing happens where there are none."""
    part_path(upload_id).unlink(missing_ok=True)
    _note_path(upload_id).unlink(missing_ok=True)
    upload_shipping.drop_note(upload_id)


@contextmanager
def locked(upload_id: UUID, *, wait_s: float = 0.0) -> Iterator[Part]:
    """Hold a part alone. Raises ``Busy`` after ``wait_s`` and ``Gone`` where there is none."""
    path = part_path(upload_id)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise Gone from error
    try:
        deadline = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() >= deadline:
                    raise Busy from error
                time.sleep(LOCK_POLL_S)
        if not path.exists():
            raise Gone
        part = Part(upload_id, descriptor)
        part.drop_unverified()
        try:
            yield part
        finally:
            if part.shipment is not None:
                part.shipment.wait()  # it reads from the descriptor
    finally:
        os.close(descriptor)


class Part:
    """A part held under its lock."""

    def __init__(self, upload_id: UUID, descriptor: int) -> None:
        self.upload_id = upload_id
        self._descriptor = descriptor
        self.shipment: Shipment | None = None

    @property
    def offset_bytes(self) -> int:
        """How many bytes there are."""
        return os.fstat(self._descriptor).st_size

    def check_whole(self) -> None:
        """Raise ``upload_shipping.Lost`` unless all of the bytes are in the file."""
        upload_shipping.check_whole(self._descriptor)

    def ship(self, *, name: str, length_bytes: int) -> Shipment | None:
        """Have full parts leave for the object store from now on; None where there is none.

        ``name`` is the archive's in storage, for an upload of which nothing was sent yet. Raises
        ``upload_shipping.Lost``.
        """
        target = upload_shipping.store()
        if target is not None:
            self.shipment = Shipment(
                self.upload_id,
                self._descriptor,
                name=name,
                length_bytes=length_bytes,
                target=target,
            )
        return self.shipment

    def drop_unverified(self) -> None:
        """Cut off bytes whose checksum was never verified (their writer was cut or killed)."""
        noted = _noted_offset(self.upload_id)
        if noted is None:
            return
        if self.offset_bytes > noted:
            os.ftruncate(self._descriptor, noted)
        _note_path(self.upload_id).unlink(missing_ok=True)

    def append(
        self, stream: Stream, *, limit_bytes: int, checksum: Checksum | None = None
    ) -> Received:
        """Append what ``stream`` gives, at most ``limit_bytes``; memory use is one chunk.

        Bytes received before a cut are kept, unless there is a checksum: what cannot be verified
        is dropped. Raises ``DiskFull`` (what fits is kept), ``ChecksumMismatch``, and
        ``upload_shipping.Lost``.
        """
        start = self.offset_bytes
        hasher = None
        if checksum is not None:
            hasher = CHECKSUMS[checksum.algorithm]()
            self._note(start)
        position, is_cut = start, False
        end = start + limit_bytes
        chunk_bytes = CHUNK_MIN_BYTES
        try:
            while position < end:
                started_s = time.monotonic()
                data, is_cut = _read(stream, min(chunk_bytes, end - position))
                chunk_bytes = _next_chunk(chunk_bytes, took_s=time.monotonic() - started_s)
                if hasher is not None:
                    hasher.update(data)
                position = self._write(data, at=position)
                if self.shipment is not None and hasher is None:
                    self.shipment.offer(position)
                if is_cut or not data:
                    break
        finally:
            if hasher is not None:
                matches = not is_cut and checksum and hasher.digest() == checksum.digest
                if not matches:
                    os.ftruncate(self._descriptor, start)
                _note_path(self.upload_id).unlink(missing_ok=True)
            if self.shipment is not None:
                self.shipment.settle(self.offset_bytes)
        if hasher is not None and not matches:
            if is_cut:
                return Received(start, is_cut=True)
            raise ChecksumMismatch
        return Received(position, is_cut)

    def flush(self) -> None:
        """Ask the disk to keep what was written, before the upload is called complete."""
        os.fdatasync(self._descriptor)

    def _note(self, offset: int) -> None:
        note = _note_path(self.upload_id)
        draft = note.with_suffix(".from-new")
        draft.write_text(str(offset), encoding="ascii")
        draft.replace(note)

    def _write(self, data: bytes, *, at: int) -> int:
        view = memoryview(data)
        while view:
            try:
                written = os.pwrite(self._descriptor, view, at)
            except OSError as error:
                if error.errno in FULL_ERRNOS:
                    raise DiskFull from error
                raise
            at += written
            view = view[written:]
        return at


def _next_chunk(chunk_bytes: int, *, took_s: float) -> int:
    """How much to ask for next, so that what is in memory is a fraction of a second's bytes.

    >>> _next_chunk(65536, took_s=0.001), _next_chunk(262144, took_s=1.0)
    (131072, 131072)
    """
    if took_s < CHUNK_FAST_S:
        return min(2 * chunk_bytes, CHUNK_MAX_BYTES)
    if took_s > CHUNK_SLOW_S:
        return max(chunk_bytes // 2, CHUNK_MIN_BYTES)
    return chunk_bytes


def _read(stream: Stream, size: int) -> tuple[bytes, bool]:
    """Read up to ``size`` bytes; the flag says that the connection broke.

    A server that buffers may raise although it holds bytes that did arrive; asked once more, it
    meets the end of the stream and hands them out, so that a cut costs nothing received.
    """
    try:
        return stream.read(size), False
    except OSError:
        with suppress(OSError):
            return stream.read(size), True
        return b"", True
