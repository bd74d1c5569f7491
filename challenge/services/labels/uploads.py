"""Uploads of sealed labels: by owners alone, with limits of their own, never a submission."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from challenge.errors import refuse
from challenge.models import Phase, Upload, User
from challenge.rules.roles import Act
from challenge.selectors import roles
from challenge.services.storage import uploads
from scoring.engine.truth import sealed

UPLOADS_MAX = 3  # of one person at the same time, those of waiting jobs included


def limit_bytes() -> int:
    """Return the size of the largest sealed file: the labels worker opens it in memory."""
    content = int(settings.LABELS_LIMIT_BYTES)
    return content + sealed.overhead_bytes(content)


def create(
    *,
    user: User,
    phase: Phase,
    length_bytes: int,
    original_name: str,
    metadata: dict[str, str],
    now: datetime | None = None,
) -> Upload:
    """Declare an upload of sealed labels for a phase.

    Raises NotAllowed for who may not change its labels, TooLarge ``upload-too-large``, Refusal
    ``upload-count`` and ``upload-disk-full``.
    """
    now = now or timezone.now()
    roles.require(user, Act.LABELS, phase.challenge)
    if length_bytes > limit_bytes():
        raise refuse("upload-too-large", found_bytes=length_bytes, allowed_bytes=limit_bytes())
    uploads.check_room(length_bytes)
    with transaction.atomic():
        uploads.lock_person(user)
        mine = Upload.objects.filter(user=user, purpose=Upload.Purpose.LABELS, expires_at__gt=now)
        if mine.count() >= UPLOADS_MAX:
            raise refuse("labels-upload-count", limit=UPLOADS_MAX)
        return uploads.insert(
            user=user,
            length_bytes=length_bytes,
            original_name=original_name,
            metadata=metadata,
            now=now,
            purpose=Upload.Purpose.LABELS,
        )
