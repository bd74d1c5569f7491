"""Restore a site from a backup (docs/operating.md, Backups)."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from challenge.services.backup import restoring
from challenge.services.backup.manifest import BackupError
from challenge.services.backup.restoring import Options


class Command(BaseCommand):
    help = (
        "Restore a backup: every digest is checked first, then files, keys and the database are "
        "written. Stop the web, the workers and beat before. Into a database that has tables only "
        "with --replace and its name."
    )
    # The database is empty.
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "folder", type=Path, help="one backup, or the folder of backups: its newest one"
        )
        parser.add_argument(
            "--check", action="store_true", help="only read the backup and compare every digest"
        )
        parser.add_argument(
            "--replace",
            default="",
            metavar="DATABASE",
            help="replace the tables of the database with this name",
        )
        parser.add_argument(
            "--other-keys",
            action="store_true",
            help="go on though SECRET_KEY or RECEIPT_KEY are not those of the backup",
        )
        parser.add_argument("--without-labels", action="store_true", help="write no labels here")
        parser.add_argument("--without-evidence", action="store_true", help="write no evidence")

    def handle(self, *args: Any, folder: Path, **options: Any) -> None:
        try:
            chosen = restoring.choose(folder)
            if options["check"]:
                kept = restoring.check(chosen)
                count = sum(len(files) for files in kept.files.values())
                self.stdout.write(f"{chosen}: the database and {count} files are as they were")
                return
            restored = restoring.restore(
                chosen,
                options=Options(
                    replace=options["replace"],
                    other_keys=options["other_keys"],
                    labels=not options["without_labels"],
                    evidence=not options["without_evidence"],
                ),
            )
        except (BackupError, OSError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{chosen}: restored")
        for kind, count in restored.written.items():
            self.stdout.write(
                f"  {kind}: {count} files written, {restored.present[kind]} were there"
            )
        if restored.keys:
            self.stdout.write(f"  keys written: {', '.join(restored.keys)}")
        for name in restored.manifest.missing:
            self.stdout.write(f"  was lost before the backup: {name}")
        for note in restored.notes:
            self.stdout.write(f"  note: {note}")
        self.stdout.write("Run migrate, then verify_queue, then start the site.")
