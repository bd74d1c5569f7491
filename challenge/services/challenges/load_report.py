"""What loading a folder changes, field by field, beside what the desk changed since the last load.

Of each loaded field a digest is kept (``Challenge.loaded``), so that one can tell who changed it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

from django.db import models

from challenge.models import TaskSpec
from challenge.rules import digests
from challenge.rules.phase_consequences import Consequence

_SHOWN_CHARACTERS = 60

M = TypeVar("M", bound=models.Model)
Snapshot = dict[str, dict[str, str]]


class Take(StrEnum):
    """What counts where folder and desk differ.

    ``FILE``: the folder, wherever they differ. ``DESK``: the desk, where both changed a field.
    """

    FILE = "file"
    DESK = "desk"


class LoadConflicts(Exception):
    """Fields that the folder and the desk both changed since the last load; nothing is written."""

    def __init__(self, conflicts: Iterable[str]) -> None:
        self.conflicts = list(conflicts)
        super().__init__("\n".join(self.conflicts))


class LoadUnconfirmed(Exception):
    """Changes of phases mean something that nobody confirmed, or confirmed as it was before.

    ``consequences`` are (phase, consequence), ``confirmation`` what confirms exactly these;
    nothing is written.
    """

    def __init__(self, consequences: Iterable[tuple[str, Consequence]], confirmation: str) -> None:
        self.consequences = list(consequences)
        self.confirmation = confirmation
        super().__init__(confirmation)


@dataclass
class LoadReport:
    """What a load did: one line per change, and what an organiser should know besides.

    ``conflicts`` are fields that both changed and nothing settled. ``loaded`` is what the last
    load left, ``snapshot`` what this one leaves: digests by what and field. ``consequences`` are
    what changes of stored phases mean, by phase; ``bound`` is what a confirmation is bound to.
    """

    slug: str
    created: bool = False
    take: Take | None = None
    changes: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)
    loaded: Snapshot = field(default_factory=dict)
    snapshot: Snapshot = field(default_factory=dict)
    consequences: list[tuple[str, Consequence]] = field(default_factory=list)
    bound: list[object] = field(default_factory=list)

    @property
    def confirmation(self) -> str:
        """The codes of all consequences and a digest of what they are; empty: nothing to confirm.

        As on the desk it confirms exactly these changes of the phases as they stand.
        """
        if not self.consequences:
            return ""
        codes = ",".join(f"{phase}:{one.code}" for phase, one in self.consequences)
        return f"{codes}@{digests.of_json(self.bound)[:12]}"

    def writes(self, what: str, name: str, stored: object, wanted: object) -> bool:
        """Say whether the folder's value of a field is written over the stored one, which differs.

        What the desk changed alone is kept and named; what both changed is a conflict.
        """
        last = self.loaded.get(what, {}).get(name)
        if last is None or digest(stored) == last or self.take is Take.FILE:
            return True
        difference = _difference(stored, wanted)
        if digest(wanted) != last and self.take is None:
            self.conflicts.append(f"{what}: {name}{difference}")
        else:
            self.remarks.append(f"{what}: {name} was changed on the desk, which stays{difference}")
        return False


def put(
    row: M,
    values: Mapping[str, Any],
    what: str,
    report: LoadReport,
    *,
    quiet: Collection[str] = (),
) -> M:
    """Save ``values`` on ``row`` if it is new or differs, and report each difference."""
    report.snapshot[what] = {
        name: digest(value) for name, value in values.items() if name not in quiet
    }
    if row.pk is None:
        for name, value in values.items():
            setattr(row, name, value)
        row.save(force_insert=True)
        report.changes.append(f"{what}: created")
        return row
    changed = [
        name
        for name, value in values.items()
        if getattr(row, name) != value and report.writes(what, name, getattr(row, name), value)
    ]
    for name in changed:
        if name not in quiet:
            report.changes.append(f"{what}: {name}{_difference(getattr(row, name), values[name])}")
        setattr(row, name, values[name])
    if changed:
        row.save(update_fields=changed)
    return row


def remove(rows: Mapping[str, models.Model], report: LoadReport) -> None:
    """Remove rows that the folder has no more, by what they are; the desk's own ones stay."""
    for what, row in rows.items():
        last = report.loaded.get(what)
        if last is None and report.loaded and report.take is not Take.FILE:
            report.remarks.append(f"{what}: is not in the file; it was made on the desk and stays")
            continue
        edited = last is not None and any(
            digest(getattr(row, name)) != value for name, value in last.items()
        )
        if edited and report.take is not Take.FILE:
            line = f"{what}: is not in the file any more, and was changed on the desk"
            (report.conflicts if report.take is None else report.remarks).append(line)
            continue
        report.changes.append(f"{what}: removed")
        row.delete()


def digest(value: object) -> str:
    """Return a short digest of a field's value."""
    if isinstance(value, TaskSpec):
        value = value.digest
    if isinstance(value, datetime):
        value = value.timestamp()
    if not isinstance(value, dict | str | int | float | bool | None):
        value = list(value) if hasattr(value, "__iter__") else str(value)
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _difference(old: object, new: object) -> str:
    """`` 5 → 10`` where that fits a line, else ``: changed``."""
    shown = [_show(old), _show(new)]
    if all(len(text) <= _SHOWN_CHARACTERS for text in shown):
        return f" {shown[0]} → {shown[1]}"
    return ": changed"


def _show(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value)
