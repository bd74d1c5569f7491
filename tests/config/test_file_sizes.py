"""No source file is longer than 400 lines without its reason at its head."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from challenge.embedded.data_folder import ROOT

LINES_MAX = 400
FOLDERS = ("challenge", "scoring", "baselines")
REASON = re.compile(r"400 lines|long", re.IGNORECASE)
LONG = sorted(
    path
    for folder in FOLDERS
    for kind in ("*.py", "js/*.js", "css/*.css", "*.c")
    for path in (ROOT / folder).rglob(kind)
    if "migrations" not in path.parts
    and "vendor" not in path.parts
    and path.read_text(encoding="utf-8").count("\n") > LINES_MAX
)


@pytest.mark.parametrize("path", LONG, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_long_file_says_why(path: Path) -> None:
    head = path.read_text(encoding="utf-8").split("\n\n\n")[0][:900]
    assert REASON.search(head), f"{path} has more than {LINES_MAX} lines and gives no reason"


def test_few_files_are_long() -> None:
    assert len(LONG) <= 5
