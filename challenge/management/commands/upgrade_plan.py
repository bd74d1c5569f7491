"""Say what an upgrade does to the database, and whether the site can go on meanwhile."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

import scoring
from challenge.services.installation import upgrades

EXIT_STOP = 1


class Command(BaseCommand):
    help = (
        "List the migrations that the database lacks, and say whether processes of the previous "
        "release can go on beside them (a rolling upgrade) or must be stopped first. Run it with "
        "the new release before `migrate`. Changes nothing."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--check", action="store_true", help="exit with 1 where a stop is needed"
        )

    def handle(self, *, check: bool, **options: Any) -> None:
        found = upgrades.pending()
        for step in found:
            self.stdout.write(step.name + ("" if step.obstacles else ": adds only"))
            for obstacle in step.obstacles:
                self.stdout.write(f"    {obstacle}")
        needs_stop = any(step.obstacles for step in found)
        if not found:
            self.stdout.write(f"the database has what {scoring.__version__} needs")
        elif needs_stop:
            self.stdout.write(
                "this upgrade needs a stop: switch maintenance on, stop web and workers, migrate, "
                "start the new release (docs/operating.md, Upgrading)"
            )
        else:
            self.stdout.write("this upgrade can roll: migrate, then restart workers, then web")
        if check and needs_stop:
            sys.exit(EXIT_STOP)
