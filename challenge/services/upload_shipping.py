"""Bytes of an upload on their way into an object store while the rest is still arriving.

With a folder as storage nothing here happens. With an S3-compatible store every full part of a
part file goes up as a part of a multipart upload, and its place in the file becomes a hole: the
size of the file is still the offset, the disk keeps what is not a full part yet. A note beside the
part file (``.sent``) says what is up there; it is written before the hole is made, so a process
killed anywhere sends at most one part twice. A store that does not answer costs room on the disk
and nothing else: the next request, or the completion, sends what is waiting.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.conf import settings
from django.core.files.storage import storages

if TYPE_CHECKING:
    from challenge.services.object_store import ObjectStore

log = logging.getLogger(__name__)

MIB = 2**20
PARTS_MAX = 10_000  # of one multipart upload, as S3 has it
# In one process: each holds one part in memory.
SENDERS = 4
# Full parts that may wait on the disk before the receiving waits for the sending.
WAITING_PARTS = 3
KEEP_SIZE_AND_PUNCH = 0x01 | 0x02


class Lost(Exception):
    """What was sent is no longer there (or the note of it): this upload cannot go on."""


class Unreachable(Exception):
    """The store does not answer; try again later."""


@dataclass(frozen=True)
class Note:
    """What of one upload is in the store: parts 1 to ``len(tags)`` of ``part_bytes`` each."""

    name: str
    session: str
    part_bytes: int
    tags: tuple[str, ...] = ()

    @property
    def sent_bytes(self) -> int:
        return len(self.tags) * self.part_bytes


def store() -> ObjectStore | None:
    """The object store that Django's storage keeps archives in; None where that is a folder."""
    backend = storages["default"]
    return _store_behind(backend) if hasattr(backend, "bucket_name") else None


@lru_cache(maxsize=4)
def _store_behind(backend: Any) -> ObjectStore:
    from challenge.services.object_store import ObjectStore

    return ObjectStore(backend)  # one for all threads: making one takes a quarter of a second


def room_bytes(length_bytes: int) -> int:
    """How much of the uploads' disk an upload of this length takes at most at a time."""
    if store() is None or not _has_holes(Path(settings.UPLOADS_DIR)):
        return length_bytes
    return min(length_bytes, (WAITING_PARTS + 1) * _part_bytes(length_bytes))


def note_of(upload_id: UUID) -> Note | None:
    """What of an upload is in the store already."""
    try:
        found = json.loads(_note_path(upload_id).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return Note(**{**found, "tags": tuple(found["tags"])})


def give_up(upload_id: UUID) -> None:
    """Have the store drop what it has of an upload; what is out of reach now is swept later."""
    note = note_of(upload_id)
    if note is None:
        return
    target = store()
    if target is not None:
        try:
            target.abort(note.name, note.session)
        except Lost:
            pass  # completed, or given up before
        except Unreachable as error:
            log.warning("multipart upload of %s is left to the sweep: %s", upload_id, error)
    drop_note(upload_id)


def drop_note(upload_id: UUID) -> None:
    """Forget what was noted: the upload is an object now, or nothing."""
    _note_path(upload_id).unlink(missing_ok=True)


class Shipment:
    """One upload's way into the store, used by who holds its part's lock.

    ``descriptor`` is the open part file. At most one part is on its way at a time; the sender is a
    thread of the pool, goes on while full parts are there, and only it changes the note. ``wait``
    before the descriptor is closed.
    Raises ``Lost`` for a file with holes and no note.
    """

    def __init__(
        self, upload_id: UUID, descriptor: int, *, name: str, length_bytes: int, target: ObjectStore
    ) -> None:
        self.upload_id = upload_id
        self._descriptor = descriptor
        self._target = target
        self._name = name
        self._part_bytes = _part_bytes(length_bytes)
        self._note = note_of(upload_id)
        self._end = 0
        self._running: Future[None] | None = None
        self._gave_up = ""
        if self._note is None:
            check_whole(descriptor)
        else:
            self._part_bytes = self._note.part_bytes
            # Killed between note and hole: the hole is made now.
            _punch(descriptor, 0, self._note.sent_bytes)

    @property
    def sent_bytes(self) -> int:
        """How many bytes, from the first on, are in the store."""
        return self._note.sent_bytes if self._note else 0

    def offer(self, end: int) -> None:
        """Send beside the receiving; ``end`` verified bytes lie in the file by now.

        Returns at once unless too much waits already. Raises ``Lost``.
        """
        self._end = end
        if self._running is not None and self._running.done():
            self._collect()
        self._start(end)
        while self._running is not None and self._waits(end) >= WAITING_PARTS:
            self._collect()
            self._start(end)

    def settle(self, end: int) -> None:
        """Send every full part of the ``end`` bytes, and wait for it. Raises ``Lost``."""
        self._end = end
        while True:
            self._start(end)
            if self._running is None:
                return
            self._collect()

    def wait(self) -> None:
        """Let the sender finish: the file may be closed after this."""
        if self._running is not None:
            wait([self._running])

    def complete(self, length_bytes: int) -> str:
        """Send the rest, make one object of it, and return its sha256, read from the store.

        May be called again after a kill anywhere. Raises ``Unreachable`` and ``Lost``.
        """
        self._gave_up = ""
        self.settle(length_bytes)
        if self._gave_up:
            raise Unreachable(self._gave_up)
        note = self._note
        assert note is not None, "nothing was sent: the archive is to be stored from the file"
        # Perhaps it was completed before a kill; then the object is there and whole.
        if self._target.size_bytes(note.name) != length_bytes:
            tags = list(note.tags)
            if rest := self._read(note.sent_bytes, length_bytes - note.sent_bytes):
                tags.append(self._put(note, len(tags) + 1, rest))
            self._target.complete(note.name, note.session, tags=tags)
        digest, size_bytes = hashlib.sha256(), 0
        for chunk in self._target.read(note.name):
            digest.update(chunk)
            size_bytes += len(chunk)
        if size_bytes != length_bytes:
            raise Lost(f"{note.name} has {size_bytes} bytes in the store, not {length_bytes}")
        self._drop_others(note.name)
        return digest.hexdigest()

    def _drop_others(self, name: str) -> None:
        """Give up what was begun under this name by a process killed before it could note it."""
        try:
            for one in list(self._target.unfinished(name)):
                with suppress(Lost):
                    self._target.abort(one.name, one.session)
        except Unreachable as error:
            log.warning("%s may have parts in the store that nobody needs: %s", name, error)

    @property
    def name(self) -> str:
        """The archive's name in storage."""
        return self._note.name if self._note else self._name

    def _waits(self, end: int) -> int:
        return (end - self.sent_bytes) // self._part_bytes

    def _start(self, end: int) -> None:
        if self._running is None and not self._gave_up and self._waits(end) >= 1:
            self._running = _senders().submit(self._send_full)

    def _collect(self) -> None:
        assert self._running is not None
        running, self._running = self._running, None
        try:
            running.result()
        except (Unreachable, OSError) as error:  # OSError: no room for the note
            self._gave_up = str(error)
            log.warning("parts of upload %s wait on the disk: %s", self.upload_id, error)

    def _send_full(self) -> None:
        """Send parts until less than one is left of what the receiver has offered by now."""
        while self._waits(self._end) >= 1:
            if self._note is None:
                session = self._target.begin(self._name)
                self._keep(Note(self._name, session, self._part_bytes))
            note = self._note
            assert note is not None
            at = note.sent_bytes
            data = self._read(at, note.part_bytes)
            tag = self._put(note, len(note.tags) + 1, data)
            self._keep(replace(note, tags=(*note.tags, tag)))
            if not _punch(self._descriptor, at, note.part_bytes):
                log.warning("no holes in files of UPLOADS_DIR: parts stay there until the end")

    def _keep(self, note: Note) -> None:
        _write_note(self.upload_id, note)
        self._note = note

    def _put(self, note: Note, number: int, data: bytes) -> str:
        return self._target.put(note.name, note.session, number=number, data=data)

    def _read(self, at: int, size: int) -> bytes:
        pieces = []
        while size > 0:
            piece = os.pread(self._descriptor, size, at)
            if not piece:
                raise Lost(f"the part file of {self.upload_id} ends at {at}")
            pieces.append(piece)
            at, size = at + len(piece), size - len(piece)
        return b"".join(pieces)


def sweep(folder: str, *, is_stray: Callable[[str], bool], before: datetime) -> int:
    """Give up multipart uploads begun before a moment whose names are strays'; how many were.

    Raises ``Unreachable``. A folder as storage has none.
    """
    target = store()
    if target is None:
        return 0
    count = 0
    for one in target.unfinished(f"{folder}/"):
        if one.begun_at < before and is_stray(one.name):
            with suppress(Lost):
                target.abort(one.name, one.session)
            count += 1
    return count


def check_whole(descriptor: int) -> None:
    """Raise ``Lost`` where a part file has holes: without a note nobody knows what was there."""
    if not _is_whole(descriptor):
        raise Lost("its file has holes, and no note says where the bytes went")


def _is_whole(descriptor: int) -> bool:
    size = os.fstat(descriptor).st_size
    return size == 0 or os.lseek(descriptor, 0, os.SEEK_HOLE) >= size


def _part_bytes(length_bytes: int) -> int:
    """The size of an upload's parts, all but the last: whole mebibytes, and few enough of them.

    >>> from django.test import override_settings
    >>> with override_settings(UPLOAD_PART_BYTES=8 * MIB):
    ...     [_part_bytes(length) // MIB for length in (1, 6_000_000_000, 10**12)]
    [8, 8, 96]
    """
    fewest = -(-length_bytes // PARTS_MAX)
    return -(-max(int(settings.UPLOAD_PART_BYTES), fewest) // MIB) * MIB


@cache
def _senders() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=SENDERS, thread_name_prefix="ship-upload")


def _note_path(upload_id: UUID) -> Path:
    return Path(settings.UPLOADS_DIR) / f"{upload_id.hex}.sent"


def _write_note(upload_id: UUID, note: Note) -> None:
    path = _note_path(upload_id)
    draft = path.with_suffix(".sent-new")
    with draft.open("w", encoding="utf-8") as out:
        json.dump(asdict(note), out)
        out.flush()
        # Before the hole: a machine that loses its power must not remember the hole alone.
        os.fsync(out.fileno())
    draft.replace(path)


def _punch(descriptor: int, start: int, length: int) -> bool:
    """Give a range of a file back to the disk, its size unchanged; False where that cannot be."""
    if not length:
        return True
    fallocate = getattr(ctypes.CDLL(None, use_errno=True), "fallocate", None)
    if fallocate is None:
        return False
    fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return bool(fallocate(descriptor, KEEP_SIZE_AND_PUNCH, start, length) == 0)


@cache
def _has_holes(folder: Path) -> bool:
    """Whether files of this folder can have holes (ext4, XFS, Btrfs, tmpfs, NFS 4.2 do)."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as probe:
        probe.write(bytes(MIB))
        probe.flush()
        return _punch(probe.fileno(), 0, MIB) and not _is_whole(probe.fileno())
