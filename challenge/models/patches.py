"""A long list of patches in a small column.

FLAIR #1 expects 15,700 patches. As plain JSON they cost 20 ms with every row of a phase that a
page loads; as runs of consecutive ids within a zone they are 193 short rows, unfolded only when
somebody looks at them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any, overload

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

Row = list[str]  # [patch id, domain, zone]
Run = list[str]  # [domain, zone, first id] or [domain, zone, first id, last id]

_NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)


class Patches(Sequence[Row]):
    """[patch id, domain, zone] rows, unfolded from runs on first use. Reads like a list."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self.runs = runs

    @cached_property
    def rows(self) -> list[Row]:
        return unfold(self.runs)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | list[Row]:
        return self.rows[index]

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __len__(self) -> int:
        return sum(int(run[3]) - int(run[2]) + 1 if len(run) == 4 else 1 for run in self.runs)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Patches):
            return self.runs == other.runs
        return isinstance(other, list) and self.runs == fold(other)

    def __hash__(self) -> int:
        return hash(tuple(map(tuple, self.runs)))

    def __repr__(self) -> str:
        return f"<{len(self)} patches in {len(self.runs)} runs>"


class PatchesField(models.JSONField):
    """Holds [patch id, domain, zone] rows; gives back `Patches`. Plain jsonb to the database:
    ``{"runs": […]}``, or a plain list of rows, which is read as well.
    """

    def deconstruct(self) -> Any:
        name, _, args, kwargs = super().deconstruct()
        return name, "django.db.models.JSONField", args, kwargs

    def from_db_value(
        self, value: str | None, expression: Any, connection: BaseDatabaseWrapper
    ) -> Patches:
        stored = super().from_db_value(value, expression, connection)
        if isinstance(stored, dict):
            return Patches(stored["runs"])
        return Patches([[domain, zone, patch_id] for patch_id, domain, zone in stored or []])

    def get_db_prep_value(
        self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False
    ) -> Any:
        runs = value.runs if isinstance(value, Patches) else fold(value or [])
        return super().get_db_prep_value({"runs": runs}, connection, prepared)

    def value_from_object(self, obj: models.Model) -> list[Row]:
        return list(super().value_from_object(obj))


def fold(rows: Iterable[Sequence[str]]) -> list[Run]:
    """Gather neighbours with consecutive numbers of one width, domain and zone.

    >>> fold([["0009", "D", "Z"], ["0010", "D", "Z"], ["0012", "D", "Z"], ["x", "D", "Z"]])
    [['D', 'Z', '0009', '0010'], ['D', 'Z', '0012'], ['D', 'Z', 'x']]
    """
    runs: list[Run] = []
    for patch_id, domain, zone in rows:
        if runs and runs[-1][:2] == [domain, zone] and _follows(patch_id, runs[-1][-1]):
            runs[-1][3:] = [patch_id]
        else:
            runs.append([domain, zone, patch_id])
    return runs


def unfold(runs: Iterable[Run]) -> list[Row]:
    """The inverse of :func:`fold`.

    >>> unfold([["D", "Z", "0009", "0010"], ["D", "Z", "x"]])
    [['0009', 'D', 'Z'], ['0010', 'D', 'Z'], ['x', 'D', 'Z']]
    """
    rows: list[Row] = []
    for domain, zone, first, *last in runs:
        if last:
            width = len(first)
            numbers = range(int(first), int(last[0]) + 1)
            rows += [[f"{number:0{width}d}", domain, zone] for number in numbers]
        else:
            rows.append([first, domain, zone])
    return rows


def _follows(patch_id: str, before: str) -> bool:
    return (
        len(patch_id) == len(before)
        and _NUMBER.fullmatch(patch_id) is not None
        and _NUMBER.fullmatch(before) is not None
        and int(patch_id) == int(before) + 1
    )
