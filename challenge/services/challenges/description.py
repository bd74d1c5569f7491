"""A challenge's description made by a program: written as a folder, read by the file reader.

Whatever makes a challenge (the desk's form, a bundle of another platform) makes one of these, so
that one reader checks them all. Pure: no Django, no database.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from challenge.services.challenges import challenge_file
from challenge.services.challenges.challenge_file import FILE_NAME, ChallengeFile


@dataclass
class Description:
    """``content`` is the document of ``challenge.toml``, ``files`` the texts beside it by path."""

    content: dict[str, Any]
    files: dict[str, str] = field(default_factory=dict)

    def add_page(self, slug: str, title: Mapping[str, str], texts: Mapping[str, str]) -> None:
        """Add a page: its title and its Markdown by language."""
        self.content.setdefault("pages", []).append({"slug": slug, "title": dict(title)})
        for language, text in texts.items():
            self.files[f"pages/{slug}.{language}.md"] = text

    def write(self, folder: Path) -> None:
        """Write the folder, which exists. Its files are named by the program, never by a person."""
        (folder / FILE_NAME).write_text(to_toml(self.content), encoding="utf-8")
        for name, text in self.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")

    def read(self) -> ChallengeFile:
        """Return what the file reader makes of it. Raises `FileMistakes` with every mistake."""
        with TemporaryDirectory(prefix="challenge-") as folder:
            self.write(Path(folder))
            return challenge_file.read(Path(folder))


def to_toml(content: Mapping[str, Any]) -> str:
    """Return a TOML document. A list of mappings at the top becomes ``[[tables]]``.

    >>> print(to_toml({"a": {"b": 1, "c": {"d": "e"}}, "f": [{"g": [True]}]}))
    [a]
    b = 1
    c = { d = "e" }
    <BLANKLINE>
    [[f]]
    g = [true]
    <BLANKLINE>
    """
    lines: list[str] = []
    for key, value in content.items():
        is_list = isinstance(value, list)
        for table in value if is_list else [value]:
            lines.append(f"[[{_key(key)}]]" if is_list else f"[{_key(key)}]")
            for name, found in table.items():
                if found is not None:
                    lines.append(f"{_key(name)} = {_value(found)}")
            lines.append("")
    return "\n".join(lines)


def _key(name: str) -> str:
    return name if name.replace("-", "_").isidentifier() and name.isascii() else _text(name)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} is no figure of a challenge")
        return repr(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Mapping):
        rows = [f"{_key(k)} = {_value(v)}" for k, v in value.items() if v is not None]
        return "{ " + ", ".join(rows) + " }" if rows else "{}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(one) for one in value) + "]"
    raise TypeError(f"{type(value).__name__} has no form in TOML")


def _text(value: str) -> str:
    """A basic string: JSON's escapes are TOML's; TOML also wants DEL escaped."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
