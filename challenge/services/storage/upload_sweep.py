"""The sweep of uploads: expired ones deleted, complete ones stored, leftovers removed."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from challenge.errors import Refusal
from challenge.models import Upload
from challenge.rules.lifecycle import LabelState
from challenge.services.storage import archives, multipart, uploads
from challenge.services.storage.object_store import StoreUnavailable

log = logging.getLogger(__name__)

FINISH_LATE = timedelta(minutes=5)
ORPHAN_AGE = timedelta(days=1)
WAITING = (LabelState.QUEUED.value, LabelState.INSTALLING.value, LabelState.FAILED.value)


@dataclass(frozen=True)
class SweepReport:
    """Uploads expired and finished, part files removed and multipart uploads aborted by a sweep."""

    expired: int
    finished: int
    orphans: int
    aborted: int


def sweep(*, now: datetime | None = None) -> SweepReport:
    """Delete what expired, finish what was left complete, remove what no row names."""
    now = now or timezone.now()
    late = Upload.objects.filter(
        archive="", completed_at__lte=now - FINISH_LATE, expires_at__gt=now
    )
    return SweepReport(
        expired=_terminate_expired(now),
        finished=sum(uploads.try_to_finish(upload, wait_s=0) for upload in late.iterator()),
        orphans=_remove_orphans(now),
        aborted=_abort_orphans(now),
    )


def _terminate_expired(now: datetime) -> int:
    count = 0
    # Sealed labels wait for their worker however long it is away.
    expired = Upload.objects.filter(expires_at__lte=now).exclude(label_job__state__in=WAITING)
    for upload in expired.order_by("expires_at").iterator():
        try:
            uploads.terminate(upload)
        except Refusal:
            log.info("upload %s expired while being written to; next time", upload.id)
        else:
            count += 1
    return count


def _abort_orphans(now: datetime) -> int:
    """Abort multipart uploads in the store that a day later belong to no upload in progress."""
    try:
        return multipart.abort_orphans(
            archives.FOLDER,
            is_orphan=lambda name: not archives.unfinished_upload_names({name}),
            before=now - ORPHAN_AGE,
        )
    except StoreUnavailable as error:
        log.warning("orphaned multipart uploads were not looked for: %s", error)
        return 0


def _remove_orphans(now: datetime) -> int:
    """Remove files of the part files' folder that no row names and nobody touched for a day."""
    count = 0
    folder = Path(settings.UPLOADS_DIR)
    if not folder.is_dir():
        return 0
    for path in folder.iterdir():
        try:
            upload_id = UUID(hex=path.stem)
        except ValueError:
            continue
        is_old = path.stat().st_mtime < (now - ORPHAN_AGE).timestamp()
        if is_old and not Upload.objects.filter(id=upload_id).exists():
            path.unlink(missing_ok=True)
            count += 1
    return count
