"""The sweep that Celery beat runs every half minute, by hand: without beat, or to be sure."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from challenge.services import maintenance


class Command(BaseCommand):
    help = "Queue again what lost workers left, notify workers, recompute stale ranks."

    def handle(self, **options: Any) -> None:
        report = maintenance.sweep()
        evaluations, runs = report.evaluations, report.runs
        self.stdout.write(
            f"evaluations: {len(evaluations.requeued)} queued again, {len(evaluations.failed)} "
            f"failed, {evaluations.waiting} waiting; {len(report.phases_ranked)} phases ranked anew"
        )
        self.stdout.write(
            f"training runs: {len(runs.requeued)} queued again, {len(runs.failed)} failed, "
            f"{len(runs.cancelled)} cancelled, {runs.waiting} waiting"
        )
