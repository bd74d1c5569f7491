"""Check that states, events, scores and the ledger agree; exit 1 where they do not."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from challenge.selectors import queue


class Command(BaseCommand):
    help = (
        "Check every evaluation: its events are legal transitions that lead to its state, a score "
        "where it is scored and nowhere else, its quota ledger settled. Changes nothing."
    )

    def handle(self, **options: Any) -> None:
        verified = queue.verify()
        for line in verified.faults:
            self.stderr.write(line)
        if verified.faults:
            raise CommandError(f"{len(verified.faults)} faults in {verified.checked} evaluations")
        self.stdout.write(f"{verified.checked} evaluations checked: no fault")
