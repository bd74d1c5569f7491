"""Write a whole challenge into one file (docs/challenge-export.md)."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from challenge.errors import Refusal
from challenge.models import Challenge
from challenge.services.exports import exporting
from challenge.services.exports.exporting import Export, Options


class Command(BaseCommand):
    help = (
        "Write a whole challenge into a zip that import_challenge reads: description, pages, "
        "phases, teams, submissions, scores as organisers may see them, leaderboards, final "
        "results. Never labels, tokens or passwords."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slug", help="the challenge's address")
        parser.add_argument("out", type=Path, help="the file to write; it must not exist yet")
        parser.add_argument(
            "--personal-data",
            action="store_true",
            help="with user names, e-mail addresses, reasons, messages and the trail",
        )
        parser.add_argument("--archives", action="store_true", help="with all archives")

    def handle(
        self,
        *args: Any,
        slug: str,
        out: Path,
        personal_data: bool,
        archives: bool,
        **options: Any,
    ) -> None:
        challenge = Challenge.objects.filter(slug=slug).first()
        if challenge is None:
            known = ", ".join(Challenge.objects.values_list("slug", flat=True)) or "none"
            raise CommandError(f"no challenge {slug!r}; there are: {known}")
        try:
            export = exporting.prepare(
                challenge=challenge,
                actor=None,
                options=Options(personal_data=personal_data, archives=archives),
            )
            size_bytes = _write(out, export)
        except (Refusal, OSError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{slug}: exported to {out} ({size_bytes} bytes)")
        for line in export.left_out:
            facts = ", ".join(f"{key} {value}" for key, value in line.items() if key != "code")
            self.stdout.write(f"  left out: {line['code']}{f' ({facts})' if facts else ''}")


def _write(out: Path, export: Export) -> int:
    """Write the file, readable by its owner alone; half a one is removed. Returns its bytes."""
    size_bytes = 0
    with out.open("xb") as target:
        out.chmod(0o600)
        try:
            for chunk in exporting.stream(export):
                size_bytes += target.write(chunk)
        except BaseException:
            out.unlink()
            raise
    return size_bytes
