"""Switch maintenance on and off: the site stays readable, nobody writes, workers take nothing."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from challenge.selectors import maintenance_mode, operations
from challenge.services import maintenance_mode as service


class Command(BaseCommand):
    help = (
        "Switch maintenance on or off. Meanwhile pages and API can be read; what writes is "
        "answered 503 with Retry-After, except to operators; workers finish what they have and "
        "take nothing new. on again changes the announced end."
    )
    # Before an upgrade and after one: the rest of the installation may be incomplete.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=("on", "off", "status"))
        parser.add_argument(
            "--until",
            metavar="MOMENT",
            help="what people are told: 2027-01-31T18:00Z, or a number of minutes from now. Ends "
            "nothing by itself",
        )
        parser.add_argument(
            "--wait",
            type=float,
            metavar="MINUTES",
            default=0.0,
            help="with on: wait for so long at most until workers have finished; exit 1 if not",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["action"] != "on" and (options["until"] or options["wait"]):
            raise CommandError("--until and --wait go with on alone")
        getattr(self, f"_{options['action']}")(options)

    def _on(self, options: dict[str, Any]) -> None:
        until = _moment(options["until"]) if options["until"] else None
        service.begin(until=until)
        for phase in service.closing_phases(until=until):
            self.stderr.write(
                f"{phase.challenge.slug}/{phase.slug} closes meanwhile, on "
                f"{phase.closes_at:%Y-%m-%d %H:%M} UTC: move its close on its desk, or announce it"
            )
        # Until then a process may still take a request that writes, or a job.
        time.sleep(settings.MAINTENANCE_CHECK_S)
        self._status(options)
        end_s = time.monotonic() + options["wait"] * 60
        while (running := operations.running_jobs()) and options["wait"]:
            if time.monotonic() > end_s:
                raise CommandError(f"{running} jobs run still; wait longer, or stop the workers")
            time.sleep(1)
        if options["wait"]:
            self.stdout.write("nothing runs any more")

    def _off(self, _options: dict[str, Any]) -> None:
        was_on = service.end()
        self.stdout.write("maintenance is over" if was_on else "there was no maintenance")

    def _status(self, _options: dict[str, Any]) -> None:
        period = maintenance_mode.read()
        if period is None:
            self.stdout.write("no maintenance")
            return
        until = f", announced until {period.until:%Y-%m-%d %H:%M} UTC" if period.until else ""
        self.stdout.write(
            f"maintenance since {period.started_at:%Y-%m-%d %H:%M} UTC{until}; "
            f"{operations.running_jobs()} jobs run"
        )


def _moment(text: str) -> datetime:
    if text.isdecimal() and 0 < int(text) <= 7 * 24 * 60:
        return timezone.now() + timedelta(minutes=int(text))
    try:
        found = parse_datetime(text)
    except ValueError:
        found = None
    if found is None or timezone.is_naive(found) or found <= timezone.now():
        raise CommandError(
            f"--until is {text!r}; allowed are a moment to come with its offset "
            "(2027-01-31T18:00Z) or minutes from now (1 to 10080)"
        )
    return found
