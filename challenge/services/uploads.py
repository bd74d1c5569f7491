"""Resumable uploads: declared, received in pieces, finished into an archive, swept.

Rows say what was declared and when it expires; the bytes are :mod:`upload_parts`' business. No
transaction is held while bytes stream. ``finish`` hashes and moves the bytes into storage once,
outside the request that brought the last of them; it may be called again at any time by anyone
(``take``, ``sweep``), so a process killed in the middle costs nothing. An object store gets the
bytes while they arrive (:mod:`upload_shipping`), and at the end the last of them.
"""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connections, transaction
from django.db.models import Sum
from django.utils import timezone

from challenge.errors import Refusal, refuse
from challenge.models import Submission, Upload, User
from challenge.services import archive_space, archives, upload_parts, upload_shipping
from challenge.services.archives import StoredArchive
from challenge.services.upload_parts import Checksum, Part, Stream

log = logging.getLogger(__name__)

LOCK_WAIT_S = 1.5
FINISH_WAIT_S = 20.0
STORE_AGAIN_S = 10
ORPHAN_AGE_S = 24 * 3600


@dataclass(frozen=True)
class Swept:
    """What one sweep did."""

    expired: int
    finished: int
    orphans: int
    strays: int = 0


def create(
    *,
    user: User,
    length_bytes: int,
    original_name: str = "",
    metadata: dict[str, str] | None = None,
    now: datetime | None = None,
) -> Upload:
    """Declare an upload of ``length_bytes``; its part file exists when this returns.

    Raises ``TooLarge`` above the limit of one file, of all unsubmitted uploads of the person, or
    of the team's archives (``metadata["phase"]`` says which challenge's team), ``Refusal`` (429)
    above their number, ``Refusal`` (507) where the disk would not hold it.
    """
    now = now or timezone.now()
    limit = int(settings.UPLOAD_LIMIT_BYTES)
    if length_bytes > limit:
        raise refuse("upload-too-large", found_bytes=length_bytes, allowed_bytes=limit)
    if upload_shipping.room_bytes(length_bytes) > upload_parts.free_bytes():
        raise refuse("upload-disk-full")
    with transaction.atomic():
        # The person's row is the lock of the sum: two creations cannot both see room for one.
        User.objects.select_for_update(of=("self",)).only("pk").get(pk=user.pk)
        _check_allowance(user, length_bytes=length_bytes, now=now)
        meant_for = (metadata or {}).get("phase", "").partition("/")[0]
        archive_space.check_upload(user, length_bytes=length_bytes, challenge=meant_for, now=now)
        upload = Upload.objects.create(
            user=user,
            length_bytes=length_bytes,
            original_name=archives.clean_name(original_name),
            metadata=metadata or {},
            expires_at=now + timedelta(seconds=settings.UPLOAD_EXPIRY_S),
        )
        upload_parts.make(upload.id)
    return upload


def _check_allowance(user: User, *, length_bytes: int, now: datetime) -> None:
    """Refuse when the person's unsubmitted uploads are too many or too large together."""
    waiting = Upload.objects.filter(user=user, expires_at__gt=now, submission__isnull=True)
    count_limit, bytes_limit = int(settings.UPLOAD_USER_COUNT), int(settings.UPLOAD_USER_BYTES)
    if waiting.count() >= count_limit:
        raise refuse("upload-count", limit=count_limit)
    declared = waiting.aggregate(total=Sum("length_bytes"))["total"] or 0
    if declared + length_bytes > bytes_limit:
        raise refuse("upload-quota", found_bytes=declared + length_bytes, allowed_bytes=bytes_limit)


def get(*, user: User, upload_id: UUID, now: datetime | None = None) -> Upload:
    """The person's own upload. Raises ``NotFound``, or ``Refusal`` (410) once it expired."""
    now = now or timezone.now()
    upload = Upload.objects.filter(user=user, id=upload_id).first()
    if upload is None:
        raise refuse("upload-not-found")
    if upload.expires_at <= now:
        raise refuse("upload-expired")
    return upload


def waiting(user: User, *, now: datetime | None = None) -> list[Upload]:
    """The person's uploads that count against their allowance, newest first (one query)."""
    found = Upload.objects.filter(
        user=user, expires_at__gt=now or timezone.now(), submission__isnull=True
    )
    return list(found.order_by("-created_at"))


def offset_bytes(upload: Upload) -> int:
    """How many bytes are safely here. Raises ``Refusal`` (410) where they were swept."""
    if upload.archive:
        return upload.length_bytes
    try:
        return upload_parts.offset_bytes(upload.id)
    except upload_parts.Gone as error:
        if _is_stored(upload):
            return upload.length_bytes
        raise refuse("upload-expired") from error


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
    460 for a wrong checksum (nothing kept), 507 for a full disk (what fits is kept).
    """
    now = now or timezone.now()
    if upload.archive:
        return _receive_nothing(upload, offset_bytes=offset_bytes, length_bytes=length_bytes)
    try:
        with upload_parts.locked(upload.id, wait_s=LOCK_WAIT_S) as part:
            _check_offset(part.offset_bytes, offset_bytes)
            if offset_bytes + length_bytes > upload.length_bytes:
                raise _longer_than_declared(upload)
            part.ship(name=archives.new_name(upload.id), length_bytes=upload.length_bytes)
            received = part.append(stream, limit_bytes=length_bytes, checksum=checksum)
            is_complete = received.offset_bytes == upload.length_bytes
            if is_complete:
                part.flush()
    except upload_parts.Busy as error:
        raise refuse("upload-locked", retry_after_s=1) from error
    except upload_parts.Gone as error:
        if not _is_stored(upload):
            raise refuse("upload-expired") from error
        # Another request brought the last bytes while this one was on its way.
        return _receive_nothing(upload, offset_bytes=offset_bytes, length_bytes=length_bytes)
    except upload_parts.ChecksumMismatch as error:
        raise refuse("upload-checksum") from error
    except upload_parts.DiskFull as error:
        raise refuse("upload-disk-full") from error
    except upload_shipping.Lost as error:
        raise _lost(upload, error) from error
    changes: dict[str, Any] = {
        "expires_at": now + timedelta(seconds=settings.UPLOAD_EXPIRY_S),
    }
    if is_complete:
        changes["completed_at"] = now
    Upload.objects.filter(id=upload.id).update(**changes)
    for name, value in changes.items():
        setattr(upload, name, value)
    return received.offset_bytes


def _lost(upload: Upload, error: upload_shipping.Lost) -> Refusal:
    """Forget bytes that the store no longer has: the upload has to be begun anew."""
    log.error("upload %s cannot go on: %s", upload.id, error)
    upload_parts.remove(upload.id)
    return refuse("upload-expired")


def _is_stored(upload: Upload) -> bool:
    """Ask the database again whether somebody finished the upload meanwhile."""
    upload.refresh_from_db()
    return bool(upload.archive)


def _receive_nothing(upload: Upload, *, offset_bytes: int, length_bytes: int) -> int:
    """Answer a request for an upload that is in storage already: only its very end is right."""
    _check_offset(upload.length_bytes, offset_bytes)
    if length_bytes:
        raise _longer_than_declared(upload)
    return upload.length_bytes


def _check_offset(found: int, given: int) -> None:
    if found != given:
        raise refuse("upload-offset", offset_bytes=found, given_bytes=given)


def _longer_than_declared(upload: Upload) -> Refusal:
    return refuse("upload-longer-than-declared", declared_bytes=upload.length_bytes)


@cache
def _finisher() -> ThreadPoolExecutor:
    # Two: storing is disk or network bound and must not take the threads that serve pages.
    return ThreadPoolExecutor(max_workers=2, thread_name_prefix="finish-upload")


def finish_soon(upload: Upload) -> None:
    """Hash and store a complete upload on a thread of its own, after the answer has gone out."""
    _finisher().submit(_finish_quietly, upload.id)


def _finish_quietly(upload_id: UUID) -> None:
    try:
        upload = Upload.objects.filter(id=upload_id).first()
        if upload is not None:
            finish(upload)
    except Refusal as refusal:
        log.info("upload %s not finished: %s", upload_id, refusal.code)
    except Exception:
        # Not lost: the row says complete, so the submission or the sweep finishes it.
        log.exception("could not finish upload %s", upload_id)
    finally:
        connections.close_all()


def finish(upload: Upload, *, wait_s: float = FINISH_WAIT_S) -> Upload:
    """Hash and move the bytes into storage, once; later calls return what the first one did.

    Raises ``Conflict`` when the upload is not complete, and when somebody else is still at it
    after ``wait_s``.
    """
    try:
        with upload_parts.locked(upload.id, wait_s=wait_s) as part:
            upload.refresh_from_db()
            if not upload.archive:
                if part.offset_bytes != upload.length_bytes:
                    raise refuse(
                        "upload-incomplete",
                        offset_bytes=part.offset_bytes,
                        declared_bytes=upload.length_bytes,
                    )
                upload.archive, upload.sha256 = _store(upload, part)
                upload.completed_at = upload.completed_at or timezone.now()
                upload.save(update_fields=["archive", "sha256", "completed_at"])
            upload_parts.remove(upload.id)
    except upload_parts.Busy as error:
        raise refuse("upload-not-ready", retry_after_s=2) from error
    except upload_parts.Gone as error:
        upload.refresh_from_db()
        if not upload.archive:
            raise refuse("upload-expired") from error
    except upload_shipping.Unreachable as error:
        log.warning("upload %s waits for the object store: %s", upload.id, error)
        raise refuse("upload-not-ready", retry_after_s=STORE_AGAIN_S) from error
    except upload_shipping.Lost as error:
        raise _lost(upload, error) from error
    return upload


def _store(upload: Upload, part: Part) -> tuple[str, str]:
    """Give a complete part to storage; the archive's name there and its sha256."""
    shipment = part.ship(name=archives.new_name(upload.id), length_bytes=upload.length_bytes)
    if shipment is not None and shipment.sent_bytes:
        return shipment.name, shipment.complete(upload.length_bytes)
    part.check_whole()
    stored = archives.adopt(upload_parts.part_path(upload.id), original_name=upload.original_name)
    return stored.name, stored.sha256


def take(*, user: User, upload_id: UUID, now: datetime | None = None) -> StoredArchive:
    """The archive of the person's own complete upload, for a submission.

    Raises what ``get`` and ``finish`` raise, and ``Conflict`` when it was submitted before.
    """
    upload = finish(get(user=user, upload_id=upload_id, now=now))
    used_by = Submission.objects.filter(upload=upload).first()
    if used_by is not None:
        raise refuse("upload-used", submission=str(used_by.id))
    return StoredArchive(
        name=upload.archive,
        sha256=upload.sha256,
        bytes=upload.length_bytes,
        original_name=upload.original_name,
    )


def hold(upload: Upload) -> None:
    """Keep an upload from being submitted elsewhere or deleted until this transaction ends.

    Raises ``Conflict`` when it was submitted before, ``Refusal`` (410) when it is gone.
    """
    if not Upload.objects.select_for_update().filter(pk=upload.pk).exists():
        raise refuse("upload-expired")
    used_by = Submission.objects.filter(upload=upload.pk).first()
    if used_by is not None:
        raise refuse("upload-used", submission=str(used_by.id))


def terminate(upload: Upload) -> None:
    """Delete an upload and its bytes; an archive that was submitted stays with its submission.

    Raises ``Refusal`` (423) while another request writes to it.
    """
    try:
        with upload_parts.locked(upload.id, wait_s=LOCK_WAIT_S):
            _delete(upload)
    except upload_parts.Busy as error:
        raise refuse("upload-locked", retry_after_s=1) from error
    except upload_parts.Gone:
        upload.refresh_from_db()
        _delete(upload)


def _delete(upload: Upload) -> None:
    with transaction.atomic():
        # Waits for a submission that is being written: then the archive is spared, or it comes
        # too late and is refused.
        held = Upload.objects.select_for_update().filter(pk=upload.pk).first()
        if held is not None:
            held.delete()
    # The row first: a kill in between leaves bytes without a row, which the sweeps remove.
    archives.delete(held.archive if held is not None else "")
    upload_shipping.give_up(upload.id)
    upload_parts.remove(upload.id)


def sweep(*, now: datetime | None = None) -> Swept:
    """Delete what expired, finish what was left complete, remove parts without a row."""
    now = now or timezone.now()
    expired = finished = 0
    for upload in Upload.objects.filter(expires_at__lte=now).order_by("expires_at").iterator():
        try:
            terminate(upload)
        except Refusal:
            log.info("upload %s expired while being written to; next time", upload.id)
            continue
        expired += 1
    late = now - timedelta(minutes=5)
    for upload in Upload.objects.filter(
        archive="", completed_at__lte=late, expires_at__gt=now
    ).iterator():
        try:
            finish(upload, wait_s=0)
        except Refusal as refusal:
            log.info("upload %s not finished: %s", upload.id, refusal.code)
            continue
        except Exception:
            # A store that breaks on one must not keep the sweep from the others.
            log.exception("could not finish upload %s", upload.id)
            continue
        finished += 1
    return Swept(
        expired=expired,
        finished=finished,
        orphans=_remove_orphans(now),
        strays=_give_up_strays(now),
    )


def _give_up_strays(now: datetime) -> int:
    """Give up multipart uploads in the store that a day later belong to no upload."""
    try:
        return upload_shipping.sweep(
            archives.FOLDER,
            is_stray=lambda name: not archives.is_of_upload(name),
            before=now - timedelta(seconds=ORPHAN_AGE_S),
        )
    except upload_shipping.Unreachable as error:
        log.warning("multipart uploads without an owner were not looked for: %s", error)
        return 0


def _remove_orphans(now: datetime) -> int:
    """Remove files of the parts' folder that no row knows and nobody touched for a day."""
    count = 0
    folder = Path(settings.UPLOADS_DIR)
    if not folder.is_dir():
        return 0
    for path in folder.iterdir():
        try:
            upload_id = UUID(hex=path.stem)
        except ValueError:
            continue
        age_s = now.timestamp() - path.stat().st_mtime
        if age_s > ORPHAN_AGE_S and not Upload.objects.filter(id=upload_id).exists():
            path.unlink(missing_ok=True)
            count += 1
    return count
