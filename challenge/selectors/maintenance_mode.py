"""Whether the site is in maintenance: readable, but nobody writes and workers claim nothing.

Every request asks, so each process remembers the answer for ``MAINTENANCE_CHECK_S``.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.utils import timezone

from challenge.models import MaintenancePeriod

RETRY_MIN_S, RETRY_MAX_S = 30, 3600
RETRY_UNKNOWN_S = 300


@dataclass(frozen=True)
class Maintenance:
    """A period that goes on; ``until`` is announced, or None."""

    started_at: datetime
    until: datetime | None

    @property
    def is_late(self) -> bool:
        """Whether it lasts longer than was announced."""
        return self.until is not None and self.until <= timezone.now()

    @property
    def retry_after_s(self) -> int:
        """Seconds after which to ask again."""
        if self.until is None:
            return RETRY_UNKNOWN_S
        left_s = int((self.until - timezone.now()).total_seconds()) + 1
        return min(max(left_s, RETRY_MIN_S), RETRY_MAX_S)


_known: tuple[float, Maintenance | None] | None = None


def current() -> Maintenance | None:
    """Return the period that goes on, or None. One query where the answer is too old, else none."""
    known = _known
    if known is None or time.monotonic() - known[0] >= settings.MAINTENANCE_CHECK_S:
        return read()
    return known[1]


def read() -> Maintenance | None:
    """Ask the database, and remember the answer. One query."""
    row = MaintenancePeriod.objects.filter(ended_at=None).values("started_at", "until").first()
    return remember(Maintenance(**row) if row else None)


def remember(found: Maintenance | None) -> Maintenance | None:
    """Take ``found`` as this process's answer from now on; returns it."""
    global _known
    _known = (time.monotonic(), found)
    return found
