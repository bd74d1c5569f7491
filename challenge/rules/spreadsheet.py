"""Text for spreadsheets: a cell that a program would run as a formula is made plain. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

STARTERS = ("=", "+", "-", "@", "\t", "\r")


def safe_cell(value: object) -> object:
    """A cell as it may be written: numbers as they are, text never a formula.

    >>> safe_cell("=HYPERLINK(1)"), safe_cell(-0.5), safe_cell(None)
    ("'=HYPERLINK(1)", -0.5, '')
    """
    if value is None:
        return ""
    if isinstance(value, str):
        shown = "".join(" " if c in "\r\n\0" else c for c in value)
        return f"'{shown}" if value.lstrip().startswith(STARTERS) else shown
    return value


def write_csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A CSV text (RFC 4180) of safe cells."""
    return "".join(csv_lines(header, rows))


def csv_lines(header: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """The same line by line, for an answer that is never in memory as a whole."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(header)
    yield text.getvalue()
    for row in rows:
        text.seek(0)
        text.truncate()
        writer.writerow([safe_cell(value) for value in row])
        yield text.getvalue()
