"""Moments as a challenge's own clocks show them, with UTC beside."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from challenge.models import Challenge


def zone_of(challenge: Challenge) -> ZoneInfo:
    """Return the zone in which a challenge's desk takes and shows times."""
    return ZoneInfo(challenge.time_zone)


def both(at: datetime, zone: ZoneInfo) -> str:
    """Return a moment in a zone and in UTC; once where the clocks are the same.

    >>> both(datetime(2026, 5, 4, 10, tzinfo=UTC), ZoneInfo("Europe/Paris"))
    '2026-05-04 12:00 CEST (10:00 UTC)'
    >>> both(datetime(2026, 5, 4, 23, tzinfo=UTC), ZoneInfo("Europe/Paris"))
    '2026-05-05 01:00 CEST (2026-05-04 23:00 UTC)'
    """
    local, utc = at.astimezone(zone), at.astimezone(UTC)
    pattern = "%H:%M:%S" if at.second else "%H:%M"
    if local.utcoffset() == utc.utcoffset():
        return f"{utc:%Y-%m-%d} {utc:{pattern}} UTC"
    day = "" if local.date() == utc.date() else f"{utc:%Y-%m-%d} "
    return f"{local:%Y-%m-%d} {local:{pattern}} {local:%Z} ({day}{utc:{pattern}} UTC)"


def field_text(at: datetime | None, zone: ZoneInfo) -> str:
    """Return a moment as an input of type datetime-local takes it, on the zone's clocks."""
    if at is None:
        return ""
    local = at.astimezone(zone)
    return local.strftime("%Y-%m-%dT%H:%M:%S" if local.second else "%Y-%m-%dT%H:%M")
