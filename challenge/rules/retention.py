"""Until when archives are kept. Pure.

An archive is needed to score a submission and, later, to score it under other labels or to examine
a winner. Scores, evidence (from which any later policy is re-scored) and receipts are small and
stay for good, so archives of submissions that decide nothing may be removed.
"""

from __future__ import annotations

from datetime import datetime, timedelta

# Nobody needs an archive that was never scored, but its team may want to examine it.
REFUSED_KEPT = timedelta(days=7)


def removable_before(
    *, closes_at: datetime | None, kept_days: int, now: datetime
) -> datetime | None:
    """Return the moment before which a submission was made whose archive may be removed now.

    ``kept_days`` count from the phase's close; in a phase without an end from each submission.
    None: none may be removed yet. Whether a submission decides anything the caller knows.
    """
    kept = timedelta(days=kept_days)
    if closes_at is None:
        return now - kept
    return now if closes_at + kept <= now else None
