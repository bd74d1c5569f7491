"""A TOML file with the line of every key, so that a mistake is reported where it stands.

``tomllib`` gives the line of a syntax error but forgets where a key stood; `line_index` finds the
lines again by a small scan. Pure: no Django.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

KeyPath = tuple[str | int, ...]

_HEADER = re.compile(r"\s*(\[\[?)\s*([^\]]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"\s*((?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*')(?:\s*\.\s*[A-Za-z0-9_\"'-]+)*)\s*=")
_SYNTAX_LINE = re.compile(r"\(at line (\d+), column \d+\)")
_PART = re.compile(r"([A-Za-z0-9_-]+)|\[(\d+)\]")


@dataclass(frozen=True, order=True)
class Mistake:
    """One mistake in a file: its line (from 1; 0 where it has none) and what to do about it."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        location = f"{self.file}:{self.line}" if self.line else self.file
        return f"{location}: {self.message}"


class FileMistakes(Exception):
    """A file cannot be used; ``mistakes`` has every reason, in the file's order."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = sorted(set(mistakes))
        super().__init__("\n".join(str(m) for m in self.mistakes))


@dataclass
class TomlDocument:
    """One parsed TOML file, the line of each key, and the mistakes found in it so far."""

    file: str
    content: dict[str, Any]
    lines: dict[KeyPath, int]
    mistakes: list[Mistake] = field(default_factory=list)

    def line_of(self, path: KeyPath) -> int:
        """Return the line of ``path``, or of the nearest table or key that encloses it."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.lines:
                return self.lines[path[:length]]
        return 1

    def add_mistake(self, path: KeyPath, message: str) -> None:
        """Record a mistake at ``path``; the message begins with the key."""
        text = f"{dotted(path)}: {message}".lstrip(": ")
        self.mistakes.append(Mistake(self.file, self.line_of(path), text))

    def raise_if_any(self) -> None:
        """Raise `FileMistakes` if a mistake was recorded."""
        if self.mistakes:
            raise FileMistakes(self.mistakes)


def read(path: Path) -> TomlDocument:
    """Read a TOML file. Raises `FileMistakes`: not readable, not UTF-8, not valid TOML."""
    text = read_text(path, name=path.name)
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        located = _SYNTAX_LINE.search(str(error))
        line = int(located[1]) if located else text.count("\n") + 1
        message = _SYNTAX_LINE.sub("", str(error)).strip()
        raise FileMistakes([Mistake(path.name, line, f"not valid TOML: {message}")]) from error
    return TomlDocument(path.name, content, line_index(text))


def read_text(path: Path, *, name: str) -> str:
    """Return the text of a UTF-8 file. Raises `FileMistakes` naming it ``name``."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise FileMistakes([Mistake(name, line, "is not UTF-8; save it as UTF-8")]) from error
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise FileMistakes([Mistake(name, 0, f"cannot be read: {reason}")]) from error


def dotted(path: Sequence[str | int]) -> str:
    """``("a", 2, "b")`` as ``a[2].b``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def undotted(text: str) -> KeyPath:
    """``a[2].b`` as ``("a", 2, "b")``; anything else in the text is ignored."""
    return tuple(int(m[2]) if m[2] else m[1] for m in _PART.finditer(text))


def line_index(text: str) -> dict[KeyPath, int]:
    """Find the line of each key and table of valid TOML ``text``: {path: line from 1}.

    >>> line_index("[a]\\nb = 1\\n[[c]]\\nd = 2\\n[[c]]\\n")
    {('a',): 1, ('a', 'b'): 2, ('c',): 3, ('c', 0): 3, ('c', 0, 'd'): 4, ('c', 1): 5}
    """
    index: dict[KeyPath, int] = {}
    counts: dict[KeyPath, int] = {}
    table: KeyPath = ()
    open_until = ""
    depth = 0
    for number, line in enumerate(text.splitlines(), start=1):
        if not open_until and depth == 0:
            if header := _HEADER.match(line):
                table = _path_of_header(
                    header[2], counts, index, number, repeated=header[1] == "[["
                )
                continue
            if key := _KEY.match(line):
                path = table + tuple(_split(key[1]))
                index.setdefault(path, number)
                line = line[key.end() :]
        open_until, depth = _open_after(line, open_until, depth)
    return index


def _split(key: str) -> list[str]:
    return [part.strip().strip("\"'") for part in key.split(".")]


def _path_of_header(
    name: str,
    counts: dict[KeyPath, int],
    index: dict[KeyPath, int],
    number: int,
    *,
    repeated: bool,
) -> KeyPath:
    """The path of a header, with the positions of the arrays of tables it lies in."""
    parts = _split(name)
    path: KeyPath = ()
    for part in parts[:-1]:
        path = (*path, part)
        if path in counts:
            path = (*path, counts[path] - 1)
    path = (*path, parts[-1])
    index.setdefault(path, number)
    if repeated:
        counts[path] = counts.get(path, 0) + 1
        path = (*path, counts[path] - 1)
        index.setdefault(path, number)
    return path


def _open_after(line: str, open_until: str, depth: int) -> tuple[str, int]:
    """Which multi-line string and how many brackets are still open after ``line``."""
    position = 0
    while position < len(line):
        if open_until:
            if open_until[0] == '"' and line[position] == "\\":
                position += 2
            elif line.startswith(open_until, position):
                position += len(open_until)
                open_until = ""
            else:
                position += 1
            continue
        rest = line[position:]
        if rest.startswith(('"""', "'''")):
            open_until = rest[:3]
            position += 3
        elif rest[0] in "\"'":
            open_until = rest[0]
            position += 1
        elif rest[0] == "#":
            break
        else:
            depth += (rest[0] in "[{") - (rest[0] in "]}")
            position += 1
    if len(open_until) == 1:  # valid TOML closes a plain string on its line
        open_until = ""
    return open_until, depth
