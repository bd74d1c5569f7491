"""Strict, typed reads of one table of a task specification: every mistake names its key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast


class SpecError(ValueError):
    """A mistake in a task specification; ``where`` is its key, e.g. ``task.classes[2].id``."""

    def __init__(self, where: str, message: str) -> None:
        super().__init__(f"{where}: {message}" if where else message)
        self.where = where
        self.message = message


class Table:
    """Typed reads of one TOML table, remembering what was read so that typos are refused."""

    def __init__(self, where: str, rows: object) -> None:
        if not isinstance(rows, Mapping):
            raise SpecError(where, "is not a table")
        self.where = where
        self._rows = dict(rows)

    def take(self, key: str, kind: type | tuple[type, ...], *, default: Any = None) -> Any:
        value = self._rows.pop(key, default)
        if value is None:
            raise SpecError(f"{self.where}.{key}", "is missing")
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            kinds = kind if isinstance(kind, tuple) else (kind,)
            wanted = " or ".join(k.__name__ for k in kinds)
            raise SpecError(
                f"{self.where}.{key}",
                f"is {value!r} ({type(value).__name__}), not {wanted}",
            )
        return value

    def text(self, key: str, *, default: str | None = None) -> str:
        value = cast(str, self.take(key, str, default=default))
        if not value and default is None:
            raise SpecError(f"{self.where}.{key}", "is empty")
        return value

    def integer(self, key: str, *, low: int, high: int, default: int | None = None) -> int:
        value = cast(int, self.take(key, int, default=default))
        if not low <= value <= high:
            raise SpecError(f"{self.where}.{key}", f"is {value}; allowed are {low} to {high}")
        return value

    def choice(self, key: str, allowed: tuple[str, ...]) -> str:
        value = self.text(key, default=allowed[0])
        if value not in allowed:
            raise SpecError(f"{self.where}.{key}", f"is {value!r}; allowed are {list(allowed)}")
        return value

    def pattern(self, key: str) -> str:
        value = self.text(key)
        try:
            groups = re.compile(value, re.ASCII).groupindex
        except re.error as error:
            raise SpecError(
                f"{self.where}.{key}", f"is not a regular expression: {error}"
            ) from error
        if "id" not in groups:
            raise SpecError(f"{self.where}.{key}", "has no group (?P<id>…)")
        return value

    def refuse_rest(self) -> None:
        if self._rows:
            extra = ", ".join(sorted(self._rows))
            raise SpecError(f"{self.where}.{min(self._rows)}", f"unknown key: {extra}")
