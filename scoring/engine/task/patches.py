"""The expected patches of a task: read from a CSV file or from ranges of ids."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from scoring.engine.task.tables import SpecError


@dataclass(frozen=True, slots=True)
class Patch:
    """One expected patch. ``domain`` and ``zone`` are empty where the list does not give them."""

    id: str
    domain: str = ""
    zone: str = ""


def read_ids_csv(path: Path, *, key: str = "ids") -> tuple[Patch, ...]:
    """Expected patches of a CSV file with a column ``patch`` and perhaps ``domain``, ``zone``.

    Raises `SpecError`, naming ``key`` and the file.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or []
            if "patch" not in columns:
                names = ", ".join(columns) or "none"
                raise SpecError(key, f"{path.name}: no column 'patch' (columns found: {names})")
            patches = tuple(
                Patch(
                    (r["patch"] or "").strip(),
                    r.get("domain") or "",
                    r.get("zone") or "",
                )
                for r in reader
            )
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SpecError(key, f"{path.name} cannot be read: {error}") from error
    return patches


def expand_range(first: str, last: str) -> Iterable[str]:
    """Every id from ``first`` to ``last``, numbers of the same width. Raises `SpecError`."""
    if int(last) - int(first) >= 1_000_000:
        raise SpecError("task.id_ranges", f"{first} to {last} is more than a million patches")
    return (f"{number:0{len(first)}d}" for number in range(int(first), int(last) + 1))
