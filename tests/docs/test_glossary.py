"""docs/glossary.md is kept: its names exist, and the words that it replaces are gone."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.docs import names

ROOT = names.ROOT
TEXT = (ROOT / "docs/glossary.md").read_text(encoding="utf-8")

# Words of the former vocabulary that have no other use here; each matches as a whole word, also as
# a part of a name (`ring_again`, `test_bury`).
GONE = (
    "bell", "bells", "board_lines", "burial", "buried", "bury", "but_not",
    "complete_broken", "crew", "doorbell", "doorbells", "doubts", "gatherer",
    "give_back", "hold_figures", "hold_if_unset", "holder", "holders", "jailer",
    "keeper", "keepers", "lane", "lanes", "obey", "obeyed", "rehearsal", "rehearse",
    "rehearsed", "ring", "ring_again", "rings", "rooms", "shipment", "shipments",
    "shipping", "strays", "teller", "tellers", "upload_shipping", "vouch", "witness",
    "yardstick", "yardsticks",
)  # fmt: skip

# Where they may stand: the glossary itself, and what others wrote.
EXCEPT = ("docs/glossary.md", "CHANGELOG.md", "tests/docs/test_glossary.py", "requirements.lock")
FOREIGN_FOLDERS = ("challenge/static/vendor/", "challenge/locale/", "docs/images/")
KINDS = {".py", ".md", ".html", ".js", ".css", ".toml", ".yml", ".c", ".txt", ".sh", ""}


def rows() -> list[list[str]]:
    """Return the rows of the tables that say where a term lives in the code."""
    found, wanted = [], False
    for line in TEXT.splitlines():
        if not line.startswith("|"):
            wanted = False
        elif line.startswith("| term |"):
            wanted = True
        elif wanted and not line.startswith("|---"):
            found.append([cell.strip() for cell in line.strip("|").split(" | ")])
    return found


def texts() -> list[tuple[str, str]]:
    """Return (path, text) of every file that people write, names of tests included."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split("\0")  # fmt: skip
    return [
        (name, (ROOT / name).read_text(encoding="utf-8"))
        for name in listed
        if name
        and name not in EXCEPT
        and not name.startswith(FOREIGN_FOLDERS)
        and Path(name).suffix in KINDS
        and (ROOT / name).is_file()
    ]


def test_every_row_has_four_cells() -> None:
    assert [row for row in rows() if len(row) != 4] == []
    assert len(rows()) > 60


def test_every_term_has_one_row() -> None:
    terms = [row[0] for row in rows()]
    assert sorted(terms) == sorted(set(terms))


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_names_exist(row: list[str]) -> None:
    named = re.findall(r"`([^`]+)`", row[3])
    assert named
    assert [name for name in named if not names.exists(name)] == []


def test_former_words_are_gone() -> None:
    words = "|".join(GONE)
    pattern = re.compile(rf"(?<![A-Za-z])(?:{words})(?![A-Za-z])", re.IGNORECASE)
    found = [
        f"{name}:{number}: {match[0]}"
        for name, text in texts()
        for number, line in enumerate(text.splitlines(), start=1)
        for match in pattern.finditer(line)
    ]
    assert found == []


def test_names_that_replace_others_are_used() -> None:
    """The last part of each name in the right column occurs in the code."""
    replaced = TEXT.partition("## Names that were replaced")[2]
    written = texts()
    code = "\n".join(text for name, text in written if name.endswith(".py"))
    modules = {Path(name).stem for name, _text in written}
    unused = []
    for line in re.findall(r"^\| `.*\|$", replaced, re.MULTILINE):
        for name in re.findall(r"`([^`]+)`", line.strip("| ").split(" | ")[1]):
            last = re.split(r"[.(]", name.removesuffix(".py").partition("(")[0])[-1]
            if last not in modules and not re.search(rf"\b{last}\b", code):
                unused.append(name)
    assert unused == []
