"""``manage.py openapi``: the API's description, written to docs/ or compared with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import translation

from challenge.api.reference import render
from challenge.api.root import api

DOCS = Path(__file__).parents[3] / "docs"


class Command(BaseCommand):
    """Writes docs/openapi.json and the reference in docs/api.md; ``--check`` compares instead."""

    help = "Write docs/openapi.json and docs/api.md, or compare them with the code (--check)."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """One switch."""
        parser.add_argument("--check", action="store_true", help="fail where docs/ is out of date")

    def handle(self, *args: Any, check: bool, **options: Any) -> None:
        """Write or compare."""
        with translation.override("en"):
            schema = api.get_openapi_schema(path_prefix="/api/v1/")
            wanted = {
                DOCS / "openapi.json": json.dumps(schema, indent=1, ensure_ascii=False) + "\n",
                DOCS / "api.md": render(schema),
            }
        stale = [
            path
            for path, text in wanted.items()
            if not path.exists() or path.read_text(encoding="utf-8") != text
        ]
        if check and stale:
            names = ", ".join(path.name for path in stale)
            raise CommandError(f"out of date: {names}; run `manage.py openapi` and commit docs/")
        for path in stale:
            path.write_text(wanted[path], encoding="utf-8")
            self.stdout.write(f"wrote {path.name}")
        if not stale:
            self.stdout.write("docs/openapi.json and docs/api.md say what the code says")
