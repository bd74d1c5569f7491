"""A challenge's folder, read and checked whole: ``challenge.toml``, its pages and its id lists.

Pure: no Django, no database. `read` gives a `ChallengeFile` or raises `FileMistakes` with every
mistake's file and line. The format is described in ``docs/challenge-file.md``.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from challenge.services.challenge_facts import (
    LANGUAGES,
    SLUG,
    PageFile,
    note_twice,
    read_facts,
    read_pages,
)
from challenge.services.toml_reader import (
    FileMistakes,
    Mistake,
    Notebook,
    Table,
    parse,
    read_text,
    undotted,
)
from scoring.engine import spec as task_spec
from scoring.engine.spec import Patch, SpecError, TaskSpec

FILE_NAME = "challenge.toml"
VISIBILITIES = ("public", "after-close", "organisers")
DETAILS = ("full", "domains", "classes", "miou")
PRECISIONS = ("labels-closed", "phase-closed")
RESULT_KINDS = ("podium", "baseline")
ARCHIVES_DAYS = 90
TEAM_ARCHIVES_BYTES = 100_000_000_000

_HUGE = 2**31 - 1
_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class PhaseFile:
    """One ``[[phases]]`` table. Times are aware; limits are None where there is none."""

    slug: str
    name: dict[str, str]
    summary: dict[str, str]
    published: bool
    opens_at: datetime
    closes_at: datetime | None
    daily_limit: int | None
    total_limit: int | None
    invalid_daily_limit: int | None
    finals_limit: int | None
    archive_bytes: int
    visibility: str
    detail: str
    precision: str
    archives_kept_days: int
    inference_ratio_limit: float | None
    patches: tuple[Patch, ...]


@dataclass(frozen=True)
class ResultFile:
    """A published result; ``miou``, ``std`` and ``ious`` ({class key: …}) are fractions."""

    phase: str
    name: str
    kind: str
    miou: float
    std: float | None
    ious: dict[str, float]
    source: str


@dataclass(frozen=True)
class AnnouncementFile:
    """A shipped announcement, known by its key."""

    key: str
    title: dict[str, str]
    body: dict[str, str]
    published_at: datetime


@dataclass(frozen=True)
class ChallengeFile:
    """A challenge as its folder describes it.

    ``spec`` carries no expected ids: each phase has its own ``patches``. ``facts`` is what pages
    show beside the task, as JSON: organiser, licence, held_from, held_until, links, figures,
    nomenclature, domains, downloads.
    """

    slug: str
    title: dict[str, str]
    tagline: dict[str, str]
    summary: dict[str, str]
    order: int
    published: bool
    terms_version: str
    approval_required: bool
    team_size_limit: int | None
    team_merge_until: datetime | None
    team_archives_bytes: int
    spec: TaskSpec
    facts: dict[str, Any]
    phases: tuple[PhaseFile, ...]
    pages: tuple[PageFile, ...]
    results: tuple[ResultFile, ...]
    announcements: tuple[AnnouncementFile, ...]
    digest: str = field(repr=False)


def read(path: Path) -> ChallengeFile:
    """The challenge in folder ``path`` (or in the folder of the ``challenge.toml`` at ``path``).

    Raises `FileMistakes` with every mistake found, each with its file and line.
    """
    folder = path.parent if path.name == FILE_NAME else path
    if not (folder / FILE_NAME).is_file():
        raise FileMistakes(
            [Mistake(str(path), 0, f"there is no {FILE_NAME} here; give a challenge's folder")]
        )
    text = read_text(folder / FILE_NAME, name=FILE_NAME)
    document = parse(text, file=FILE_NAME)
    return _Reader(folder, Table(document, Notebook(FILE_NAME, text))).read()


class _Reader:
    """Reads the tables one after the other; all of them note into one notebook."""

    def __init__(self, folder: Path, root: Table) -> None:
        self.folder = folder
        self.root = root
        self.notebook = root.notebook

    def read(self) -> ChallengeFile:
        head = self.root.table("challenge")
        full_spec = self._task(head)
        class_of = (
            {label: c.key for c in full_spec.classes for label in c.labels} if full_spec else {}
        )
        scored = {c.key for c in full_spec.classes if c.scored} if full_spec else set()
        phases = self._phases(full_spec)
        facts = read_facts(self.root, head, class_of)
        file = ChallengeFile(
            slug=head.text("slug", pattern=SLUG, example="flair-1", length=50),
            title=head.texts("title", LANGUAGES),
            tagline=head.texts("tagline", LANGUAGES, required=False),
            summary=head.texts("summary", LANGUAGES, required=False),
            order=head.integer("order", low=0, high=_HUGE, required=False, default=0) or 0,
            published=head.flag("published", default=False),
            terms_version=head.text("terms_version", required=False, default="1", length=40),
            approval_required=head.flag("approval_required", default=False),
            team_size_limit=head.integer("team_size_limit", low=1, high=1000, required=False),
            team_merge_until=head.moment("team_merge_until", required=False),
            team_archives_bytes=head.integer(
                "team_archives_bytes",
                low=1,
                high=10**15,
                required=False,
                default=TEAM_ARCHIVES_BYTES,
            )
            or TEAM_ARCHIVES_BYTES,
            spec=replace(full_spec, expected=()) if full_spec else _NO_SPEC,
            facts=facts,
            phases=phases,
            pages=read_pages(self.root, self.folder),
            results=self._results({p.slug for p in phases}, scored),
            announcements=self._announcements(),
            digest=_digest(self.folder),
        )
        head.done()
        self.root.done()
        self.notebook.raise_if_any()
        return file

    # --- the task ---------------------------------------------------------------------------

    def _task(self, head: Table) -> TaskSpec | None:
        task = self.root.untyped("task")
        if isinstance(task, dict) and isinstance(task.get("ids_csv"), str):
            self._ids(task["ids_csv"], ("task", "ids_csv"), None)
            if self.notebook.mistakes:
                return None
        try:
            spec = task_spec.parse({"task": task}, folder=self.folder)
        except SpecError as error:
            self.notebook.note(undotted(error.where) or ("task",), error.message)
            return None
        slug = head.untyped("slug")
        if isinstance(slug, str) and spec.id != slug:
            self.notebook.note(
                ("task", "id"), f"is {spec.id!r}, the challenge's slug is {slug!r}; make them equal"
            )
        return spec

    def _ids(
        self, name: str, key: tuple[str | int, ...], spec: TaskSpec | None
    ) -> tuple[Patch, ...]:
        """The patches of an id list beside the toml, checked row by row."""
        path = self.folder / name
        if not path.resolve().is_relative_to(self.folder.resolve()):
            self.notebook.note(key, f"{name!r} lies outside the challenge's folder")
            return ()
        try:
            patches = task_spec.read_ids_csv(path)
        except SpecError as error:
            self.notebook.note(key, error.message)
            return ()
        if not patches:
            self.notebook.note(key, f"{name} lists no patch")
        known = {p.id for p in spec.expected} if spec else set()
        seen: dict[str, int] = {}
        for line, patch in enumerate(patches, start=2):
            problem = ""
            if patch.id in seen:
                problem = f"patch {patch.id} is listed twice; first in line {seen[patch.id]}"
            elif known and patch.id not in known:
                problem = f"patch {patch.id} is not one of the task's expected patches"
            elif bool(patch.domain) != bool(patch.zone):
                problem = f"patch {patch.id} has a domain or a zone alone; give both or neither"
            if problem:
                self.notebook.mistakes.append(Mistake(name, line, problem))
            seen.setdefault(patch.id, line)
        return patches

    # --- phases, results, announcements -------------------------------------------------------

    def _phases(self, spec: TaskSpec | None) -> tuple[PhaseFile, ...]:
        archive_bytes = spec.limits.archive_bytes if spec else _HUGE * 1000
        phases = []
        for table in self.root.tables("phases"):
            opens_at = table.moment("opens_at")
            closes_at = table.moment("closes_at", required=False)
            if opens_at and closes_at and closes_at <= opens_at:
                table.note("closes_at", "is not after opens_at; a phase closes after it opens")
            name = table.text("ids_csv", required=False)
            if name:
                patches = self._ids(name, (*table.path, "ids_csv"), spec)
            else:
                patches = spec.expected if spec else ()
                if spec and not patches:
                    table.note("ids_csv", "is missing, and the task expects no ids either")
            phase = PhaseFile(
                slug=table.text("slug", pattern=SLUG, example="test", length=50),
                name=table.texts("name", LANGUAGES),
                summary=table.texts("summary", LANGUAGES, required=False),
                published=table.flag("published", default=False),
                opens_at=opens_at or _NEVER,
                closes_at=closes_at,
                daily_limit=_limit(table, "daily_limit"),
                total_limit=_limit(table, "total_limit"),
                invalid_daily_limit=_limit(table, "invalid_daily_limit"),
                finals_limit=table.integer("finals_limit", low=1, high=100, required=False),
                archive_bytes=table.integer(
                    "archive_bytes",
                    low=1,
                    high=archive_bytes,
                    required=False,
                    default=archive_bytes,
                )
                or archive_bytes,
                visibility=table.text(
                    "visibility", required=False, default="public", choices=VISIBILITIES
                ),
                detail=table.text("detail", required=False, default="full", choices=DETAILS),
                precision=table.text(
                    "precision", required=False, default="labels-closed", choices=PRECISIONS
                ),
                archives_kept_days=table.integer(
                    "archives_kept_days", low=1, high=36_500, required=False, default=ARCHIVES_DAYS
                )
                or ARCHIVES_DAYS,
                inference_ratio_limit=table.number(
                    "inference_ratio_limit", low=0.01, high=1e6, required=False
                ),
                patches=patches,
            )
            table.done()
            phases.append(phase)
            note_twice(table, "slug", phase.slug, [p.slug for p in phases[:-1]])
        return tuple(phases)

    def _results(self, phases: set[str], scored: set[str]) -> tuple[ResultFile, ...]:
        results: list[ResultFile] = []
        for table in self.root.tables("results"):
            ious = table.table("ious", required=False)
            result = ResultFile(
                phase=table.text(
                    "phase", required=False, default="test", choices=sorted(phases) or ("test",)
                ),
                name=table.text("name", length=120),
                kind=table.text("kind", choices=RESULT_KINDS),
                miou=table.number("miou", low=0, high=1) or 0.0,
                std=table.number("std", low=0, high=1, required=False),
                ious={
                    key: ious.number(key, low=0, high=1) or 0.0
                    for key in sorted(scored)
                    if ious.has(key)
                },
                source=table.text("source", required=False, length=200),
            )
            if scored:
                for key in ious.rest():
                    ious.note(key, f"is no scored class; allowed are {', '.join(sorted(scored))}")
            table.done()
            same_phase = [r.name for r in results if r.phase == result.phase]
            note_twice(table, "name", result.name, same_phase)
            results.append(result)
        return tuple(results)

    def _announcements(self) -> tuple[AnnouncementFile, ...]:
        announcements: list[AnnouncementFile] = []
        for table in self.root.tables("announcements"):
            item = AnnouncementFile(
                key=table.text("key", pattern=SLUG, example="open-again", length=50),
                title=table.texts("title", LANGUAGES),
                body=table.texts("body", LANGUAGES),
                published_at=table.moment("published_at") or _NEVER,
            )
            table.done()
            note_twice(table, "key", item.key, [a.key for a in announcements])
            announcements.append(item)
        return tuple(announcements)


def _limit(table: Table, key: str) -> int | None:
    return table.integer(key, low=1, high=_HUGE, required=False)


def _digest(folder: Path) -> str:
    """sha256 over the names and bytes of the folder's files."""
    total = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        total.update(path.relative_to(folder).as_posix().encode() + b"\0")
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


# Stands in while mistakes are collected; `read` raises before anyone sees it.
_NO_SPEC = TaskSpec(
    id="",
    patch_height_px=1,
    patch_width_px=1,
    label_offset=0,
    classes=(),
    unscored_policy="",
    absent_policy="",
    prediction_pattern="",
    truth_pattern="",
    prediction_name="",
)
