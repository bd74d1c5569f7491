"""Loads a challenge's folder: creates it, or brings what is there up to date."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from challenge.services.challenges import challenges
from challenge.services.challenges.load_report import LoadConflicts, LoadReport, Take
from challenge.services.challenges.toml_document import FileMistakes
from scoring.engine.task.specification import SHIPPED, shipped_names


def _folder(text: str) -> Path:
    """Return the folder named by `text`, or that of the shipped challenge of this name."""
    path = Path(text)
    return SHIPPED / text if not path.exists() and text in shipped_names() else path


class Command(BaseCommand):
    help = (
        "Create or update a challenge from its folder (challenge.toml, pages/, id lists). "
        "Running it twice changes nothing. Mistakes are listed with file and line, and then "
        "nothing is written."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "path",
            type=_folder,
            nargs="+",
            help="a challenge's folder, or the name of a shipped challenge, e.g. flair-1",
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="say what would change and change nothing"
        )
        parser.add_argument(
            "--take",
            choices=[take.value for take in Take],
            help="file: what the file says counts wherever it differs from the desk; desk: what "
            "the desk says counts where both changed a field (default: stop there)",
        )

    def handle(
        self, *args: Any, path: list[Path], dry_run: bool, take: str | None, **options: Any
    ) -> None:
        for folder in path:
            try:
                report = challenges.load(folder, dry_run=dry_run, take=Take(take) if take else None)
            except FileMistakes as error:
                lines = "\n".join(f"  {mistake}" for mistake in error.mistakes)
                count = len(error.mistakes)
                noun = "mistake" if count == 1 else "mistakes"
                raise CommandError(
                    f"{folder}: {count} {noun}, nothing was loaded\n{lines}"
                ) from error
            except LoadConflicts as error:
                lines = "\n".join(f"  {line}" for line in error.conflicts)
                raise CommandError(
                    f"{folder}: file and desk both changed since the last load, nothing was "
                    f"loaded\n{lines}\nSay what counts: --take file or --take desk"
                ) from error
            self._print(report, dry_run=dry_run)

    def _print(self, report: LoadReport, *, dry_run: bool) -> None:
        if report.created:
            counted = f"{len(report.changes)} rows"
            done = f"would be created ({counted})" if dry_run else f"created ({counted})"
        elif report.changes:
            done = "would change" if dry_run else "updated"
        else:
            done = "is up to date"
        self.stdout.write(f"{report.slug}: {done}")
        for change in [] if report.created else report.changes:
            self.stdout.write(f"  {change}")
        for conflict in report.conflicts:
            self.stdout.write(self.style.ERROR(f"  conflict: {conflict}"))
        for remark in report.remarks:
            self.stdout.write(self.style.WARNING(f"  note: {remark}"))
