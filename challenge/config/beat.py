"""Beat's scheduler: kept in memory, and giving a sign of life at every tick."""

from __future__ import annotations

from celery import beat

from challenge.config import liveness

LONGEST_SLEEP_S = 20


class Scheduler(beat.Scheduler):  # type: ignore[misc]  # Celery has no types
    """Nothing here minds being rung once more after a restart, so nothing is kept on disk."""

    max_interval = LONGEST_SLEEP_S

    def tick(self, *args: object, **kwargs: object) -> float:
        liveness.sign("beat")
        return float(super().tick(*args, **kwargs))
