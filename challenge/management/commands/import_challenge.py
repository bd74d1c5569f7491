"""Import a challenge that export_challenge or an owner's desk wrote."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from challenge.errors import Refusal
from challenge.models import User
from challenge.services.challenges.toml_document import FileMistakes
from challenge.services.exports import importing
from challenge.services.exports.importing import Options


class Command(BaseCommand):
    help = (
        "Import a whole challenge from an export (zip), all or nothing. Every member is checked "
        "before anything is written. People become accounts that are inactive and have no "
        "password. The scores of the file are believed: import only from whom you trust."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="the zip")
        parser.add_argument("--owner", help="the e-mail address of an account that becomes owner")
        parser.add_argument(
            "--publish", action="store_true", help="show the challenge at once (default: hidden)"
        )
        parser.add_argument(
            "--link-accounts",
            action="store_true",
            help="people of the file whose user name and address both are those of an account "
            "here are that account (default: stop there)",
        )

    def handle(
        self,
        *args: Any,
        file: Path,
        owner: str | None,
        publish: bool,
        link_accounts: bool,
        **options: Any,
    ) -> None:
        user = None
        if owner is not None:
            user = User.objects.filter(email__iexact=owner, is_active=True).first()
            if user is None:
                raise CommandError(f"found no active account with the address {owner}")
        try:
            report = importing.import_challenge(
                file, options=Options(owner=user, publish=publish, link_accounts=link_accounts)
            )
        except (Refusal, FileMistakes, OSError) as error:
            raise CommandError(f"{file}: nothing was imported. {error}") from error
        self.stdout.write(
            f"{report.challenge.slug}: imported ({report.teams} teams, {report.submissions} "
            f"submissions, {report.archives} archives, {report.accounts_created} new accounts, "
            f"{report.accounts_linked} linked), "
            f"exported {report.exported_at:%Y-%m-%d %H:%M} UTC by the site with key {report.key}"
        )
        if report.new_team_numbers:
            self.stdout.write(
                "  note: numbers of teams were taken here; leaderboards' JSON has new ones"
            )
        for line in report.left_out:
            facts = ", ".join(f"{key} {value}" for key, value in line.items() if key != "code")
            self.stdout.write(f"  not there: {line['code']}{f' ({facts})' if facts else ''}")
