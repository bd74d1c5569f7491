"""Lists of addresses and mail domains whose registrations are approved at once. Pure."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass, field

from challenge.rules import mailboxes

LINES_LIMIT = 5000
ADDRESS_CHARACTERS = 254
# Heads of the column that holds the address, where a file has several columns.
HEADS = frozenset(
    {"address", "e-mail", "email", "mail", "adresse", "courriel", "domain", "domaine"}
)
_LABEL = r"[^\s@.,;:<>()\[\]\"'\\/]+"
_DOMAIN = re.compile(rf"@{_LABEL}(?:\.{_LABEL})+")
_ADDRESS = re.compile(rf"(?!#)[^\s@,;:<>()\[\]\"\\]+@{_LABEL}(?:\.{_LABEL})+")


@dataclass(frozen=True)
class BadLine:
    """A line that is neither an address nor a domain: its number from 1, and what it has."""

    number: int
    found: str


@dataclass(frozen=True)
class Listed:
    """What a text lists: entries in its order, each once; how many were repeated; bad lines.

    An entry is ``name@domain``, or ``@domain`` for all addresses of a domain. ``too_many``: the
    text has more than :data:`LINES_LIMIT` entries, of which only so many were read.
    """

    entries: list[str] = field(default_factory=list)
    repeated: int = 0
    bad: list[BadLine] = field(default_factory=list)
    too_many: bool = False


def read(text: str) -> Listed:
    """Read a list, one entry a line, or a CSV (comma, semicolon or tab).

    Of several columns the one with a head of :data:`HEADS` counts, else the first. Empty lines and
    lines that begin with ``#`` are passed over.

    >>> read("e-mail;name\\nAda@Example.org;Ada\\n@ign.fr;\\nnobody;x\\n")
    Listed(entries=['ada@example.org', '@ign.fr'], repeated=0, bad=[BadLine(number=4, \
found='nobody')], too_many=False)
    """
    entries: dict[str, str] = {}
    bad: list[BadLine] = []
    repeated = 0
    column: int | None = None
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text))
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if not any(cells) or cells[0].startswith("#"):
                continue
            if column is None:
                column = next((n for n, cell in enumerate(cells) if cell.lower() in HEADS), None)
                if column is not None:
                    continue
                column = 0
            found = cells[column] if column < len(cells) else ""
            entry = cleaned(found)
            if entry is None:
                bad.append(BadLine(reader.line_num, found[:80]))
            elif key(entry) in entries:
                repeated += 1
            elif len(entries) == LINES_LIMIT:
                return Listed(list(entries.values()), repeated, bad, too_many=True)
            else:
                entries[key(entry)] = entry
    except csv.Error as error:
        bad.append(BadLine(reader.line_num, str(error)))
    return Listed(list(entries.values()), repeated, bad)


def cleaned(text: str) -> str | None:
    """Return an entry in lower case, None where it is neither an address nor a domain.

    >>> cleaned(" <Ada@Example.org> "), cleaned("*@ign.fr"), cleaned("ign.fr"), cleaned("a@b")
    ('ada@example.org', '@ign.fr', None, None)
    """
    entry = text.strip().removeprefix("<").removesuffix(">").strip().lower()
    entry = entry.removeprefix("*") if entry.startswith("*@") else entry
    if len(entry) > ADDRESS_CHARACTERS:
        return None
    return entry if _DOMAIN.fullmatch(entry) or _ADDRESS.fullmatch(entry) else None


def key(entry: str) -> str:
    """Return what an entry is compared by: the mailbox of an address, the domain as in DNS.

    >>> key("Ada+flair@Example.org"), key("@Example.org")
    ('ada@example.org', '@example.org')
    """
    if entry.startswith("@"):
        return mailboxes.normalise(f"x{entry}")[1:]
    return mailboxes.normalise(entry)


def keys_of(address: str) -> list[str]:
    """Return the keys of the entries that admit an address: its own and its domain's.

    >>> keys_of("Ada+flair@Example.org")
    ['ada@example.org', '@example.org']
    """
    own = key(address)
    return [own, own[own.rindex("@") :]]


def _delimiter(text: str) -> str:
    first = next((line for line in text.splitlines() if line.strip()), "")
    return next((one for one in (";", "\t") if one in first), ",")
