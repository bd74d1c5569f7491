"""What GPU workers say of themselves: their device, recipes and data sets.

Only they know; the site has neither torch nor data. Kept in the cache: a worker says it again
every few seconds, and a list that was lost is whole again by then.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.utils import timezone

from challenge.selectors import cached
from challenge.selectors.training import WORKERS, WORKERS_KEY, WorkerLine, announced_workers

# So long may a machine be away and still be offered in the form.
KEPT = timedelta(days=7)


def announce(
    worker: str,
    *,
    device: dict[str, Any],
    recipes: Sequence[dict[str, Any]],
    data_roots: Sequence[str],
    problem: str = "",
) -> None:
    """Say what a worker can do; said again it replaces what was said before.

    ``problem`` says why it cannot train at all: ``extra-missing`` or ``runner-broken``.
    """
    now = timezone.now()
    # Two workers at once may lose one of the lines until it is said again.
    known = {
        name: line
        for name, line in announced_workers().items()
        if name != worker and line.seen_at > now - KEPT
    }
    known[worker] = WorkerLine(
        device=device,
        recipes=list(recipes),
        data_roots=list(data_roots),
        problem=problem,
        seen_at=now,
    )
    cached.write(WORKERS_KEY, known, kind=WORKERS, kept_s=int(KEPT.total_seconds()))
