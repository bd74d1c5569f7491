"""When something is open. Pure: the clock is an argument."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum


class Window(StrEnum):
    """Where a moment lies in a half-open window ``opens_at <= now < closes_at``."""

    UPCOMING = "upcoming"
    OPEN = "open"
    CLOSED = "closed"


def window_at(now: datetime, *, opens_at: datetime, closes_at: datetime | None) -> Window:
    """Say where ``now`` lies; a window without an end never closes.

    >>> from datetime import UTC
    >>> noon, one = datetime(2026, 1, 1, 12, tzinfo=UTC), datetime(2026, 1, 1, 13, tzinfo=UTC)
    >>> window_at(noon, opens_at=noon, closes_at=one), window_at(one, opens_at=noon, closes_at=one)
    (<Window.OPEN: 'open'>, <Window.CLOSED: 'closed'>)
    """
    if now < opens_at:
        return Window.UPCOMING
    if closes_at is not None and now >= closes_at:
        return Window.CLOSED
    return Window.OPEN


def is_open(now: datetime, *, opens_at: datetime, closes_at: datetime | None) -> bool:
    """Say whether ``now`` is inside the window."""
    return window_at(now, opens_at=opens_at, closes_at=closes_at) is Window.OPEN
