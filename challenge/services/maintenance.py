"""The sweep: what makes true again what lost workers, messages or brokers left undone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.core.cache import cache

from challenge.models import Phase
from challenge.selectors import operations
from challenge.services import database_clock
from challenge.services.leaderboard import ranks
from challenge.services.leased_jobs import SweepReport
from challenge.services.notifications import mails, webhooks
from challenge.services.submissions import evaluations
from challenge.services.training import training_runs


@dataclass(frozen=True)
class MaintenanceReport:
    """What a sweep did to evaluations and training runs, and whose ranks it recomputed."""

    evaluations: SweepReport
    runs: SweepReport
    phases_ranked: list[Phase]


def sweep(*, now: datetime | None = None) -> MaintenanceReport:
    """Queue again what lost workers held, recompute stale ranks, notify workers of what waits."""
    now = now or database_clock.now()
    report = MaintenanceReport(
        evaluations=evaluations.sweep(now=now),
        runs=training_runs.sweep(now=now),
        phases_ranked=ranks.recompute_stale(now=now),
    )
    mails.notify_workers()
    webhooks.enqueue_closed_phases(now=now)
    webhooks.notify_workers(now=now)
    cache.set(operations.LAST_SWEEP_KEY, now.timestamp(), None)
    return report
