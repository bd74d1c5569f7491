"""The Markdown pages beside a challenge's file, read and checked.

Part of `challenge_file.read`; pure, no Django.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from challenge.rules import page_blocks
from challenge.rules.languages import LANGUAGES
from challenge.services.challenges import schema
from challenge.services.challenges.toml_document import (
    FileMistakes,
    Mistake,
    TomlDocument,
    read_text,
)

# The first page, and the rules that who joins accepts.
NEEDED_PAGES = ("overview", "rules")

_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class PageFile:
    """One Markdown page in one language."""

    slug: str
    language: str
    title: str
    markdown: str
    order: int


@dataclass(frozen=True)
class PageFault:
    """What is wrong with a page's text at a line (from 1), and what is allowed there.

    ``kind``: "empty", "mark" (one such as ``[[class]]`` that stands for nothing) or "link" (to a
    page that is not there).
    """

    line: int
    kind: str
    found: str = ""
    allowed: str = ""


def read_pages(
    tables: Sequence[schema.Page],
    document: TomlDocument,
    folder: Path,
    *,
    required: Sequence[str],
) -> tuple[PageFile, ...]:
    """Read the pages of the ``[[pages]]`` tables, in every language that is there, in order.

    Mistakes (a file in a ``required`` language is missing, a file belongs to no table, is empty,
    links to no page) are added to ``document``.
    """
    slugs = [table.slug for table in tables]
    pages = []
    for order, table in enumerate(tables):
        for language in LANGUAGES:
            name = f"pages/{table.slug}.{language}.md"
            if not (folder / name).is_file():
                if language not in required:
                    continue
                key = ("pages", order, "slug")
                document.add_mistake(key, f"its file {name} is missing; write it")
                continue
            try:
                markdown = read_text(folder / name, name=name)
            except FileMistakes as error:
                document.mistakes.extend(error.mistakes)
                continue
            document.mistakes.extend(
                Mistake(name, fault.line, _message(fault)) for fault in faults_in(markdown, slugs)
            )
            title = table.title.get(language) or next(iter(table.title.values()))
            pages.append(PageFile(table.slug, language, title, markdown, order))
    listed = {f"{slug}.{language}.md" for slug in slugs for language in LANGUAGES}
    for path in sorted((folder / "pages").glob("*")):
        if path.name not in listed:
            message = "belongs to no [[pages]] table; list it or remove it"
            document.mistakes.append(Mistake(f"pages/{path.name}", 0, message))
    return tuple(pages)


def faults_in(markdown: str, slugs: Sequence[str]) -> Iterable[PageFault]:
    """Yield what is wrong with a page's text; ``slugs`` are the challenge's pages."""
    if not markdown.strip():
        yield PageFault(1, "empty")
    marks = ", ".join(f"[[{block}]]" for block in page_blocks.BLOCKS)
    for line, mark in page_blocks.unknown(markdown):
        yield PageFault(line, "mark", f"[[{mark}]]", marks)
    for line, text in enumerate(markdown.splitlines(), start=1):
        for target in _LINK.findall(text):
            if not re.match(r"https?://|mailto:|#|/", target) and target not in slugs:
                yield PageFault(line, "link", target, ", ".join(slugs))


def _message(fault: PageFault) -> str:
    """Say a fault in the words of the challenge file's mistakes."""
    if fault.kind == "empty":
        return "is empty; write the page"
    if fault.kind == "mark":
        return f"{fault.found} stands for nothing; allowed are {fault.allowed}"
    return f"links to {fault.found!r}, no page; allowed are {fault.allowed}"
