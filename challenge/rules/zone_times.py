"""Times as a challenge's own clocks show them, and the moments that they mean. Pure.

At a change of clocks an hour is skipped or comes twice. Nothing guesses which moment was meant:
whoever writes such a time is given the two moments to choose from.
"""

from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime

NAMES = frozenset(
    name for name in zoneinfo.available_timezones() if "/" in name and not name.startswith("Etc/")
) | {"UTC"}


def moments(clock: datetime, *, zone: zoneinfo.ZoneInfo) -> list[datetime]:
    """Return the moments (UTC) at which clocks of a zone show ``clock`` (naive).

    One as a rule; none in a skipped hour; two, the earlier first, in one that comes twice.

    >>> paris = zoneinfo.ZoneInfo("Europe/Paris")
    >>> [f"{at:%H:%M}" for at in moments(datetime(2026, 10, 25, 2, 30), zone=paris)]
    ['00:30', '01:30']
    >>> moments(datetime(2026, 3, 29, 2, 30), zone=paris)
    []
    """
    readings = _readings(clock, zone)
    return [at for at in readings if at.astimezone(zone).replace(tzinfo=None) == clock]


def choices(clock: datetime, *, zone: zoneinfo.ZoneInfo) -> list[datetime]:
    """Return what ``clock`` may have meant, the earlier first: one moment or two.

    Two of an hour that comes twice; for a skipped one those that the offsets before and after the
    change make of it.

    >>> paris = zoneinfo.ZoneInfo("Europe/Paris")
    >>> skipped = choices(datetime(2026, 3, 29, 2, 30), zone=paris)
    >>> [f"{at.astimezone(paris):%H:%M}" for at in skipped]
    ['01:30', '03:30']
    """
    return moments(clock, zone=zone) or _readings(clock, zone)


def _readings(clock: datetime, zone: zoneinfo.ZoneInfo) -> list[datetime]:
    """Both readings of ``clock`` by the offsets around it, as moments; equals once."""
    found = set()
    for fold in (0, 1):
        try:
            found.add(clock.replace(tzinfo=zone, fold=fold).astimezone(UTC))
        except OverflowError:  # the first and the last day of the calendar
            continue
    return sorted(found)
