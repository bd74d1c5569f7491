"""Loads a challenge's folder: creates it, or brings what is there up to date."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from challenge.rules.phase_consequences import Consequence
from challenge.services.challenges import challenges
from challenge.services.challenges.load_report import (
    LoadConflicts,
    LoadReport,
    LoadUnconfirmed,
    Take,
)
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

        parser.add_argument(
            "--confirm",
            default="",
            metavar="CODES@DIGEST",
            help="confirm exactly the consequences that a load named; of one challenge at a time",
        )

    def handle(
        self,
        *args: Any,
        path: list[Path],
        dry_run: bool,
        take: str | None,
        confirm: str,
        **options: Any,
    ) -> None:
        if confirm and len(path) > 1:
            raise CommandError("--confirm is of one challenge; give its folder alone")
        for folder in path:
            try:
                report = challenges.load(
                    folder, dry_run=dry_run, take=Take(take) if take else None, confirmed=confirm
                )
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
            except LoadUnconfirmed as error:
                raise CommandError(_unconfirmed(folder, error, confirm)) from error
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
        for phase, one in report.consequences:
            self.stdout.write(self.style.WARNING(f"  consequence: {_consequence(phase, one)}"))
        if report.consequences and dry_run:
            self.stdout.write(f"  to load it: --confirm {report.confirmation}")
        for remark in report.remarks:
            self.stdout.write(self.style.WARNING(f"  note: {remark}"))


def _unconfirmed(folder: Path, error: LoadUnconfirmed, confirm: str) -> str:
    if not error.consequences:
        return f"{folder}: nothing was loaded. There is nothing to confirm; leave --confirm out"
    lines = "\n".join(f"  {_consequence(phase, one)}" for phase, one in error.consequences)
    why = "what was confirmed is not what the load means now" if confirm else "nothing was loaded"
    return (
        f"{folder}: changes of phases have consequences; {why}\n{lines}\n"
        f"Confirm exactly these: --confirm {error.confirmation}"
    )


def _consequence(phase: str, one: Consequence) -> str:
    """Say a consequence in its code and numbers (docs/challenge-file.md explains the codes)."""
    facts = ", ".join(f"{name} {value}" for name, value in one.params.items())
    return f"phase {phase}: {one.code}" + (f" ({facts})" if facts else "")
