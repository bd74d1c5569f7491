"""What beat does every half minute, by hand: for an operator without beat, or in doubt."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from challenge.services import evaluations, training_runs


class Command(BaseCommand):
    help = "Queue again what lost workers left, ring for what waits, recompute stale ranks."

    def handle(self, **options: Any) -> None:
        report = evaluations.sweep()
        runs = training_runs.sweep()
        self.stdout.write(
            f"evaluations: {len(report.requeued)} queued again, {len(report.failed)} failed, "
            f"{report.waiting} waiting; {len(report.phases_ranked)} phases ranked anew"
        )
        self.stdout.write(
            f"training runs: {len(runs.requeued)} queued again, {len(runs.failed)} failed, "
            f"{len(runs.cancelled)} cancelled, {runs.waiting} waiting"
        )
