"""Check that states, events, scores and the ledger tell one story; exit 1 where they do not."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from challenge.selectors import queue


class Command(BaseCommand):
    help = (
        "Check every evaluation: its events are legal moves that lead to its state, a score "
        "where it is scored and nowhere else, its place in the ledger settled. Changes nothing."
    )

    def handle(self, **options: Any) -> None:
        found = queue.verify()
        for line in found.faults:
            self.stderr.write(line)
        if found.faults:
            raise CommandError(f"{len(found.faults)} faults in {found.checked} evaluations")
        self.stdout.write(f"{found.checked} evaluations checked: no fault")
