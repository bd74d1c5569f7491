"""What scoring workers say of themselves: isolation, labels, room on their disks.

Only they know. Kept in the cache, as what GPU workers say
(:mod:`challenge.services.training.workers`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from django.utils import timezone

from challenge.selectors import cached, health
from challenge.selectors.health import ScoringWorkerLine

# So long is a worker listed that is not heard of any more.
KEPT = timedelta(days=1)


def announce(
    worker: str,
    *,
    host: str,
    isolation: str,
    faults: Sequence[str],
    label_files: Sequence[str],
    free_bytes: Mapping[str, int],
) -> None:
    """Say what a worker has; said again it replaces what was said before."""
    now = timezone.now()
    # Two workers at once may lose one of the lines until it is said again.
    known = {
        name: line
        for name, line in health.announced().items()
        if name != worker and line.seen_at > now - KEPT
    }
    known[worker] = ScoringWorkerLine(
        host=host,
        isolation=isolation,
        faults=list(faults),
        label_files=list(label_files),
        free_bytes=dict(free_bytes),
        seen_at=now,
    )
    kept_s = int(KEPT.total_seconds())
    cached.write(health.WORKERS_KEY, known, kind=health.SCORING_WORKERS, kept_s=kept_s)
