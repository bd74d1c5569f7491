"""When a closed phase is settled: everything has its verdict, and teams have chosen. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

# Long enough for what was accepted at the close to be committed; a month at most.
SHORTEST_GRACE_MINUTES = 5
LONGEST_GRACE_MINUTES = 43_200


def is_due(
    now: datetime,
    *,
    closes_at: datetime | None,
    grace: timedelta,
    waiting: int,
    last_verdict_at: datetime | None,
) -> bool:
    """Say whether a phase may be settled at ``now``.

    ``waiting`` counts the live evaluations without a verdict, ``last_verdict_at`` is when the last
    one ended (None: there was none). The grace runs from the later of the close and that moment:
    in it teams choose among all their submissions. A phase without an end is never settled.

    >>> from datetime import UTC
    >>> noon, hour = datetime(2026, 1, 1, 12, tzinfo=UTC), timedelta(hours=1)
    >>> is_due(noon + hour, closes_at=noon, grace=hour, waiting=0, last_verdict_at=None)
    True
    >>> is_due(noon + hour, closes_at=noon, grace=hour, waiting=0, last_verdict_at=noon + hour / 2)
    False
    """
    if closes_at is None or waiting:
        return False
    return now >= max(closes_at, last_verdict_at or closes_at) + grace
