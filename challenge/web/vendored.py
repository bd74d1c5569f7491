"""The third-party files that the pages load, with version, licence and hash."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TypedDict

FOLDER = Path(__file__).resolve().parents[1] / "static" / "vendor"


class Vendored(TypedDict):
    """One line of the manifest; ``path`` is relative to static/vendor."""

    path: str
    package: str
    version: str
    licence: str
    sha256: str
    note: str


@cache
def manifest() -> list[Vendored]:
    """Return the manifest's lines."""
    lines: list[Vendored] = json.loads((FOLDER / "manifest.json").read_text(encoding="utf-8"))
    return lines
