"""What a command shows: tables and bars for people, one JSON object for scripts."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from scoring import terminal
from scoring.client.texts import say

# A line of a table that goes into a file is never broken; on a terminal what identifies is not.
FILE_COLUMNS = 10_000
TABLE_COLUMNS_MIN = 120

Step = Callable[[int, int], None]
SIZES = ("B", "kB", "MB", "GB", "TB")


def size(count: float) -> str:
    """Bytes for people.

    >>> size(340_000_000)
    '340.0 MB'
    """
    for unit in SIZES:
        if count < 1000 or unit == SIZES[-1]:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError("unreachable")


def percent(value: float | None) -> str:
    """A fraction in per cent with two decimals, a dash for none.

    >>> percent(0.54432), percent(None)
    ('54.43', '–')
    """
    return "–" if value is None else f"{100 * value:.2f}"


def plain(text: str) -> str:
    """What others wrote, without what would steer this terminal or turn its lines around.

    >>> plain("U-Net\\x1b[2J\\u202e")
    'U-Net�[2J�'
    """
    return "".join(
        c if c in "\n\t" or unicodedata.category(c) not in {"Cc", "Cf", "Cs"} else "\ufffd"
        for c in text
    )


class Output:
    """Where a command writes. With ``as_json`` people's words go nowhere, and one object comes."""

    def __init__(self, *, lang: str, as_json: bool, quiet: bool = False) -> None:
        self.lang = lang
        self.as_json = as_json
        self._out = Console(highlight=False, soft_wrap=True)
        # Progress and remarks go to stderr, so that a pipe gets the result alone.
        self._err = Console(stderr=True, highlight=False, soft_wrap=True, quiet=quiet or as_json)

    def say(self, code: str, **params: object) -> None:
        """A remark of our own catalogue, on stderr."""
        self._err.print(escape(plain(say(code, self.lang, **params))))

    def remark(self, text: str) -> None:
        """A line on stderr."""
        self._err.print(escape(plain(text)))

    def line(self, text: str = "") -> None:
        """A line of the result, on stdout."""
        if not self.as_json:
            self._out.print(escape(plain(text)))

    def result(self, value: Any) -> None:
        """The JSON object of ``--json``."""
        if self.as_json:
            sys.stdout.write(terminal.to_json(value) + "\n")

    def table(
        self,
        columns: Sequence[tuple[str, bool]],
        rows: Sequence[Sequence[object]],
        *,
        whole: Sequence[int] = (),
    ) -> None:
        """A table; each column is (title, whether it holds numbers).

        Those at the positions ``whole`` are never broken over lines: they are there to be copied.
        """
        if self.as_json:
            return
        table = Table(box=None, pad_edge=False, header_style="bold")
        for index, (title, is_number) in enumerate(columns):
            table.add_column(
                title,
                justify="right" if is_number else "left",
                overflow="fold",
                no_wrap=index in whole,
            )
        for row in rows:
            table.add_row(*(escape("" if cell is None else plain(str(cell))) for cell in row))
        width = max(self._out.width, TABLE_COLUMNS_MIN if whole else 0)
        Console(highlight=False, width=width if self._out.is_terminal else FILE_COLUMNS).print(
            table
        )

    @contextmanager
    def bar(self, code: str, *, is_bytes: bool = False) -> Iterator[Step]:
        """A progress bar on stderr; the step gets how much is done, of how much."""
        if not self._err.is_terminal:
            # A bar in a log is noise, and an empty one leaves an empty line.
            yield lambda _done, _total: None
            return
        columns = (
            (DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
            if is_bytes
            else (MofNCompleteColumn(), TimeRemainingColumn())
        )
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            *columns,
            console=self._err,
        ) as progress:
            task = progress.add_task(say(code, self.lang), total=None)

            def step(done: int, total: int) -> None:
                progress.update(task, completed=done, total=total)

            yield step
