"""A challenge's folder, read and checked whole: ``challenge.toml``, its pages and its id lists.

Pure: no Django, no database. `read` gives a `ChallengeFile` or raises `FileMistakes` with every
mistake's file and line. The format is described in ``docs/challenge-file.md``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from challenge.services.challenges import schema, toml_document
from challenge.services.challenges.pages import NEEDED_PAGES, PageFile, read_pages
from challenge.services.challenges.toml_document import (
    FileMistakes,
    KeyPath,
    Mistake,
    TomlDocument,
    undotted,
)
from challenge.services.challenges.validation import validate
from scoring.engine.task import specification as task_spec
from scoring.engine.task.specification import Limits, Patch, SpecError, TaskSpec

FILE_NAME = "challenge.toml"


@dataclass(frozen=True)
class PhaseFile:
    """One ``[[phases]]`` table with its upload limit, its patches and its kit's source."""

    table: schema.Phase
    archive_bytes: int
    patches: tuple[Patch, ...]
    kit: Path | None = None

    @property
    def slug(self) -> str:
        return self.table.slug


@dataclass(frozen=True)
class ChallengeFile:
    """A challenge as its folder describes it.

    ``spec`` carries no expected ids: each phase has its own ``patches``; None where an unpublished
    challenge says nothing of its task yet. ``facts`` is what pages
    show beside the task, as JSON: organiser, licence, held_from, held_until, links, figures,
    nomenclature, domains, downloads, images. ``digest`` is the SHA-256 of the folder's files.
    """

    head: schema.Challenge
    spec: TaskSpec | None
    facts: dict[str, Any]
    phases: tuple[PhaseFile, ...]
    pages: tuple[PageFile, ...]
    results: tuple[schema.Result, ...]
    announcements: tuple[schema.Announcement, ...]
    digest: str = field(repr=False)

    @property
    def slug(self) -> str:
        return self.head.slug


def read(path: Path) -> ChallengeFile:
    """The challenge in folder ``path`` (or in the folder of the ``challenge.toml`` at ``path``).

    Raises `FileMistakes` with every mistake found, each with its file and line.
    """
    folder = path.parent if path.name == FILE_NAME else path
    if not (folder / FILE_NAME).is_file():
        raise FileMistakes(
            [Mistake(str(path), 0, f"there is no {FILE_NAME} here; give a challenge's folder")]
        )
    document = toml_document.read(folder / FILE_NAME)
    languages = schema.required_languages(document.content)
    tables = validate(schema.Document, document, context={"languages": languages})
    spec = _task(tables, document, folder)
    phases = _phases(tables, document, folder, spec)
    pages = read_pages(tables.pages, document, folder, required=languages)
    _check_needed_pages(tables, document)
    _check_results(tables, document, spec)
    _check_nomenclature(tables, document, spec)
    _check_unique(tables, document)
    document.raise_if_any()
    return ChallengeFile(
        head=tables.challenge,
        spec=replace(spec, expected=()) if spec is not None else None,
        facts=_facts(tables),
        phases=phases,
        pages=pages,
        results=tuple(tables.results),
        announcements=tuple(tables.announcements),
        digest=_digest(folder),
    )


def _task(tables: schema.Document, document: TomlDocument, folder: Path) -> TaskSpec | None:
    """Let the scoring engine read ``[task]``; None where it has a mistake, or a draft has none."""
    task = tables.task
    if task is None and not tables.challenge.published:
        return None
    if isinstance(task, dict) and isinstance(task.get("ids_csv"), str):
        _patches(task["ids_csv"], ("task", "ids_csv"), document, folder, expected=())
        if document.mistakes:
            return None
    try:
        spec = task_spec.parse({"task": task}, folder=folder)
    except SpecError as error:
        document.add_mistake(undotted(error.key_path) or ("task",), error.message)
        return None
    slug = tables.challenge.slug
    if spec.id != slug:
        document.add_mistake(
            ("task", "id"), f"is {spec.id!r}, the challenge's slug is {slug!r}; make them equal"
        )
    return spec


def _patches(
    name: str, key: KeyPath, document: TomlDocument, folder: Path, *, expected: Sequence[Patch]
) -> tuple[Patch, ...]:
    """The patches of an id list beside the toml, checked row by row."""
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        document.add_mistake(key, f"{name!r} lies outside the challenge's folder")
        return ()
    try:
        patches = task_spec.read_ids_csv(path)
    except SpecError as error:
        document.add_mistake(key, error.message)
        return ()
    if not patches:
        document.add_mistake(key, f"{name} lists no patch")
    known = {p.id for p in expected}
    first_line: dict[str, int] = {}
    for line, patch in enumerate(patches, start=2):
        problem = ""
        if patch.id in first_line:
            problem = f"patch {patch.id} is listed twice; first in line {first_line[patch.id]}"
        elif known and patch.id not in known:
            problem = f"patch {patch.id} is not one of the task's expected patches"
        elif bool(patch.domain) != bool(patch.zone):
            problem = f"patch {patch.id} has a domain or a zone alone; give both or neither"
        if problem:
            document.mistakes.append(Mistake(name, line, problem))
        first_line.setdefault(patch.id, line)
    return patches


def _phases(
    tables: schema.Document, document: TomlDocument, folder: Path, spec: TaskSpec | None
) -> tuple[PhaseFile, ...]:
    expected = spec.expected if spec else ()
    largest = (spec.limits if spec else Limits()).archive_bytes
    phases = []
    for number, table in enumerate(tables.phases):
        path: KeyPath = ("phases", number)
        if table.closes_at and table.closes_at <= table.opens_at:
            document.add_mistake(
                (*path, "closes_at"), "is not after opens_at; a phase closes after it opens"
            )
        if (table.archive_bytes or 0) > largest:
            document.add_mistake(
                (*path, "archive_bytes"), f"is {table.archive_bytes}; allowed are 1 to {largest}"
            )
        patches = expected
        if table.ids_csv:
            key = (*path, "ids_csv")
            known = () if table.labels_public else expected
            patches = _patches(table.ids_csv, key, document, folder, expected=known)
        elif spec and not expected:
            document.add_mistake(
                (*path, "ids_csv"), "is missing, and the task expects no ids either"
            )
        kit = _kit(table.kit, (*path, "kit"), document, folder)
        phases.append(PhaseFile(table, table.archive_bytes or largest, patches, kit))
    _check_public_labels(phases, document)
    return tuple(phases)


def _kit(name: str, key: KeyPath, document: TomlDocument, folder: Path) -> Path | None:
    """The folder or zip beside the toml that a phase's kit is made from; None where none is."""
    if not name:
        return None
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        document.add_mistake(key, f"{name!r} lies outside the challenge's folder")
    elif not path.exists():
        document.add_mistake(key, f"there is no folder or zip {name!r} beside {FILE_NAME}")
    return path


def _check_needed_pages(tables: schema.Document, document: TomlDocument) -> None:
    """A published challenge has the pages that joining leads through."""
    missing = [slug for slug in NEEDED_PAGES if slug not in {page.slug for page in tables.pages}]
    if tables.challenge.published and missing:
        document.add_mistake(
            ("challenge", "published"),
            f"is true, and pages that joining needs are missing: {', '.join(missing)}; add a table "
            "[[pages]] and its files for each, or leave published out until they are there",
        )


def _check_public_labels(phases: Sequence[PhaseFile], document: TomlDocument) -> None:
    """No patch of a phase whose labels are public belongs to one whose labels are hidden."""
    for number, phase in enumerate(phases):
        if not phase.table.labels_public:
            continue
        own = {patch.id for patch in phase.patches}
        for other in phases:
            shared = sorted(own & {patch.id for patch in other.patches})
            if shared and not other.table.labels_public:
                document.add_mistake(
                    ("phases", number, "labels_public"),
                    f"is true, but {len(shared)} of its patches belong to phase {other.slug!r}, "
                    f"whose labels are hidden (first: {shared[0]}); its values would teach them. "
                    "Give it patches whose labels are published, or leave labels_public out",
                )


def _check_results(tables: schema.Document, document: TomlDocument, spec: TaskSpec | None) -> None:
    """A result belongs to a phase of the file and gives IoUs of scored classes."""
    phases = sorted(phase.slug for phase in tables.phases) or ["test"]
    scored = sorted(c.key for c in spec.classes if c.scored) if spec else []
    for number, result in enumerate(tables.results):
        path: KeyPath = ("results", number)
        if result.phase not in phases:
            document.add_mistake(
                (*path, "phase"), f"is {result.phase!r}; allowed are {', '.join(phases)}"
            )
        for key in result.ious if scored else ():
            if key not in scored:
                document.add_mistake(
                    (*path, "ious", key),
                    f"is no scored class; allowed are {', '.join(scored)}",
                )


def _check_nomenclature(
    tables: schema.Document, document: TomlDocument, spec: TaskSpec | None
) -> None:
    """A label's class is the one that the task reduces it to."""
    if spec is None:
        return
    class_of = {label: c.key for c in spec.classes for label in c.labels}
    for number, row in enumerate(tables.nomenclature):
        reduced = class_of.get(row.label)
        if reduced != row.class_key:
            said = (
                f"the task reduces it to {reduced!r}" if reduced else "the task knows no such label"
            )
            document.add_mistake(
                ("nomenclature", number, "class"),
                f"is {row.class_key!r} for label {row.label}, but {said}",
            )


def _check_unique(tables: schema.Document, document: TomlDocument) -> None:
    """What identifies a table is given once."""
    _check_each_once(document, "phases", "slug", [p.slug for p in tables.phases])
    _check_each_once(document, "pages", "slug", [p.slug for p in tables.pages])
    _check_each_once(document, "figures", "key", [f.key for f in tables.figures])
    _check_each_once(document, "nomenclature", "label", [r.label for r in tables.nomenclature])
    _check_each_once(document, "downloads", "file", [d.file for d in tables.downloads])
    _check_each_once(document, "announcements", "key", [a.key for a in tables.announcements])
    _check_each_once(
        document, "results", "name", [r.name for r in tables.results],
        groups=[r.phase for r in tables.results],
    )  # fmt: skip
    seen: set[str] = set()
    for split in schema.SPLITS:
        for number, domain in enumerate(getattr(tables.domains, split)):
            if domain.id in seen:
                _add_repeated(document, ("domains", split, number, "id"), domain.id)
            seen.add(domain.id)


def _check_each_once(
    document: TomlDocument,
    table: str,
    key: str,
    values: Sequence[str | int],
    *,
    groups: Sequence[str] | None = None,
) -> None:
    """Record values that an earlier table (of the same group) gave already."""
    seen: set[tuple[str, str | int]] = set()
    for number, (group, value) in enumerate(zip(groups or [""] * len(values), values, strict=True)):
        if (group, value) in seen:
            _add_repeated(document, (table, number, key), value)
        seen.add((group, value))


def _add_repeated(document: TomlDocument, path: KeyPath, value: str | int) -> None:
    document.add_mistake(path, f"{value!r} is given twice; it must be given once")


def _facts(tables: schema.Document) -> dict[str, Any]:
    """What pages show beside the task, as JSON."""
    head = tables.challenge

    def rows(models: Sequence[schema.Table]) -> list[dict[str, Any]]:
        return [model.model_dump(by_alias=True, exclude_none=True) for model in models]

    return {
        "organiser": head.organiser,
        "licence": head.licence.model_dump() if head.licence else {"name": {}, "url": ""},
        "held_from": head.held_from,
        "held_until": head.held_until,
        "links": rows(tables.links),
        "figures": rows(tables.figures),
        "nomenclature": rows(tables.nomenclature),
        "downloads": rows(tables.downloads),
        "domains": {split: rows(getattr(tables.domains, split)) for split in schema.SPLITS},
        "images": tables.images.model_dump(),
    }


def _digest(folder: Path) -> str:
    """SHA-256 over the names and bytes of the folder's files."""
    total = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        total.update(path.relative_to(folder).as_posix().encode() + b"\0")
        with path.open("rb") as file:  # images of a kit are larger than memory should hold
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()
