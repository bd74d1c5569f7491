"""Uploads that are sent to an object store while they arrive, as S3 multipart uploads.

With a folder as storage nothing here happens. With an S3-compatible store every full part of a
part file is sent as soon as it was received, and its range in the file becomes a hole: the size of
the file is still the offset, the disk keeps what is not a full part yet. A state file (``.sent``)
says which parts the store has; it is written before the hole is made, so a process killed anywhere
sends at most one part twice. A store that does not answer costs disk space and nothing else: the
next request, or the completion, sends what is waiting.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from uuid import UUID

from django.conf import settings

from challenge.services.storage import object_store, parts
from challenge.services.storage.object_store import (
    ObjectNotFound,
    ObjectStore,
    StoreUnavailable,
    UploadNotFound,
)
from challenge.services.storage.parts import MIB, PartFile

log = logging.getLogger(__name__)

PARTS_MAX = 10_000  # S3's limit for one multipart upload
# Free space that a new upload needs: parts received while the store does not answer.
PARTS_ON_DISK = 4


@dataclass(frozen=True)
class MultipartState:
    """Which parts of an upload the store has: 1 to ``len(etags)``, each of ``part_bytes``."""

    name: str
    store_upload_id: str
    part_bytes: int
    etags: tuple[str, ...] = ()

    @property
    def sent_bytes(self) -> int:
        return len(self.etags) * self.part_bytes


def load_state(upload_id: UUID) -> MultipartState | None:
    """What the store has of an upload; None where nothing was sent."""
    try:
        values = json.loads(_state_path(upload_id).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return MultipartState(
        values["name"], values["session"], values["part_bytes"], tuple(values["tags"])
    )


def delete_state(upload_id: UUID) -> None:
    """Delete the state file: the upload is an object now, or nothing."""
    _state_path(upload_id).unlink(missing_ok=True)


def _save_state(upload_id: UUID, state: MultipartState) -> None:
    path = _state_path(upload_id)
    draft = path.with_suffix(".sent-new")
    # The keys of earlier releases, so that uploads outlive an update of the site.
    values = {
        "name": state.name,
        "session": state.store_upload_id,
        "part_bytes": state.part_bytes,
        "tags": state.etags,
    }
    with draft.open("w", encoding="utf-8") as out:
        json.dump(values, out)
        out.flush()
        # Before the hole: after a loss of power there must be no hole without its state.
        os.fsync(out.fileno())
    draft.replace(path)


def _state_path(upload_id: UUID) -> Path:
    return Path(settings.UPLOADS_DIR) / f"{upload_id.hex}.sent"


def disk_bytes_needed(length_bytes: int) -> int:
    """How much of the part files' disk an upload of this length needs."""
    if object_store.configured_store() is None:
        return length_bytes
    if not parts.supports_holes(Path(settings.UPLOADS_DIR)):
        return length_bytes
    return min(length_bytes, PARTS_ON_DISK * _part_bytes(length_bytes))


def _part_bytes(length_bytes: int) -> int:
    """The size of an upload's parts, all but the last: whole mebibytes, and few enough of them.

    >>> from django.test import override_settings
    >>> with override_settings(UPLOAD_PART_BYTES=8 * MIB):
    ...     [_part_bytes(length) // MIB for length in (1, 6_000_000_000, 10**12)]
    [8, 8, 96]
    """
    fewest = -(-length_bytes // PARTS_MAX)
    return -(-max(int(settings.UPLOAD_PART_BYTES), fewest) // MIB) * MIB


def start(part_file: PartFile, *, name: str, length_bytes: int) -> MultipartUpload | None:
    """The multipart upload of a locked part file; None with a folder as storage.

    ``name`` is the archive's name in storage, if nothing was sent yet. Raises ``UploadNotFound``
    for a file with holes and no state: nobody knows what was there.
    """
    store = object_store.configured_store()
    if store is None:
        return None
    return MultipartUpload(part_file, name=name, length_bytes=length_bytes, store=store)


class MultipartUpload:
    """One upload's parts on their way into the store, used under the part file's lock."""

    def __init__(
        self, part_file: PartFile, *, name: str, length_bytes: int, store: ObjectStore
    ) -> None:
        self._file = part_file
        self._store = store
        self._is_unavailable = False
        state = load_state(part_file.upload_id)
        if state is None:
            check_complete(part_file)
            self._state = MultipartState(name, "", _part_bytes(length_bytes))
        else:
            self._state = state
            # Perhaps killed between state and hole.
            part_file.punch_hole(0, state.sent_bytes)

    @property
    def name(self) -> str:
        """The archive's name in storage."""
        return self._state.name

    @property
    def sent_bytes(self) -> int:
        """How many bytes, from the first on, are in the store."""
        return self._state.sent_bytes

    def upload_ready_parts(self) -> None:
        """Send every full part that was received; they stay on the disk if the store is away.

        Raises ``UploadNotFound``.
        """
        if self._is_unavailable:
            return
        try:
            self._upload_full_parts()
        except (StoreUnavailable, OSError) as error:  # OSError: no free space for the state file
            self._is_unavailable = True
            log.warning("parts of upload %s wait on the disk: %s", self._file.upload_id, error)

    def complete(self) -> str:
        """Send the rest, make one object of all parts and return its sha256, read from the store.

        May be called again after a kill anywhere. Raises ``StoreUnavailable``, ``UploadNotFound``.
        """
        self._upload_full_parts()
        state, length_bytes = self._state, self._file.offset_bytes
        # After a kill it may have been completed already.
        if self._store.object_bytes(state.name) != length_bytes:
            etags = list(state.etags)
            if rest := self._file.read(state.sent_bytes, length_bytes - state.sent_bytes):
                etags.append(self._upload_part(len(etags) + 1, rest))
            self._store.complete_multipart_upload(state.name, state.store_upload_id, etags=etags)
        return self._hash_object(length_bytes)

    def _hash_object(self, length_bytes: int) -> str:
        digest, object_bytes = hashlib.sha256(), 0
        with suppress(ObjectNotFound):
            for chunk in self._store.read_object(self.name):
                digest.update(chunk)
                object_bytes += len(chunk)
        if object_bytes != length_bytes:
            raise UploadNotFound(f"{self.name} has {object_bytes} bytes, not {length_bytes}")
        return digest.hexdigest()

    def _upload_full_parts(self) -> None:
        part_bytes = self._state.part_bytes
        while self._file.offset_bytes - self.sent_bytes >= part_bytes:
            if not self._state.store_upload_id:
                store_upload_id = self._store.create_multipart_upload(self.name)
                self._set_state(replace(self._state, store_upload_id=store_upload_id))
            start = self.sent_bytes
            data = self._file.read(start, part_bytes)
            etag = self._upload_part(len(self._state.etags) + 1, data)
            self._set_state(replace(self._state, etags=(*self._state.etags, etag)))
            if not self._file.punch_hole(start, part_bytes):
                log.warning("UPLOADS_DIR has no sparse files: parts stay there until the end")

    def _upload_part(self, number: int, data: bytes) -> str:
        return self._store.upload_part(
            self.name, self._state.store_upload_id, number=number, data=data
        )

    def _set_state(self, state: MultipartState) -> None:
        _save_state(self._file.upload_id, state)
        self._state = state


def check_complete(part_file: PartFile) -> None:
    """Raise ``UploadNotFound`` unless all bytes of a part file are in it."""
    if part_file.has_holes():
        raise UploadNotFound("its part file has holes, and no state says where the bytes are")


def abort(upload_id: UUID) -> None:
    """Have the store delete the parts of an upload; the sweep does it where the store is away."""
    state = load_state(upload_id)
    store = object_store.configured_store()
    if state is not None and store is not None:
        try:
            store.abort_multipart_upload(state.name, state.store_upload_id)
        except UploadNotFound:
            pass  # completed, or aborted before
        except StoreUnavailable as error:
            log.warning("multipart upload of %s is left to the sweep: %s", upload_id, error)
    delete_state(upload_id)


def abort_orphans(folder: str, *, is_orphan: Callable[[str], bool], before: datetime) -> int:
    """Abort multipart uploads in ``folder`` started before a moment that are orphans by name.

    Returns how many. Raises ``StoreUnavailable``. With a folder as storage there are none.
    """
    store = object_store.configured_store()
    if store is None:
        return 0
    count = 0
    for upload in store.incomplete_uploads(f"{folder}/"):
        if upload.started_at < before and is_orphan(upload.name):
            with suppress(UploadNotFound):
                store.abort_multipart_upload(upload.name, upload.store_upload_id)
            count += 1
    return count
