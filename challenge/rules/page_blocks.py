"""Marks in a challenge's Markdown pages that stand for a figure or a table made from its data.

A line with nothing but ``[[classes]]`` is replaced by the class table, and so on, so that no page
repeats a number which the challenge file already holds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

BLOCKS = ("figures", "classes", "domains", "downloads", "results", "phases")

_MARK = re.compile(r"^\[\[([^\[\]]*)\]\][ \t]*$", re.MULTILINE)


@dataclass(frozen=True)
class Piece:
    """A stretch of a page: Markdown, or the name of a block (then ``markdown`` is empty)."""

    markdown: str = ""
    block: str = ""


def split(markdown: str) -> list[Piece]:
    """Cut a page at its marks, in order; unknown marks stay in the Markdown.

    >>> split("One.\\n\\n[[classes]]\\n\\nTwo.")
    [Piece(markdown='One.', block=''), Piece(markdown='', block='classes'), \
Piece(markdown='Two.', block='')]
    """
    pieces: list[Piece] = []
    start = 0
    for mark in _MARK.finditer(markdown):
        if mark[1] not in BLOCKS:
            continue
        pieces += _text(markdown[start : mark.start()])
        pieces.append(Piece(block=mark[1]))
        start = mark.end()
    return pieces + _text(markdown[start:])


def unknown(markdown: str) -> list[tuple[int, str]]:
    """Marks that stand for nothing: (line from 1, name)."""
    return [
        (markdown.count("\n", 0, mark.start()) + 1, mark[1])
        for mark in _MARK.finditer(markdown)
        if mark[1] not in BLOCKS
    ]


def _text(markdown: str) -> list[Piece]:
    return [Piece(markdown=markdown.strip())] if markdown.strip() else []
