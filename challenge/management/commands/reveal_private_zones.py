"""Reveals the private zones of a closed phase. Run it on a worker's machine."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from challenge.models import Phase
from challenge.services.submissions import reveal
from challenge.services.submissions.reveal import RevealError


class Command(BaseCommand):
    help = (
        "Score the submissions of a closed phase on its private zones, from the evidence kept "
        "(where that is missing, from the archives), and publish them all at once: the leaderboard "
        "is then ranked by the private zones, and the list of public ones is opened. Needs "
        "LABELS_DIR and EVIDENCE_DIR. Stopped midway it has published nothing; run it again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("challenge", help="slug, for instance flair-1")
        parser.add_argument("phase", help="slug, for instance test")
        parser.add_argument(
            "--partial",
            action="store_true",
            help="publish although some submissions have neither evidence nor archive: they get "
            "no final score",
        )

    def handle(self, *args: Any, challenge: str, phase: str, partial: bool, **options: Any) -> None:
        named = Phase.objects.filter(challenge__slug=challenge, slug=phase).first()
        if named is None:
            known = ", ".join(str(phase) for phase in Phase.objects.select_related("challenge"))
            raise CommandError(f"found no phase {challenge}/{phase}; there are: {known or 'none'}")
        try:
            done = reveal.reveal(
                phase=named,
                partial=partial,
                on_progress=self._progress if options["verbosity"] > 0 else None,
            )
        except RevealError as error:
            raise CommandError(f"{error}\nNothing was published.") from error
        for line in done.left_out:
            self.stdout.write(self.style.WARNING(f"left out: {line}"))
        if done.again and not done.scores:
            self.stdout.write(f"{done.phase} was revealed already, nothing was left to do")
            return
        self.stdout.write(
            self.style.SUCCESS(
                f"{done.phase} is ranked by its private zones: {done.scores} submissions scored, "
                f"{len(done.left_out)} left out. The list of public zones and its nonce are "
                "published with the phase's labels."
            )
        )

    def _progress(self, done: int, total: int) -> None:
        if done % 100 == 0 or done == total:
            self.stdout.write(f"  {done:,} of {total:,} submissions ready")
