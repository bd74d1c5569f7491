"""The sweep: what makes true again what lost workers, messages or brokers left undone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.core.cache import cache

from challenge.models import Phase
from challenge.selectors import operations
from challenge.services import database_clock
from challenge.services.challenges import galleries, settlement
from challenge.services.labels import label_jobs
from challenge.services.leaderboard import ranks
from challenge.services.leased_jobs import SweepReport
from challenge.services.notifications import mails, webhooks
from challenge.services.submissions import (
    evaluations,
    pictures,
    pixel_comparisons,
    rescores,
    reveal_requests,
)
from challenge.services.training import training_runs


@dataclass(frozen=True)
class MaintenanceReport:
    """What a sweep did to jobs of three kinds, whom it settled, whose ranks it wrote."""

    evaluations: SweepReport
    runs: SweepReport
    labels: SweepReport
    phases_settled: list[Phase]
    phases_ranked: list[Phase]


def sweep(*, now: datetime | None = None) -> MaintenanceReport:
    """Queue again what lost workers held, settle phases, recompute ranks, notify workers."""
    now = now or database_clock.now()
    swept = (
        evaluations.sweep(now=now),
        training_runs.sweep(now=now),
        label_jobs.sweep(now=now),
    )
    rescores.sweep(now=now)
    pixel_comparisons.sweep(now=now)
    pictures.sweep(now=now)
    galleries.sweep(now=now)
    settled = settlement.settle_due(now=now)
    ranked = [phase for phase in ranks.recompute_stale(now=now) if phase not in settled]
    report = MaintenanceReport(*swept, phases_settled=settled, phases_ranked=[*settled, *ranked])
    reveal_requests.notify_workers()
    mails.notify_workers()
    webhooks.enqueue_closed_phases(now=now)
    webhooks.notify_workers(now=now)
    cache.set(operations.LAST_SWEEP_KEY, now.timestamp(), None)
    return report
