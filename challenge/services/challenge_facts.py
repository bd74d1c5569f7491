"""What a challenge's file says beside its task: facts for the pages, and the pages themselves.

Part of `challenge_file.read`; pure, no Django.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from challenge.rules import page_blocks
from challenge.services.toml_reader import FileMistakes, Mistake, Table, read_text

LANGUAGES = ("en", "fr")
SPLITS = ("train", "val", "test")
SLUG = r"[a-z0-9]+(-[a-z0-9]+)*"

_KEY = r"[a-z0-9]+(_[a-z0-9]+)*"
_COLOR = r"#[0-9a-f]{6}"
_URL = r"https?://[^\s<>\"]+"
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_HUGE = 2**31 - 1


@dataclass(frozen=True)
class PageFile:
    """One Markdown page in one language."""

    slug: str
    language: str
    title: str
    markdown: str
    order: int


def read_facts(root: Table, head: Table, class_of: dict[int, str]) -> dict[str, Any]:
    """Organiser, licence, dates, links, figures, nomenclature, downloads and domains, as JSON.

    ``class_of`` maps mask labels to class keys, empty where the task itself is mistaken.
    """
    licence = head.table("licence", required=False)
    facts: dict[str, Any] = {
        "organiser": head.text("organiser", required=False),
        "licence": {
            "name": licence.texts("name", LANGUAGES, required=head.has("licence")),
            "url": _url(licence, required=head.has("licence")),
        },
        "held_from": head.day("held_from", required=False),
        "held_until": head.day("held_until", required=False),
        "links": _rows(root, "links", _link),
        "figures": _rows(root, "figures", _figure, unique="key"),
        "nomenclature": _rows(
            root, "nomenclature", lambda table: _label(table, class_of), unique="label"
        ),
        "downloads": _rows(root, "downloads", _download, unique="file"),
        "domains": _domains(root),
    }
    licence.done()
    return facts


def read_pages(root: Table, folder: Path) -> tuple[PageFile, ...]:
    """The pages of the ``[[pages]]`` tables, in every language, in order."""
    tables = root.tables("pages")
    slugs = [str(table.untyped("slug")) for table in tables]
    mistakes = root.notebook.mistakes
    pages = []
    for order, table in enumerate(tables):
        slug = table.text("slug", pattern=SLUG, example="overview", length=50)
        titles = table.texts("title", LANGUAGES)
        table.done()
        note_twice(table, "slug", slug, slugs[:order])
        for language in LANGUAGES if slug else ():
            name = f"pages/{slug}.{language}.md"
            if not (folder / name).is_file():
                table.note("slug", f"its file {name} is missing; write it")
                continue
            try:
                markdown = read_text(folder / name, name=name)
            except FileMistakes as error:
                mistakes.extend(error.mistakes)
                continue
            mistakes.extend(Mistake(name, *found) for found in _page_mistakes(markdown, slugs))
            pages.append(PageFile(slug, language, titles[language], markdown, order))
    listed = {f"{slug}.{language}.md" for slug in slugs for language in LANGUAGES}
    for path in sorted((folder / "pages").glob("*")):
        if path.name not in listed:
            message = "belongs to no [[pages]] table; list it or remove it"
            mistakes.append(Mistake(f"pages/{path.name}", 0, message))
    return tuple(pages)


def note_twice(table: Table, key: str, value: Any, before: Iterable[Any]) -> None:
    """Note a value that an earlier table gave already."""
    if value in before:
        table.note(key, f"{value!r} is given twice; it must be given once")


def _page_mistakes(markdown: str, slugs: Sequence[str]) -> Iterable[tuple[int, str]]:
    if not markdown.strip():
        yield 1, "is empty; write the page"
    for line, mark in page_blocks.unknown(markdown):
        allowed = ", ".join(f"[[{block}]]" for block in page_blocks.BLOCKS)
        yield line, f"[[{mark}]] stands for nothing; allowed are {allowed}"
    for line, text in enumerate(markdown.splitlines(), start=1):
        for target in _LINK.findall(text):
            if not re.match(r"https?://|mailto:|#|/", target) and target not in slugs:
                yield line, f"links to {target!r}, no page; allowed are {', '.join(slugs)}"


def _rows(
    root: Table, key: str, read_row: Callable[[Table], dict[str, Any]], *, unique: str = ""
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for table in root.tables(key):
        row = read_row(table)
        table.done()
        if unique:
            note_twice(table, unique, row[unique], [r[unique] for r in rows])
        rows.append(row)
    return rows


def _domains(root: Table) -> dict[str, list[dict[str, Any]]]:
    splits = root.table("domains", required=False)
    domains: dict[str, list[dict[str, Any]]] = {}
    seen: list[str] = []
    for split in SPLITS:
        rows = []
        for table in splits.tables(split):
            row: dict[str, Any] = {"id": table.text("id"), "name": table.text("name")}
            if table.has("department"):
                row["department"] = table.text("department")
            for key, high in (("year", 9999), ("patches", _HUGE)):
                if table.has(key):
                    row[key] = table.integer(key, low=1, high=high)
            table.done()
            note_twice(table, "id", row["id"], seen)
            seen.append(row["id"])
            rows.append(row)
        domains[split] = rows
    splits.done()
    return domains


def _link(table: Table) -> dict[str, Any]:
    return {"name": table.texts("name", LANGUAGES), "url": _url(table)}


def _url(table: Table, *, required: bool = True) -> str:
    return table.text("url", required=required, pattern=_URL, example="https://example.org/page")


def _figure(table: Table) -> dict[str, Any]:
    value = table.untyped("value")
    if isinstance(value, bool) or not isinstance(value, int | float | str) or value == "":
        table.note("value", "a number or a text is needed")
    row = {
        "key": table.text("key", pattern=_KEY, example="train_patches"),
        "value": value,
        "name": table.texts("name", LANGUAGES),
    }
    return row | ({"unit": table.text("unit")} if table.has("unit") else {})


def _label(table: Table, class_of: dict[int, str]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "label": table.integer("label", low=0, high=254),
        "key": table.text("key", pattern=_KEY, example="bare_soil"),
        "class": table.text("class"),
        "name": table.texts("name", LANGUAGES),
        "color": table.text("color", pattern=_COLOR, example="#db0e9a"),
    }
    for key in ("train_percent", "test_percent"):
        if table.has(key):
            row[key] = table.number(key, low=0, high=100)
    if class_of and row["label"] is not None and class_of.get(row["label"]) != row["class"]:
        reduced = class_of.get(row["label"])
        said = f"the task reduces it to {reduced!r}" if reduced else "the task knows no such label"
        table.note("class", f"is {row['class']!r} for label {row['label']}, but {said}")
    return row


def _download(table: Table) -> dict[str, Any]:
    return {
        "file": table.text("file"),
        "size": table.text("size", pattern=r"[0-9]+(\.[0-9]+)? [kMGT]?B", example="50.7 GB"),
        "content": table.texts("content", LANGUAGES),
        "url": _url(table),
    }
