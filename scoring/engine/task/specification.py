"""The task specification: everything the metric and the checks need to know about a challenge.

A specification is data, the ``[task]`` table of a ``challenge.toml``; nothing in the engine
assumes thirteen classes, an offset of one, integer ids or patches of 512 pixels.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import scoring
from scoring.engine.task import patches, tables
from scoring.engine.task.documents import TaskDocument
from scoring.engine.task.tables import Table

Patch = patches.Patch
read_ids_csv = patches.read_ids_csv
SpecError = tables.SpecError

ILLEGAL_LABEL = 255
MAX_CLASSES = 32
MAX_PATCH_SIDE_PX = 8192
UNSCORED_POLICIES = ("full-matrix", "delete-first")
ABSENT_POLICIES = ("skip", "zero")
DEFAULT_MEMBER_BYTES = 2_000_000
DEFAULT_ARCHIVE_BYTES = 5_000_000_000
_PACKAGED = Path(scoring.__file__).resolve().parent / "challenges"
_CHECKOUT = Path(scoring.__file__).resolve().parents[1] / "challenges"
# One folder for each shipped challenge: package data of the wheel, or the checkout's folder.
SHIPPED = _PACKAGED if _PACKAGED.is_dir() else _CHECKOUT

_SLUG = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*", re.ASCII)
_COLOR = re.compile(r"#[0-9a-f]{6}", re.ASCII | re.IGNORECASE)
_PATCH_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}", re.ASCII)


@dataclass(frozen=True, slots=True)
class ClassSpec:
    """One class of the predictions: ``labels`` are the mask values that are reduced to it."""

    id: int
    key: str
    name: Mapping[str, str]
    color: str
    labels: tuple[int, ...]
    scored: bool


@dataclass(frozen=True, slots=True)
class Limits:
    """Upper bounds of an upload, in bytes: of one inflated member, of the whole archive."""

    member_bytes: int = DEFAULT_MEMBER_BYTES
    archive_bytes: int = DEFAULT_ARCHIVE_BYTES


@dataclass(frozen=True, slots=True)
class OtherChallenge:
    """Ids of another challenge: an upload made for that one is refused with its name."""

    name: str
    id_ranges: tuple[tuple[str, str], ...]

    def has(self, patch_id: str) -> bool:
        """Whether the id is one of the other challenge's."""
        return any(
            len(patch_id) == len(first) and first <= patch_id <= last
            for first, last in self.id_ranges
        )


@dataclass(frozen=True)
class TaskSpec:
    """One challenge's task. Made by `load`, `parse` or `from_json`, which check it."""

    id: str
    patch_height_px: int
    patch_width_px: int
    label_offset: int
    classes: tuple[ClassSpec, ...]
    unscored_policy: str
    absent_policy: str
    prediction_pattern: str
    truth_pattern: str
    prediction_name: str
    limits: Limits = Limits()
    elsewhere: tuple[OtherChallenge, ...] = ()
    expected: tuple[Patch, ...] = field(default=(), repr=False)

    @property
    def n_classes(self) -> int:
        """How many classes predictions may have, unscored ones included."""
        return len(self.classes)

    @property
    def patch_pixels(self) -> int:
        """Pixels of one patch."""
        return self.patch_height_px * self.patch_width_px

    @cached_property
    def scored_ids(self) -> tuple[int, ...]:
        """Ids of the classes that the means are taken over."""
        return tuple(c.id for c in self.classes if c.scored)

    @cached_property
    def label_values(self) -> tuple[int, ...]:
        """The legal mask values, ascending."""
        return tuple(sorted(label for c in self.classes for label in c.labels))

    @cached_property
    def label_table(self) -> NDArray[np.uint8]:
        """uint8[256]: mask value → class id, 255 where the value is illegal."""
        table = np.full(256, ILLEGAL_LABEL, dtype=np.uint8)
        for cls in self.classes:
            table[list(cls.labels)] = cls.id
        table.setflags(write=False)
        return table

    @cached_property
    def digest(self) -> str:
        """sha256 of all that can change a score or an acceptance: not names, colours, elsewhere."""
        document: dict[str, object] = {**self.to_json()}
        del document["elsewhere"]
        shown = ("name", "color")
        document["classes"] = [
            {key: value for key, value in cls.items() if key not in shown}
            for cls in self.to_json()["classes"]
        ]
        return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()

    def prediction_id(self, stem: str) -> str | None:
        """The patch id in a prediction's file name without its extension, None if it is not one."""
        return _matched(self.prediction_pattern, stem)

    def truth_id(self, stem: str) -> str | None:
        """The patch id in a mask's file name without its extension, None if it is not one."""
        return _matched(self.truth_pattern, stem)

    def to_json(self) -> TaskDocument:
        """A JSON document from which `from_json` makes an equal specification."""
        return {
            "id": self.id,
            "patch_height_px": self.patch_height_px,
            "patch_width_px": self.patch_width_px,
            "label_offset": self.label_offset,
            "unscored_policy": self.unscored_policy,
            "absent_policy": self.absent_policy,
            "prediction_pattern": self.prediction_pattern,
            "truth_pattern": self.truth_pattern,
            "prediction_name": self.prediction_name,
            "limits": {
                "member_bytes": self.limits.member_bytes,
                "archive_bytes": self.limits.archive_bytes,
            },
            "classes": [
                {
                    "id": c.id,
                    "key": c.key,
                    "name": dict(c.name),
                    "color": c.color,
                    "labels": list(c.labels),
                    "scored": c.scored,
                }
                for c in self.classes
            ],
            "elsewhere": [
                {"name": e.name, "id_ranges": [list(r) for r in e.id_ranges]}
                for e in self.elsewhere
            ],
            "expected": [[p.domain, p.zone, p.id] for p in self.expected],
        }


def load(name_or_path: str | Path) -> TaskSpec:
    """The specification of a shipped challenge (``flair-1``), a TOML file or its folder.

    A ``.json`` file holds what `TaskSpec.to_json` gives, as ``task.json`` of a practice kit does.
    Raises `SpecError`.
    """
    path = _locate(name_or_path)
    is_json = path.suffix.lower() == ".json"
    try:
        text = path.read_text(encoding="utf-8")
        document = json.loads(text) if is_json else tomllib.loads(text)
    except (ValueError, OSError) as error:
        kind = "JSON" if is_json else "TOML"
        raise SpecError("", f"{path.name} is not readable {kind}: {error}") from error
    return from_json(document) if is_json else parse(document, folder=path.parent)


def shipped_names() -> tuple[str, ...]:
    """Names that `load` knows."""
    return tuple(sorted(p.parent.name for p in SHIPPED.glob("*/challenge.toml")))


def parse(document: Mapping[str, object], *, folder: Path) -> TaskSpec:
    """The specification in a TOML document's ``task`` table; ``folder`` holds its ids_csv.

    Raises `SpecError` naming the key.
    """
    task = document.get("task")
    if not isinstance(task, Mapping):
        raise SpecError("task", "the table [task] is missing")
    keys = Table("task", task)
    csv_name = keys.text("ids_csv", default="")
    ranges = _ranges(keys, "id_ranges")
    if csv_name and ranges:
        raise SpecError("task.ids_csv", "give either ids_csv or id_ranges, not both")
    if csv_name:
        expected = read_ids_csv(folder / csv_name, key="task.ids_csv")
    else:
        expected = tuple(
            Patch(i) for first, last in ranges for i in patches.expand_range(first, last)
        )
    return _build(keys, expected)


def from_json(document: Mapping[str, object]) -> TaskSpec:
    """The inverse of `TaskSpec.to_json`. Raises `SpecError`."""
    keys = Table("task", document)
    rows = keys.take("expected", list, default=[])
    for row in rows:
        if not isinstance(row, list) or [type(part) for part in row] != [str] * 3:
            raise SpecError("task.expected", f"{row!r} is not a row of domain, zone and id")
    return _build(keys, tuple(Patch(id=r[2], domain=r[0], zone=r[1]) for r in rows))


def _locate(name_or_path: str | Path) -> Path:
    text = str(name_or_path)
    if _SLUG.fullmatch(text) and (SHIPPED / text / "challenge.toml").is_file():
        return SHIPPED / text / "challenge.toml"
    path = Path(text)
    if path.is_dir():
        path = path / "challenge.toml"
    if not path.is_file():
        known = ", ".join(shipped_names()) or "none"
        raise SpecError(
            "",
            f"no specification {text!r}: give a TOML file or a shipped name ({known})",
        )
    return path


def _build(keys: Table, expected: tuple[Patch, ...]) -> TaskSpec:
    limits = Table("task.limits", keys.take("limits", Mapping, default={}))
    offset = keys.integer("label_offset", low=0, high=254, default=0)
    spec = TaskSpec(
        id=keys.text("id"),
        patch_height_px=keys.integer("patch_height_px", low=1, high=MAX_PATCH_SIDE_PX),
        patch_width_px=keys.integer("patch_width_px", low=1, high=MAX_PATCH_SIDE_PX),
        label_offset=offset,
        classes=_classes(keys, offset),
        unscored_policy=keys.choice("unscored_policy", UNSCORED_POLICIES),
        absent_policy=keys.choice("absent_policy", ABSENT_POLICIES),
        prediction_pattern=keys.pattern("prediction_pattern"),
        truth_pattern=keys.pattern("truth_pattern"),
        prediction_name=keys.text("prediction_name"),
        limits=Limits(
            member_bytes=limits.integer(
                "member_bytes", low=1, high=2**40, default=DEFAULT_MEMBER_BYTES
            ),
            archive_bytes=limits.integer(
                "archive_bytes", low=1, high=2**50, default=DEFAULT_ARCHIVE_BYTES
            ),
        ),
        elsewhere=_other_challenges(keys),
        expected=expected,
    )
    limits.refuse_rest()
    keys.refuse_rest()
    _check(spec)
    return spec


def _check(spec: TaskSpec) -> None:
    if not _SLUG.fullmatch(spec.id):
        raise SpecError("task.id", f"{spec.id!r} is not of the form 'flair-1'")
    if not spec.scored_ids:
        raise SpecError("task.classes", "no class is scored; set scored = true on at least one")
    if spec.prediction_name.count("{id}") != 1:
        raise SpecError(
            "task.prediction_name", f"{spec.prediction_name!r} must contain {{id}} once"
        )
    seen: set[str] = set()
    for patch in spec.expected:
        if not _PATCH_ID.fullmatch(patch.id):
            raise SpecError("task.ids_csv", f"{patch.id!r} is not a legal patch id")
        if patch.id in seen:
            raise SpecError("task.ids_csv", f"patch {patch.id} is listed twice")
        seen.add(patch.id)
    if spec.expected:
        first = spec.expected[0].id
        name = Path(spec.prediction_name.replace("{id}", first)).stem
        if spec.prediction_id(name) != first:
            raise SpecError(
                "task.prediction_pattern",
                f"does not find the id {first} in {name!r} (from prediction_name)",
            )


def _classes(keys: Table, offset: int) -> tuple[ClassSpec, ...]:
    rows = keys.take("classes", list)
    if not 2 <= len(rows) <= MAX_CLASSES:
        raise SpecError(
            "task.classes", f"{len(rows)} classes found; allowed are 2 to {MAX_CLASSES}"
        )
    classes = tuple(_class(f"task.classes[{i}]", i, row, offset) for i, row in enumerate(rows))
    owner: dict[int, str] = {}
    for cls in classes:
        for label in cls.labels:
            if label in owner:
                raise SpecError(
                    f"task.classes[{cls.id}].labels",
                    f"label {label} already belongs to class {owner[label]!r}",
                )
            owner[label] = cls.key
    if len({c.key for c in classes}) != len(classes):
        raise SpecError("task.classes", "two classes have the same key")
    return classes


def _class(key_path: str, position: int, row: object, offset: int) -> ClassSpec:
    if not isinstance(row, Mapping):
        raise SpecError(key_path, "is not a table")
    keys = Table(key_path, row)
    class_id = keys.integer("id", low=0, high=MAX_CLASSES - 1)
    if class_id != position:
        raise SpecError(f"{key_path}.id", f"is {class_id}, but its row is number {position} from 0")
    key = keys.text("key")
    name = keys.take("name", (Mapping, str), default=key)
    names = {"en": name} if isinstance(name, str) else dict(name)
    if "en" not in names or not all(isinstance(v, str) and v for v in names.values()):
        raise SpecError(f"{key_path}.name", 'needs at least an English name: { en = "…" }')
    color = keys.text("color", default="#808080")
    if not _COLOR.fullmatch(color):
        raise SpecError(f"{key_path}.color", f"{color!r} is not of the form '#db0e9a'")
    labels = keys.take("labels", list, default=[class_id + offset])
    if not labels or not all(type(v) is int and 0 <= v < ILLEGAL_LABEL for v in labels):
        raise SpecError(f"{key_path}.labels", f"{labels} must list mask values from 0 to 254")
    scored = keys.take("scored", bool, default=True)
    keys.refuse_rest()
    return ClassSpec(class_id, key, names, color.lower(), tuple(sorted(labels)), scored)


def _other_challenges(keys: Table) -> tuple[OtherChallenge, ...]:
    others = []
    for i, row in enumerate(keys.take("elsewhere", list, default=[])):
        table = Table(f"task.elsewhere[{i}]", row)
        others.append(OtherChallenge(table.text("name"), _ranges(table, "id_ranges")))
        table.refuse_rest()
    return tuple(others)


def _ranges(keys: Table, key: str) -> tuple[tuple[str, str], ...]:
    rows = keys.take(key, list, default=[])
    for row in rows:
        ends = row if isinstance(row, list) else []
        if (
            len(ends) != 2
            or not all(isinstance(e, str) and e.isascii() and e.isdigit() for e in ends)
            or len(ends[0]) != len(ends[1])
            or ends[0] > ends[1]
            or len(ends[0]) > 9
        ):
            raise SpecError(
                f"{keys.key_path}.{key}",
                f'{row!r} is not a pair of ids such as ["077413", "093462"]',
            )
    return tuple((first, last) for first, last in rows)


def _matched(pattern: str, stem: str) -> str | None:
    match = re.fullmatch(pattern, stem, re.ASCII)
    return match["id"] if match else None
