"""Decision records and their index; ``python -m tests.docs.decisions`` writes the index."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "decisions"
INDEX = FOLDER / "README.md"

FILE_NAME = re.compile(r"(?P<number>[0-9]{3})-[a-z0-9]+(?:-[a-z0-9]+)*\.md")
HEAD = re.compile(
    r"# (?P<number>[0-9]{3}) · (?P<title>[^\n]+)\n\n"
    r"- Status: (?P<status>accepted|rejected|superseded)"
    r"(?:, (?P<relation>amended|superseded) by (?P<by>[0-9]{3}(?:, [0-9]{3})*))?\n"
    r"- Date: (?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})\n\n"
)
SECTIONS = ("Context", "Decision", "Consequences")

# Records that described a state of polish and not a choice.
MOVED = {
    "122": "Pictures of every page",
    "151": "Further refusals of archives",
    "160": "Maps of what changed between two submissions",
    "161": "Wording of pages that packages bring",
    "163": "Second review of every page",
}
INTRODUCTION = """\
# Decision records

Why the code is as it is, one choice per record. Generated from the records by
`python -m tests.docs.decisions`; a test compares. A new record takes the next free number and has
the form of the others: heading `# NNN · Title`, the lines `Status` (accepted, rejected, superseded,
perhaps with "amended by NNN" or "superseded by NNN") and `Date`, then **Context**, **Decision**,
perhaps **Alternatives** or **Figures**, and **Consequences**. Its title says what was decided.

| number | decision | status | date | amended or superseded by |
|---|---|---|---|---|
"""


@dataclass(frozen=True)
class Record:
    """One decision record; ``by`` are the numbers of the records that change it."""

    path: Path
    number: str
    title: str
    status: str
    date: str
    by: tuple[str, ...]


def files() -> list[Path]:
    """Return the records' files in the order of their names."""
    return sorted(path for path in FOLDER.glob("*.md") if path != INDEX)


def read(path: Path) -> Record:
    """Return what the head of a record says. Raises ValueError naming what is not of the form."""
    text = path.read_text(encoding="utf-8")
    name, head = FILE_NAME.fullmatch(path.name), HEAD.match(text)
    if name is None:
        raise ValueError(f"{path.name}: name a record 'NNN-plain-title.md'")
    if head is None or head["number"] != name["number"]:
        raise ValueError(
            f"{path.name}: begin with '# {name['number']} · Title', an empty line, "
            "'- Status: accepted' and '- Date: YYYY-MM-DD', an empty line"
        )
    missing = [section for section in SECTIONS if f"\n**{section}" not in text]
    if missing:
        raise ValueError(f"{path.name}: no paragraph begins with {', '.join(missing)} in bold")
    by = tuple(head["by"].split(", ")) if head["by"] else ()
    return Record(path, head["number"], head["title"], head["status"], head["date"], by)


def index() -> str:
    """Return the index as it has to stand in the folder."""
    records = [read(path) for path in files()]
    names = {record.number: record.path.name for record in records}
    rows = {
        record.number: (
            f"| {record.number} | [{record.title}]({record.path.name}) | {record.status} "
            f"| {record.date} | {', '.join(f'[{n}]({names[n]})' for n in record.by)} |"
        )
        for record in records
    }
    for number, title in MOVED.items():
        rows[number] = f"| {number} | {title} | moved to the changelog, 0.1.0 | 2026-11-21 | |"
    return INTRODUCTION + "\n".join(rows[number] for number in sorted(rows)) + "\n"


if __name__ == "__main__":
    INDEX.write_text(index(), encoding="utf-8")
