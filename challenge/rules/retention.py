"""Until when archives are kept. Pure.

An archive is needed to score a submission and, later, to score it under other labels or to look
into a winner. Scores, counts per patch (from which any later policy is re-scored) and receipts are
small and stay for good, so archives of submissions that decide nothing may go.
"""

from __future__ import annotations

from datetime import datetime, timedelta

# Nobody needs what was never scored, but who sent it may want to look at it once more.
REFUSED_KEPT = timedelta(days=7)


def removable_before(
    *, closes_at: datetime | None, kept_days: int, now: datetime
) -> datetime | None:
    """Return the moment before which a submission must have come for its archive to go now.

    ``kept_days`` count from the phase's close; in a phase without an end from each submission.
    None: none may go yet. That the submission decides nothing is for the caller to know.
    """
    kept = timedelta(days=kept_days)
    if closes_at is None:
        return now - kept
    return now if closes_at + kept <= now else None
