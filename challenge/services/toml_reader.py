"""Reading a TOML file strictly, so that every mistake is said with its line. Pure: no Django.

``tomllib`` gives the line of a syntax error but forgets where a key stood. `line_index` finds the
lines again by a small scan, and `Table` reads keys one by one: a wrong type, a missing key and a
key nobody asked for all become `Mistake` rows, collected rather than raised one at a time.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

KeyPath = tuple[str | int, ...]

_HEADER = re.compile(r"\s*(\[\[?)\s*([^\]]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"\s*((?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*')(?:\s*\.\s*[A-Za-z0-9_\"'-]+)*)\s*=")
_SYNTAX_LINE = re.compile(r"\(at line (\d+), column \d+\)")
_PART = re.compile(r"([A-Za-z0-9_-]+)|\[(\d+)\]")


@dataclass(frozen=True, order=True)
class Mistake:
    """One mistake in a file: where (line from 1, 0 where it has none) and what to do about it."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.message}"


class FileMistakes(Exception):
    """A file cannot be used; ``mistakes`` says every reason at once, in the file's order."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = sorted(set(mistakes))
        super().__init__("\n".join(str(m) for m in self.mistakes))


def line_index(text: str) -> dict[KeyPath, int]:
    """Where each key and table of valid TOML ``text`` stands: {path: line from 1}.

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
                table = _enter(header[2], counts, index, number, repeated=header[1] == "[[")
                continue
            if key := _KEY.match(line):
                path = table + tuple(_split(key[1]))
                index.setdefault(path, number)
                line = line[key.end() :]
        open_until, depth = _after(line, open_until, depth)
    return index


def parse(text: str, *, file: str) -> dict[str, Any]:
    """The TOML document in ``text``. Raises `FileMistakes` with the line of a syntax error."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = _SYNTAX_LINE.search(str(error))
        line = int(found[1]) if found else text.count("\n") + 1
        message = _SYNTAX_LINE.sub("", str(error)).strip()
        raise FileMistakes([Mistake(file, line, f"not valid TOML: {message}")]) from error


class Notebook:
    """Collects the mistakes of one file and knows the line of each key."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.index = line_index(text)
        self.mistakes: list[Mistake] = []

    def line_of(self, path: KeyPath) -> int:
        """The line of ``path``, or of the nearest table or key that encloses it."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.index:
                return self.index[path[:length]]
        return 1

    def note(self, path: KeyPath, message: str) -> None:
        """Record a mistake at ``path``; the message names the key first."""
        self.mistakes.append(
            Mistake(self.file, self.line_of(path), f"{dotted(path)}: {message}".lstrip(": "))
        )

    def raise_if_any(self) -> None:
        """Raises `FileMistakes` if anything was noted."""
        if self.mistakes:
            raise FileMistakes(self.mistakes)


class Table:
    """Typed reads of one TOML table; what was noted is replaced by a harmless default."""

    def __init__(self, rows: object, notebook: Notebook, path: KeyPath = ()) -> None:
        self.path = path
        self.notebook = notebook
        self._rows: Mapping[str, Any] = rows if isinstance(rows, Mapping) else {}
        self._asked: list[str] = []
        if not isinstance(rows, Mapping):
            notebook.note(path, f"is {_show(rows)}; a table is needed")

    def note(self, key: str, message: str) -> None:
        """Record a mistake about one key of this table."""
        self.notebook.note((*self.path, key), message)

    def has(self, key: str) -> bool:
        return key in self._rows

    def take(self, key: str, kind: type, wanted: str, default: Any, *, required: bool) -> Any:
        """The value under ``key`` if it is of ``kind``, else ``default`` and a note."""
        self._asked.append(key)
        if key not in self._rows:
            if required:
                self.note(key, f"is missing; {wanted} is needed")
            return default
        value = self._rows[key]
        right = isinstance(value, kind) and not (kind is not bool and isinstance(value, bool))
        if not right:
            self.note(key, f"is {_show(value)}; {wanted} is needed")
            return default
        return value

    def text(
        self,
        key: str,
        *,
        required: bool = True,
        default: str = "",
        pattern: str = "",
        example: str = "",
        choices: Sequence[str] = (),
        length: int = 0,
    ) -> str:
        """A string, perhaps of a pattern, of a few choices or of a greatest length."""
        value: str = self.take(key, str, "a text", default, required=required)
        if not value:
            if required and key in self._rows and isinstance(self._rows[key], str):
                self.note(key, "is empty; a text is needed")
            return value
        if choices and value not in choices:
            self.note(key, f"is {_show(value)}; allowed are {', '.join(choices)}")
            return default or choices[0]
        if pattern and not re.fullmatch(pattern, value, re.ASCII):
            self.note(key, f"is {_show(value)}; write it like {example}")
        if length and len(value) > length:
            self.note(key, f"has {len(value)} characters; allowed are {length}")
        return value

    def texts(self, key: str, languages: Sequence[str], *, required: bool = True) -> dict[str, str]:
        """A text per language: ``{ en = "…", fr = "…" }``, every language given."""
        self._asked.append(key)
        if key not in self._rows and not required:
            return {}
        wanted = "{ " + ", ".join(f'{code} = "…"' for code in languages) + " }"
        value = self._rows.get(key)
        if not isinstance(value, Mapping):
            found = "is missing" if value is None else f"is {_show(value)}"
            self.note(key, f"{found}; {wanted} is needed")
            return dict.fromkeys(languages, "")
        for code in languages:
            if not isinstance(value.get(code), str) or not value[code].strip():
                self.note(key, f"has no text in {code!r}; {wanted} is needed")
        for code in value:
            if code not in languages:
                self.note(key, f"has the language {code!r}; allowed are {', '.join(languages)}")
        return {code: str(value.get(code, "")) for code in languages}

    def integer(
        self, key: str, *, low: int, high: int, required: bool = True, default: int | None = None
    ) -> int | None:
        """A whole number from ``low`` to ``high``."""
        wanted = f"a whole number from {low} to {high}"
        value: int | None = self.take(key, int, wanted, default, required=required)
        if value is not None and not low <= value <= high:
            self.note(key, f"is {value}; allowed are {low} to {high}")
            return default
        return value

    def number(self, key: str, *, low: float, high: float, required: bool = True) -> float | None:
        """A number, whole or not, from ``low`` to ``high``."""
        self._asked.append(key)
        value = self._rows.get(key)
        if value is None and not required:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            found = "is missing" if value is None else f"is {_show(value)}"
            self.note(key, f"{found}; a number from {low:g} to {high:g} is needed")
            return None
        if not low <= value <= high:
            self.note(key, f"is {value:g}; allowed are {low:g} to {high:g}")
            return None
        return float(value)

    def flag(self, key: str, *, default: bool) -> bool:
        """``true`` or ``false``."""
        return bool(self.take(key, bool, "true or false", default, required=False))

    def moment(self, key: str, *, required: bool = True) -> datetime | None:
        """A date-time with its offset, such as ``2024-01-01T00:00:00Z``."""
        wanted = "a date-time with its offset, such as 2024-01-01T00:00:00Z,"
        value: datetime | None = self.take(key, datetime, wanted, None, required=required)
        if value is not None and value.tzinfo is None:
            self.note(key, f"is {value.isoformat()} without an offset; end it with Z for UTC")
            return None
        return value

    def day(self, key: str, *, required: bool = True) -> str:
        """A date, or a text such as ``2023-05`` where the day is not known; as ISO text."""
        self._asked.append(key)
        value = self._rows.get(key)
        if value is None and not required:
            return ""
        if isinstance(value, date) and not isinstance(value, datetime):
            return value.isoformat()
        if isinstance(value, str) and re.fullmatch(r"\d{4}(-(0[1-9]|1[0-2]))?", value, re.ASCII):
            return value
        found = "is missing" if value is None else f"is {_show(value)}"
        self.note(key, f'{found}; a date such as 2023-05-21 or "2023-05" is needed')
        return ""

    def table(self, key: str, *, required: bool = True) -> Table:
        """The table under ``key``; an empty one where it is missing."""
        self._asked.append(key)
        if key not in self._rows:
            if required:
                self.note(key, f"is missing; a table [{dotted((*self.path, key))}] is needed")
            return Table({}, self.notebook, (*self.path, key))
        return Table(self._rows[key], self.notebook, (*self.path, key))

    def tables(self, key: str, *, required: bool = False) -> list[Table]:
        """The tables of an array of tables ``[[key]]``."""
        self._asked.append(key)
        name = dotted((*self.path, key))
        rows = self._rows.get(key, [])
        if not isinstance(rows, list):
            self.note(key, f"is {_show(rows)}; tables [[{name}]] are needed")
            return []
        if required and not rows:
            self.note(key, f"is missing; at least one table [[{name}]] is needed")
        return [Table(row, self.notebook, (*self.path, key, i)) for i, row in enumerate(rows)]

    def untyped(self, key: str) -> Any:
        """The value as it stands, checked by someone else."""
        self._asked.append(key)
        return self._rows.get(key)

    def rest(self) -> dict[str, Any]:
        """Every key not asked for yet; they count as asked for."""
        rest = {key: value for key, value in self._rows.items() if key not in self._asked}
        self._asked.extend(rest)
        return rest

    def done(self) -> None:
        """Note every key that nobody asked for: unknown keys are mistakes."""
        for key in self._rows:
            if key in self._asked:
                continue
            near = difflib.get_close_matches(key, self._asked, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            self.note(key, f"is not a known key; {hint}Allowed are {', '.join(self._asked)}")


def dotted(path: Sequence[str | int]) -> str:
    """``("a", 2, "b")`` as ``a[2].b``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def undotted(where: str) -> KeyPath:
    """``a[2].b`` as ``("a", 2, "b")``; what stands behind is ignored."""
    return tuple(int(m[2]) if m[2] else m[1] for m in _PART.finditer(where))


def read_text(path: Path, *, name: str) -> str:
    """The text of a UTF-8 file. Raises `FileMistakes` naming it ``name``."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise FileMistakes([Mistake(name, line, "is not UTF-8; save it as UTF-8")]) from error
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise FileMistakes([Mistake(name, 0, f"cannot be read: {reason}")]) from error


def _show(value: object) -> str:
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else f"{value[:57]}…")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list):
        return "a list"
    return str(value)


def _split(key: str) -> list[str]:
    return [part.strip().strip("\"'") for part in key.split(".")]


def _enter(
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


def _after(line: str, open_until: str, depth: int) -> tuple[str, int]:
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
