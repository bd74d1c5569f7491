"""The classes of a task as a CSV that people paste from a spreadsheet. Pure."""

from __future__ import annotations

import csv
import io
import re
from typing import Any

COLUMNS = ("name_en", "name_fr", "color", "labels", "scored", "key")
WORDS = {"yes": True, "true": True, "1": True, "": True, "no": False, "false": False, "0": False}
# Colours for classes that have none: one after the other, told apart by people who see few colours.
PALETTE = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#999999")


class ClassTableError(ValueError):
    """A line (from 1) that is no class: the column, what was found there, and what is allowed."""

    def __init__(self, line: int, column: str, found: str, allowed: str) -> None:
        super().__init__(f"line {line}: {column} is {found!r}; allowed: {allowed}")
        self.line, self.column, self.found, self.allowed = line, column, found[:40], allowed


def read(text: str, *, label_offset: int = 0) -> list[dict[str, Any]]:
    """Return the tables ``[[task.classes]]`` of a CSV with a head, one class a line.

    The columns are `COLUMNS`, in any order, ``name`` for ``name_en``; only the English name is
    needed. The class id is the line's position from 0. ``labels`` are mask values divided by
    spaces, by default the id plus ``label_offset``. Separators: comma, semicolon, tab.

    Raises `ClassTableError`.

    >>> read("name;color\\nwater;#1553AE")[0]["key"], read("name\\nBare soil")[0]["labels"]
    ('water', [0])
    """
    lines = text.lstrip("\ufeff").strip().splitlines()
    if not lines:
        raise ClassTableError(1, "name_en", "", ", ".join(COLUMNS))
    separator = max(",;\t", key=lines[0].count)
    rows = list(csv.reader(io.StringIO("\n".join(lines)), delimiter=separator))
    head = ["name_en" if name.strip() == "name" else name.strip() for name in rows[0]]
    for name in head:
        if name not in COLUMNS or head.count(name) > 1:
            raise ClassTableError(1, name, name, ", ".join(COLUMNS))
    if "name_en" not in head:
        raise ClassTableError(1, "name_en", ", ".join(head), ", ".join(COLUMNS))
    numbered = [(number, row) for number, row in enumerate(rows, start=1) if number > 1]
    kept = [(number, row) for number, row in numbered if any(cell.strip() for cell in row)]
    return [
        _class(position, number, dict(zip(head, row, strict=False)), offset=label_offset)
        for position, (number, row) in enumerate(kept)
    ]


def write(classes: list[dict[str, Any]]) -> str:
    """Return the CSV of class tables: the inverse of `read`."""
    target = io.StringIO()
    out = csv.writer(target, lineterminator="\n")
    out.writerow(COLUMNS)
    for one in classes:
        names = one["name"]
        labels = " ".join(map(str, one["labels"]))
        scored = "yes" if one["scored"] else "no"
        row = (names.get("en", ""), names.get("fr", ""), one["color"], labels, scored, one["key"])
        out.writerow(row)
    return target.getvalue()


def nomenclature(classes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the tables ``[[nomenclature]]``: each label with its class's name and colour."""
    rows = []
    for one in classes:
        for label in one["labels"]:
            key = one["key"] if len(one["labels"]) == 1 else f"{one['key']}_{label}"
            rows.append(
                {
                    "label": label,
                    "key": key,
                    "class": one["key"],
                    "name": dict(one["name"]),
                    "color": one["color"],
                }
            )
    return sorted(rows, key=lambda row: int(row["label"]))


def _class(position: int, line: int, cells: dict[str, str], *, offset: int) -> dict[str, Any]:
    cells = {name: cell.strip() for name, cell in cells.items()}
    name = cells.get("name_en", "")
    if not name:
        raise ClassTableError(line, "name_en", "", "forest")
    color = (cells.get("color") or PALETTE[position % len(PALETTE)]).lower()
    if not re.fullmatch(r"#[0-9a-f]{6}", color):
        raise ClassTableError(line, "color", color, "#db0e9a")
    labels = cells.get("labels", "").split() or [str(position + offset)]
    for label in labels:
        if not re.fullmatch(r"[0-9]{1,3}", label, re.ASCII) or int(label) > 254:
            raise ClassTableError(line, "labels", label, "0 … 254")
    scored = WORDS.get(cells.get("scored", "").lower())
    if scored is None:
        raise ClassTableError(line, "scored", cells["scored"], "yes, no")
    key = cells.get("key") or re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    if not re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)*", key):
        raise ClassTableError(line, "key", key, "bare_soil")
    return {
        "id": position,
        "key": key,
        "name": {"en": name, "fr": cells.get("name_fr") or name},
        "color": color,
        "labels": [int(label) for label in labels],
        "scored": scored,
    }
