"""Beat's scheduler: kept in memory, and recording at every tick that it is alive."""

from __future__ import annotations

from typing import Any

from celery import beat

from challenge.config import liveness

LONGEST_SLEEP_S = 20


class Scheduler(beat.Scheduler):  # type: ignore[misc]  # Celery has no types
    """Every task may run once more after a restart, so nothing is kept on disk."""

    max_interval = LONGEST_SLEEP_S

    def tick(self, *args: object, **kwargs: object) -> float:
        liveness.record_alive("beat")
        return float(super().tick(*args, **kwargs))

    def apply_async(self, *args: Any, **kwargs: Any) -> Any:
        """Send a task name, and record whether the broker took it."""
        try:
            sent = super().apply_async(*args, **kwargs)
        except Exception as error:
            liveness.record_faults("beat", [f"the broker takes no message: {error}"])
            raise
        if liveness.recorded_faults("beat"):
            liveness.record_faults("beat", [])
        return sent
