"""Import a CodaLab or Codabench bundle as an unpublished draft."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from challenge.errors import Refusal
from challenge.models import User
from challenge.services.challenges import bundle_import, bundle_words
from challenge.services.challenges.bundle_dates import Order
from challenge.services.challenges.toml_document import FileMistakes


class Command(BaseCommand):
    help = (
        "Create an unpublished challenge from the bundle (zip) of a CodaLab or Codabench "
        "competition, and say what was left out and what is to do. Nothing of the bundle is run."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("bundle", type=Path, help="the zip")
        parser.add_argument("slug", help="the challenge's address")
        parser.add_argument(
            "--owner", required=True, help="the e-mail address of its owner, who may create one"
        )
        parser.add_argument(
            "--dates",
            choices=[order.value for order in Order],
            default=Order.ASK.value,
            help="how dates such as 8-01-2025 are meant (default: refuse them)",
        )

    def handle(
        self, *args: Any, bundle: Path, slug: str, owner: str, dates: str, **options: Any
    ) -> None:
        user = User.objects.filter(email__iexact=owner, is_active=True).first()
        if user is None:
            raise CommandError(f"found no active account with the address {owner}")
        try:
            challenge, read = bundle_import.create(
                bundle, actor=user, slug=slug, order=Order(dates)
            )
        except (Refusal, FileMistakes, OSError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{challenge.slug}: created from a bundle of version {read.version}")
        for heading, lines in bundle_words.groups(read.notes):
            self.stdout.write(f"{heading}:")
            for one in lines:
                self.stdout.write(f"  {one}")
