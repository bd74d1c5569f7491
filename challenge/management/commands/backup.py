"""Back up the whole site while it runs (docs/operating.md, Backups)."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from challenge.services.backup import making
from challenge.services.backup.making import Options
from challenge.services.backup.manifest import BackupError


class Command(BaseCommand):
    help = (
        "Back up database, stored files, packed labels, evidence and keys into a folder, while the "
        "site runs. A file that the folder has already is not copied again. Exits with 1 where a "
        "file that the database names is lost; the backup is then complete but for it."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("folder", type=Path, help="where backups are kept; made if need be")
        parser.add_argument("--without-labels", action="store_true", help="leave labels out")
        parser.add_argument("--without-evidence", action="store_true", help="leave evidence out")
        parser.add_argument(
            "--without-secrets",
            action="store_true",
            help="leave the keys out: without SECRET_KEY and RECEIPT_KEY, receipts do not verify",
        )
        parser.add_argument(
            "--keep", type=int, metavar="N", help="remove all but the newest N backups after"
        )

    def handle(self, *args: Any, folder: Path, keep: int | None, **options: Any) -> None:
        if keep is not None and keep < 1:
            raise CommandError("--keep must be 1 or more")
        wanted = Options(
            labels=not options["without_labels"],
            evidence=not options["without_evidence"],
            secrets=not options["without_secrets"],
            keep=keep,
        )
        try:
            made = making.make(folder, options=wanted)
        except (BackupError, OSError) as error:
            raise CommandError(f"no backup was made. {error}") from error
        self.stdout.write(f"{made.folder}: database, {made.manifest.database.bytes} bytes")
        for kind, files in made.manifest.files.items():
            is_left_out = kind in made.manifest.left_out
            size_bytes = sum(one.bytes for one in files.values())
            self.stdout.write(
                f"  {kind}: left out"
                if is_left_out
                else f"  {kind}: {len(files)} files, {size_bytes} bytes"
            )
        self.stdout.write(f"  copied this time: {made.copied} files, {made.copied_bytes} bytes")
        self.stdout.write(f"  secrets: {', '.join(made.manifest.secrets) or 'left out'}")
        for name in made.removed:
            self.stdout.write(f"  removed: {name}")
        for name in made.manifest.missing:
            self.stderr.write(f"lost: {name}")
        if made.manifest.missing:
            raise CommandError(
                f"the backup was made, but {len(made.manifest.missing)} files that the database "
                "names are not there or have another content"
            )
