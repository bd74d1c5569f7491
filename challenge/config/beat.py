"""Beat's scheduler: kept in memory, and recording at every tick that it is alive."""

from __future__ import annotations

from celery import beat

from challenge.config import liveness

LONGEST_SLEEP_S = 20


class Scheduler(beat.Scheduler):  # type: ignore[misc]  # Celery has no types
    """Every task may run once more after a restart, so nothing is kept on disk."""

    max_interval = LONGEST_SLEEP_S

    def tick(self, *args: object, **kwargs: object) -> float:
        liveness.record_alive("beat")
        return float(super().tick(*args, **kwargs))
