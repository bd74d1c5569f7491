"""A recipe that somebody wrote: read from text for a given task, every mistake with its line.

Without torch, so that a web process can check what a worker will train.
"""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any

from baselines.train import recipe as recipes
from baselines.train.recipe import Recipe, RecipeError

MAX_BYTES = 65_536
_LINE = re.compile(r"\(at line (\d+), column \d+\)|\(at end of document\)")
_KEY = re.compile(r"[a-z_][a-z0-9_]*(?:\.[a-z_][a-z0-9_]*)*")
_TABLE = re.compile(r"\s*\[\s*([A-Za-z0-9_.]+)\s*\]")
_ASSIGNED = re.compile(r"\s*([A-Za-z0-9_.]+)\s*=")


class TextError(ValueError):
    """What is wrong in a text; `line` counts from 1, None where no line is to blame."""

    def __init__(self, line: int | None, message: str) -> None:
        super().__init__(message if line is None else f"line {line}: {message}")
        self.line, self.message = line, message


def read(
    text: str, *, name: str, task: dict[str, Any], changes: dict[str, Any] | None = None
) -> Recipe:
    """Make a recipe called `name` of a text in TOML, for `task` (a document) instead of its own.

    `changes` are keys changed beside it, as `recipes.changed` takes them.
    Raises TextError.
    """
    if len(text.encode()) > MAX_BYTES:
        raise TextError(None, f"longer than {MAX_BYTES // 1024} KiB")
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as wrong:
        raise TextError(_line_of_syntax(text, str(wrong)), f"no TOML: {wrong}") from wrong
    except (ValueError, RecursionError) as wrong:  # numbers of thousands of digits, endless lists
        raise TextError(None, f"no TOML that can be read: {wrong}") from wrong
    try:
        json.dumps(document)
    except TypeError as wrong:
        raise TextError(None, "a date or a time is no value of a recipe") from wrong
    try:
        recipe = recipes.parse({**document, "name": name, "task": {**task, "expected": []}})
    except RecipeError as wrong:
        raise TextError(line_of(text, str(wrong)), str(wrong)) from wrong
    return with_changes(recipe, changes or {})


def for_shipped(name: str, *, task: dict[str, Any], changes: dict[str, Any]) -> Recipe:
    """Give a shipped recipe for a task, changed. Raises TextError where it does not fit."""
    try:
        recipe = recipes.for_task(recipes.load(name), {**task, "expected": []})
    except RecipeError as wrong:
        raise TextError(None, str(wrong)) from wrong
    return with_changes(recipe, changes)


def with_changes(recipe: Recipe, changes: dict[str, Any]) -> Recipe:
    """Change keys. Raises TextError for a mistake, and for the task, which is the phase's."""
    if any(key == "task" or key.startswith("task.") for key in changes):
        raise TextError(None, "task: it is the phase's and cannot be changed here")
    try:
        return recipes.changed(recipe, changes)
    except RecipeError as wrong:
        raise TextError(None, str(wrong)) from wrong


def _line_of_syntax(text: str, message: str) -> int | None:
    found = _LINE.search(message)
    if found is None:
        return None
    return int(found[1]) if found[1] else max(1, len(text.splitlines()))


def line_of(text: str, message: str) -> int | None:
    """Find the line of the key that a message begins with; its table's where it has none.

    >>> line_of("title = 'x'\\n[training]\\nepochs = 0", "training.epochs: found 0")
    3
    """
    match = _KEY.match(message)
    wanted = match[0] if match else ""
    table, best, best_line = "", "", None
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _TABLE.match(line):
            table = header[1]
            key = table
        elif assigned := _ASSIGNED.match(line):
            key = f"{table}.{assigned[1]}" if table else assigned[1]
        else:
            continue
        if (wanted == key or wanted.startswith(f"{key}.")) and len(key) > len(best):
            best, best_line = key, number
    return best_line
