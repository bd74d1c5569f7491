"""A recipe's task: which classes it learns, from which values of masks.

A recipe names a shipped challenge, a document (TOML or JSON), or holds the document itself. What is
not shipped is taken into the recipe, so that a run's folder and an export know their classes
wherever they are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from baselines.data.nomenclature import FLAIR_LABELS, labels_of
from scoring.engine.task import specification as specs
from scoring.engine.task.specification import SpecError, TaskSpec

DEFAULT = "flair-2"
_PLOWED = 11


def read(task: Any, *, folder: Path) -> str | dict[str, Any]:
    """Give a task as recipes keep it: a shipped challenge's name, else the document.

    `task` is such a name, the path of a document (relative to `folder`), a `[task]` table of a
    challenge file or a task document; the list of expected patches is left out.

    Raises SpecError, ValueError for another type.
    """
    if isinstance(task, str):
        if task in specs.shipped_names():
            return task
        path = folder / task
        # What is neither is refused with the names that there are.
        return _document(specs.load(path if path.exists() else task))
    if not isinstance(task, Mapping):
        raise ValueError(f"found {task!r}; a challenge's name, a path or a table is needed")
    if {"ids_csv", "id_ranges"} & task.keys():
        return _document(specs.parse({"task": task}, folder=folder))
    return _document(specs.from_json(task))


def _document(spec: TaskSpec) -> dict[str, Any]:
    return {**spec.to_json(), "expected": []}


def load(task: str | dict[str, Any]) -> TaskSpec:
    """Give the specification of what `read` gave."""
    return specs.load(task) if isinstance(task, str) else specs.from_json(task)


def is_learned_alike(one: TaskSpec, other: TaskSpec) -> bool:
    """Tell whether a network of one task predicts the other's: same labels, class ids and means.

    Names, colours, patches and limits may differ.
    """
    alike = labels_of(one) == labels_of(other) and one.n_classes == other.n_classes
    return alike and one.scored_ids == other.scored_ids


def is_same(one: TaskSpec, other: TaskSpec) -> bool:
    """Tell whether the tasks are learned alike and their files are called alike."""
    names = (one.prediction_pattern, one.truth_pattern, one.prediction_name)
    others = (other.prediction_pattern, other.truth_pattern, other.prediction_name)
    return names == others and is_learned_alike(one, other)


def unweighted(spec: TaskSpec) -> tuple[int, ...]:
    """Give the classes that a loss leaves out unless a recipe says otherwise: those not scored."""
    return tuple(entry.id for entry in spec.classes if not entry.scored)


def sentinel_unweighted(spec: TaskSpec) -> tuple[int, ...]:
    """As `unweighted` for the satellite loss; of FLAIR's classes plowed land, too, as published."""
    plowed = (_PLOWED,) if labels_of(spec) == FLAIR_LABELS else ()
    return (*plowed, *unweighted(spec))


def error_text(wrong: ValueError) -> str:
    """Say what is wrong with a task, with its key."""
    key = wrong.key_path if isinstance(wrong, SpecError) else ""
    return str(wrong) if key.startswith("task") else f"task: {wrong}"
