"""The trail of acts of people with power. Rows are only ever added."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils import timezone

from challenge.models import AuditEvent, Challenge, User


def record(
    action: str,
    *,
    actor: User | None,
    challenge: Challenge | None = None,
    target: object = "",
    now: datetime | None = None,
    **data: Any,
) -> AuditEvent:
    """Write who did what to what; ``data`` holds plain values (old and new figures, a reason).

    ``actor`` None is the platform itself (a sweep, a command).
    """
    return AuditEvent.objects.create(
        at=now or timezone.now(),
        actor=actor,
        action=action,
        challenge=challenge,
        target=str(target)[:200],
        data=data,
    )
