"""Installs the hidden labels of a phase. Run it where LABELS_DIR is: on a worker's machine."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from challenge.services import ground_truth
from challenge.services.ground_truth import InstallError

_MB = 1_000_000


class Command(BaseCommand):
    help = (
        "Check every MSK_*.tif below a folder (any depth), pack them into one file in LABELS_DIR, "
        "register it as a new version with its digest and attach it to the phase. A broken, "
        "missing or unknown mask stops it; then nothing is registered."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("challenge", help="the challenge's slug, e.g. flair-1")
        parser.add_argument("--labels", type=Path, required=True, help="folder of the masks")
        parser.add_argument("--phase", default="test", help="slug of the phase (default: test)")
        parser.add_argument(
            "--ids",
            type=Path,
            metavar="CSV",
            help="the patches expected, a CSV with the columns domain, zone, patch "
            "(default: those of the phase)",
        )
        parser.add_argument(
            "--subset",
            action="store_true",
            help="ignore masks of other patches in the folder instead of stopping",
        )

    def handle(
        self,
        *args: Any,
        challenge: str,
        labels: Path,
        phase: str,
        ids: Path | None,
        subset: bool,
        **options: Any,
    ) -> None:
        try:
            done = ground_truth.install(
                challenge_slug=challenge,
                phase_slug=phase,
                labels_dir=labels,
                ids_csv=ids,
                subset=subset,
                on_progress=self._progress if options["verbosity"] > 0 else None,
            )
        except InstallError as error:
            raise CommandError(f"{error}\nNothing was registered.") from error
        truth = done.ground_truth
        self.stdout.write(
            f"{truth}: {'registered' if done.created else 'was registered already'}, "
            f"{truth.patch_count} patches, {done.store_bytes / _MB:.2f} MB "
            f"({done.store_bytes / done.raw_bytes:.1%} of the raw masks), "
            f"digest {truth.digest[:12]}"
        )
        if done.rescore:
            self.stdout.write(
                self.style.WARNING(
                    f"{challenge}/{phase}: {done.rescore} submissions were scored against earlier "
                    "labels, which stay in force until they are scored with these: "
                    f"manage.py rescore_phase {challenge} {phase}"
                )
            )
            return
        said = "now scored against it" if done.attached else "was scored against it already"
        self.stdout.write(f"{challenge}/{phase}: {said}")

    def _progress(self, done: int, total: int) -> None:
        if done % 1000 == 0 and done < total:
            self.stdout.write(f"  {done:,} of {total:,} masks checked")
