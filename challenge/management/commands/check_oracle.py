"""Score a phase's labels as predictions: the score must be 1."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from challenge.errors import Refusal
from challenge.models import Phase
from challenge.services.challenges import oracle
from challenge.services.challenges.oracle import OracleError


class Command(BaseCommand):
    help = (
        "On a worker: hand a phase's labels in as predictions, score them with the scorer of "
        "submissions, and keep the result for the launch check of the desk. Anything but 1 means "
        "that the task and the labels do not fit."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("challenge", help="slug, for instance flair-1")
        parser.add_argument("phase", help="slug, for instance test")

    def handle(self, *, challenge: str, phase: str, **options: Any) -> None:
        phases = Phase.objects.select_related("challenge", "ground_truth", "task_spec")
        named = phases.filter(challenge__slug=challenge, slug=phase).first()
        if named is None:
            known = ", ".join(str(one) for one in phases)
            raise CommandError(f"found no phase {challenge}/{phase}; there are: {known or 'none'}")
        try:
            miou = oracle.check(named)
        except (Refusal, OracleError, OSError) as error:
            raise CommandError(str(error)) from error
        if miou != 1.0:
            raise CommandError(f"{named}: the labels score {miou:.6f} as predictions, not 1")
        self.stdout.write(f"{named}: the labels score 1 as predictions")
