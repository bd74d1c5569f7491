"""Check an installation and say what to do; exit 1 where something does not work."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from challenge.services.installation import examination
from challenge.services.installation.findings import Level

EXIT_FAULTS = 1


class Command(BaseCommand):
    help = (
        "Check this installation as this process sees it: servers, clock, storage, disk, labels, "
        "isolation, mail, the proxy. Says what to do. Exits with 1 where something does not work "
        "(--strict: or is doubtful). Changes nothing that stays."
    )
    # It says by itself what the system checks find.
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
        parser.add_argument("--strict", action="store_true", help="exit with 1 for warnings, too")
        parser.add_argument(
            "--skip",
            action="append",
            default=[],
            choices=sorted(examination.CHECKS),
            help="leave a check out; may be repeated",
        )

    def handle(self, **options: Any) -> None:
        findings = []
        for finding in examination.examine(skip=frozenset(options["skip"])):
            findings.append(finding)
            if not options["json"]:
                self.stdout.write(f"{finding.level:8}{finding.part:10}{finding.found}")
                if finding.advice:
                    self.stdout.write(f"{'':18}→ {finding.advice}")
        bad = {Level.ERROR, Level.WARNING} if options["strict"] else {Level.ERROR}
        faults = sum(finding.level in bad for finding in findings)
        if options["json"]:
            document = {"ok": not faults, "findings": [asdict(finding) for finding in findings]}
            self.stdout.write(json.dumps(document, indent=2, ensure_ascii=False))
        if faults:
            sys.exit(EXIT_FAULTS)
