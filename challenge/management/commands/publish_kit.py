"""Publishes a phase's practice kit: images of its patches, their list, labelled examples."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from challenge.errors import Refusal
from challenge.models import Phase
from challenge.services.challenges import kits

_MB = 1_000_000


class Command(BaseCommand):
    help = (
        "Make a phase's practice kit out of a folder or a zip in any layout and offer it to "
        "participants: the image of each of its patches (a TIFF whose name ends with the id), and "
        "as examples other patches that have an image and a mask. Masks of patches that a phase "
        "scores are left out. It replaces the phase's earlier kit."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("phase", help="challenge/phase, such as flair-1/practice")
        parser.add_argument("source", type=Path, help="folder or zip of images and masks")

    def handle(self, *args: Any, phase: str, source: Path, **options: Any) -> None:
        challenge, _slash, slug = phase.partition("/")
        found = Phase.objects.select_related("challenge", "task_spec", "ground_truth").filter(
            challenge__slug=challenge, slug=slug
        )
        chosen = found.first()
        if chosen is None:
            raise CommandError(f"{phase} is no phase; give challenge/phase: flair-1/practice")
        try:
            done = kits.publish(phase=chosen, source=source, actor=None)
        except (Refusal, OSError) as error:
            raise CommandError(f"{error}\nNothing was published.") from error
        state = "published" if done.changed else "was published already"
        self.stdout.write(
            f"{phase}: kit {state}: {done.kit.image_count} images, {done.kit.example_count} "
            f"examples with labels, {done.kit.size_bytes / _MB:.1f} MB"
        )
