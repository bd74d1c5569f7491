"""Strict, typed reads of one table of a task specification: every mistake names its key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast


class SpecError(ValueError):
    """A mistake in a task specification; ``key_path`` is e.g. ``task.classes[2].id``."""

    def __init__(self, key_path: str, message: str) -> None:
        super().__init__(f"{key_path}: {message}" if key_path else message)
        self.key_path = key_path
        self.message = message


class Table:
    """Typed reads of one TOML table, remembering what was read so that typos are refused."""

    def __init__(self, key_path: str, rows: object) -> None:
        if not isinstance(rows, Mapping):
            raise SpecError(key_path, "is not a table")
        self.key_path = key_path
        self._rows = dict(rows)

    def take(self, key: str, kind: type | tuple[type, ...], *, default: Any = None) -> Any:
        """The value of ``key``, of type ``kind``; each key is read once. Raises `SpecError`."""
        value = self._rows.pop(key, default)
        if value is None:
            raise SpecError(f"{self.key_path}.{key}", "is missing")
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            kinds = kind if isinstance(kind, tuple) else (kind,)
            wanted = " or ".join(k.__name__ for k in kinds)
            raise SpecError(
                f"{self.key_path}.{key}",
                f"is {value!r} ({type(value).__name__}), not {wanted}",
            )
        return value

    def text(self, key: str, *, default: str | None = None) -> str:
        """A text that is not empty, unless the default is. Raises `SpecError`."""
        value = cast(str, self.take(key, str, default=default))
        if not value and default is None:
            raise SpecError(f"{self.key_path}.{key}", "is empty")
        return value

    def integer(self, key: str, *, low: int, high: int, default: int | None = None) -> int:
        """A whole number from ``low`` to ``high``. Raises `SpecError`."""
        value = cast(int, self.take(key, int, default=default))
        if not low <= value <= high:
            raise SpecError(f"{self.key_path}.{key}", f"is {value}; allowed are {low} to {high}")
        return value

    def choice(self, key: str, allowed: tuple[str, ...]) -> str:
        """One of ``allowed``; the first by default. Raises `SpecError`."""
        value = self.text(key, default=allowed[0])
        if value not in allowed:
            raise SpecError(f"{self.key_path}.{key}", f"is {value!r}; allowed are {list(allowed)}")
        return value

    def pattern(self, key: str) -> str:
        """A regular expression with a group ``id``. Raises `SpecError`."""
        value = self.text(key)
        try:
            groups = re.compile(value, re.ASCII).groupindex
        except re.error as error:
            raise SpecError(
                f"{self.key_path}.{key}", f"is not a regular expression: {error}"
            ) from error
        if "id" not in groups:
            raise SpecError(f"{self.key_path}.{key}", "has no group (?P<id>…)")
        return value

    def refuse_rest(self) -> None:
        """Raises `SpecError` if a key has not been read: it is a typing error."""
        if self._rows:
            extra = ", ".join(sorted(self._rows))
            raise SpecError(f"{self.key_path}.{min(self._rows)}", f"unknown key: {extra}")
