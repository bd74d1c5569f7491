"""Resumable uploads: declared, received in pieces, finished into an archive, swept.

Rows say what was declared and when it expires; :mod:`parts` has the bytes, :mod:`multipart` sends
them on to an object store while they arrive. No transaction is open while bytes are received.
``finish`` hashes and stores a complete upload once, outside the request that brought the last of
its bytes; it may be called again at any time by anyone (``archive_of``, the sweep), so a process
killed in the middle costs nothing.
"""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import cache
from uuid import UUID

from django.conf import settings
from django.db import connections, transaction
from django.utils import timezone

from challenge.errors import Refusal, refuse
from challenge.models import Submission, Upload, User
from challenge.services.storage import archives, limits, multipart, parts
from challenge.services.storage.archives import StoredArchive
from challenge.services.storage.object_store import StoreUnavailable, UploadNotFound
from challenge.services.storage.parts import (
    Checksum,
    PartFile,
    PartFileLocked,
    PartFileNotFound,
    Stream,
)

log = logging.getLogger(__name__)

LOCK_WAIT_S = 1.5
FINISH_WAIT_S = 20.0
STORE_RETRY_S = 10


def create(
    *,
    user: User,
    length_bytes: int,
    original_name: str = "",
    metadata: dict[str, str] | None = None,
    now: datetime | None = None,
) -> Upload:
    """Declare an upload of ``length_bytes``; its part file exists when this returns.

    Raises ``NotAllowed`` for who takes part in no challenge, ``TooLarge`` above the limit of one
    file, of all unsubmitted uploads of the person, or
    of the team's archives (``metadata["phase"]`` says which challenge's team), ``Refusal`` (429)
    above their number, ``Refusal`` (507) where the disk would not hold it.
    """
    now = now or timezone.now()
    limits.check_participant(user)
    check_room(length_bytes)
    with transaction.atomic():
        lock_person(user)
        limits.check_person(user, length_bytes=length_bytes, now=now)
        challenge = (metadata or {}).get("phase", "").partition("/")[0]
        limits.check_teams(user, length_bytes=length_bytes, challenge=challenge, now=now)
        return insert(
            user=user,
            length_bytes=length_bytes,
            original_name=original_name,
            metadata=metadata or {},
            now=now,
        )


def check_room(length_bytes: int) -> None:
    """Refuse a file above the limit of one (TooLarge) or of the disk (``Refusal`` 507)."""
    limits.check_file(length_bytes)
    if multipart.disk_bytes_needed(length_bytes) > parts.free_bytes():
        raise refuse("upload-disk-full")


def lock_person(user: User) -> None:
    """Lock the person's row: of two simultaneous creations the second counts the first."""
    User.objects.select_for_update(of=("self",)).only("pk").get(pk=user.pk)


def insert(
    *,
    user: User,
    length_bytes: int,
    original_name: str,
    metadata: dict[str, str],
    now: datetime,
    purpose: Upload.Purpose = Upload.Purpose.ARCHIVE,
) -> Upload:
    """Insert the row of a checked upload and make its part file, inside a transaction."""
    upload = Upload.objects.create(
        user=user,
        purpose=purpose,
        length_bytes=length_bytes,
        original_name=archives.clean_name(original_name),
        metadata=metadata,
        expires_at=now + timedelta(seconds=settings.UPLOAD_EXPIRY_S),
    )
    parts.create(upload.id)
    return upload


def get(*, user: User, upload_id: UUID, now: datetime | None = None) -> Upload:
    """The person's own upload. Raises ``NotFound``, or ``Refusal`` (410) once it expired."""
    now = now or timezone.now()
    upload = Upload.objects.filter(user=user, id=upload_id).first()
    if upload is None:
        raise refuse("upload-not-found")
    if upload.expires_at <= now:
        raise refuse("upload-expired")
    return upload


def offset_bytes(upload: Upload) -> int:
    """How many bytes were received. Raises ``Refusal`` (410) where they were swept."""
    if upload.archive:
        return upload.length_bytes
    try:
        return parts.offset_bytes(upload.id)
    except PartFileNotFound:
        return _stored_length(upload)


def receive(
    *,
    upload: Upload,
    stream: Stream,
    offset_bytes: int,
    length_bytes: int,
    checksum: Checksum | None = None,
    now: datetime | None = None,
) -> int:
    """Append one request's ``length_bytes`` at ``offset_bytes``; the new offset is returned.

    One writer at a time: raises ``Refusal`` (423) when another request writes, ``Conflict`` when
    the offset is not where the bytes end, ``TooLarge`` for more than was declared, ``Refusal``
    460 for a wrong checksum (nothing kept), 507 for a full disk (what fits is kept), 410 when it
    expired or the object store lost its parts.
    """
    now = now or timezone.now()
    try:
        with parts.locked(upload.id, wait_s=LOCK_WAIT_S) as part_file:
            _check_range(upload, part_file.offset_bytes, offset_bytes, length_bytes)
            _append(upload, part_file, stream, length_bytes=length_bytes, checksum=checksum)
            received_bytes = part_file.offset_bytes
            is_complete = received_bytes == upload.length_bytes
            if is_complete:
                part_file.sync()
    except PartFileLocked as error:
        raise refuse("upload-locked", retry_after_s=1) from error
    except PartFileNotFound:
        # Another request brought the last bytes, and the archive is in storage by now.
        length = _stored_length(upload)
        _check_range(upload, length, offset_bytes, length_bytes)
        return length
    except UploadNotFound as error:
        raise _discard(upload, error) from error
    upload.expires_at = limits.expires_at(upload, received_bytes, now=now)
    row = Upload.objects.filter(id=upload.id)
    row.update(expires_at=upload.expires_at)
    if is_complete:
        upload.completed_at = now
        row.update(completed_at=now)
    return received_bytes


def _append(
    upload: Upload,
    part_file: PartFile,
    stream: Stream,
    *,
    length_bytes: int,
    checksum: Checksum | None,
) -> None:
    """Write the bytes to the part file, and full parts of verified bytes to an object store."""
    target = multipart.start(
        part_file, name=archives.new_name(upload.id), length_bytes=upload.length_bytes
    )

    def upload_ready_parts(_chunk: bytes = b"") -> None:
        if target is not None:
            target.upload_ready_parts()

    if checksum is None:
        part_file.append(stream, limit_bytes=length_bytes, on_chunk=upload_ready_parts)
    else:
        part_file.append_verified(stream, limit_bytes=length_bytes, checksum=checksum)
        upload_ready_parts()


def _check_range(upload: Upload, received: int, offset_bytes: int, length_bytes: int) -> None:
    """Refuse bytes that do not begin where the received ones end, or exceed what was declared."""
    if received != offset_bytes:
        raise refuse("upload-offset", offset_bytes=received, given_bytes=offset_bytes)
    if offset_bytes + length_bytes > upload.length_bytes:
        raise refuse("upload-longer-than-declared", declared_bytes=upload.length_bytes)


def _stored_length(upload: Upload) -> int:
    """The length of an upload without a part file. Raises ``Refusal`` (410) if it isn't stored."""
    try:
        upload.refresh_from_db()
    except Upload.DoesNotExist:
        raise refuse("upload-expired") from None
    if not upload.archive:
        raise refuse("upload-expired")
    return upload.length_bytes


def _discard(upload: Upload, error: UploadNotFound) -> Refusal:
    """Delete what is left of an upload whose parts the store no longer has: begin anew."""
    log.error("upload %s cannot go on: %s", upload.id, error)
    parts.remove(upload.id)
    multipart.delete_state(upload.id)
    return refuse("upload-expired")


@cache
def _finish_pool() -> ThreadPoolExecutor:
    # Storing is limited by disk or network and must not take the threads that serve pages.
    return ThreadPoolExecutor(max_workers=2, thread_name_prefix="finish-upload")


def finish_in_background(upload: Upload) -> None:
    """Hash and store a complete upload on a thread of its own, after the answer has gone out."""
    _finish_pool().submit(_finish_by_id, upload.id)


def _finish_by_id(upload_id: UUID) -> None:
    try:
        upload = Upload.objects.filter(id=upload_id).first()
        if upload is not None:
            try_to_finish(upload, wait_s=FINISH_WAIT_S)
    finally:
        connections.close_all()


def try_to_finish(upload: Upload, *, wait_s: float) -> bool:
    """Finish an upload; log what prevents it: the submission or the next sweep tries again.

    False where it is not finished.
    """
    try:
        finish(upload, wait_s=wait_s)
    except Refusal as refusal:
        log.info("upload %s not finished: %s", upload.id, refusal.code)
        return False
    except Exception:
        # A failure of one upload must not end the sweep of the others.
        log.exception("could not finish upload %s", upload.id)
        return False
    return True


def finish(upload: Upload, *, wait_s: float = FINISH_WAIT_S) -> Upload:
    """Hash and store a complete upload, once; later calls return what the first one did.

    Raises ``Conflict`` when the upload is not complete, and when another process still stores it
    after ``wait_s``.
    """
    try:
        with parts.locked(upload.id, wait_s=wait_s) as part_file:
            upload.refresh_from_db()
            if not upload.archive:
                if part_file.offset_bytes != upload.length_bytes:
                    raise refuse(
                        "upload-incomplete",
                        offset_bytes=part_file.offset_bytes,
                        declared_bytes=upload.length_bytes,
                    )
                upload.archive, upload.sha256 = _store(upload, part_file)
                upload.completed_at = upload.completed_at or timezone.now()
                upload.save(update_fields=["archive", "sha256", "completed_at"])
            parts.remove(upload.id)
            multipart.delete_state(upload.id)
    except PartFileLocked as error:
        raise refuse("upload-not-ready", retry_after_s=2) from error
    except PartFileNotFound:
        _stored_length(upload)  # stored by now, or expired
    except StoreUnavailable as error:
        log.warning("upload %s waits for the object store: %s", upload.id, error)
        raise refuse("upload-not-ready", retry_after_s=STORE_RETRY_S) from error
    except UploadNotFound as error:
        raise _discard(upload, error) from error
    return upload


def _store(upload: Upload, part_file: PartFile) -> tuple[str, str]:
    """Store a complete part file as an archive; its name in storage and its sha256."""
    target = multipart.start(
        part_file, name=archives.new_name(upload.id), length_bytes=upload.length_bytes
    )
    if target is not None and target.sent_bytes:
        return target.name, target.complete()
    multipart.check_complete(part_file)
    stored = archives.store_file(parts.part_path(upload.id), original_name=upload.original_name)
    return stored.name, stored.sha256


def archive_of(*, user: User, upload_id: UUID, now: datetime | None = None) -> StoredArchive:
    """The archive of the person's own complete upload, for a submission.

    Raises what ``get`` and ``finish`` raise, and ``Conflict`` when it was submitted before.
    """
    upload = get(user=user, upload_id=upload_id, now=now)
    if upload.purpose != Upload.Purpose.ARCHIVE:
        raise refuse("upload-not-found")
    finish(upload)
    _check_unsubmitted(upload)
    return StoredArchive(
        name=upload.archive,
        sha256=upload.sha256,
        bytes=upload.length_bytes,
        original_name=upload.original_name,
    )


def lock_unsubmitted(upload: Upload) -> None:
    """Keep an upload from being submitted elsewhere or deleted until this transaction ends.

    Raises ``Conflict`` when it was submitted before, ``Refusal`` (410) when it was deleted.
    """
    if not Upload.objects.select_for_update().filter(pk=upload.pk).exists():
        raise refuse("upload-expired")
    _check_unsubmitted(upload)


def _check_unsubmitted(upload: Upload) -> None:
    submission = Submission.objects.filter(upload=upload.pk).first()
    if submission is not None:
        raise refuse("upload-used", submission=str(submission.id))


def terminate(upload: Upload) -> None:
    """Delete an upload and its bytes; an archive that was submitted stays with its submission.

    Raises ``Refusal`` (423) while another request writes to it.
    """
    try:
        with parts.locked(upload.id, wait_s=LOCK_WAIT_S):
            _delete(upload)
    except PartFileLocked as error:
        raise refuse("upload-locked", retry_after_s=1) from error
    except PartFileNotFound:
        _delete(upload)


def _delete(upload: Upload) -> None:
    with transaction.atomic():
        # Waits for a submission in progress: then its archive is kept, or it comes too late and
        # is refused.
        row = Upload.objects.select_for_update().filter(pk=upload.pk).first()
        if row is not None:
            row.delete()
    # The row first: a kill in between leaves bytes without a row, which the sweeps remove.
    archives.delete(row.archive if row is not None else "")
    multipart.abort(upload.id)
    parts.remove(upload.id)
