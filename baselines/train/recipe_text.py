"""A recipe that somebody wrote: read from text for a given task, every mistake with its line.

Without torch, so that a web process can check what a worker will train.
"""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any

from baselines.train import encoder_names
from baselines.train import recipe as recipes
from baselines.train.recipe import Recipe, RecipeError

MAX_BYTES = 65_536
_LINE = re.compile(r"\(at line (\d+), column (\d+)\)|\(at end of document\)")
_KEY = re.compile(r"[a-z_][a-z0-9_]*(?:\.[a-z_][a-z0-9_]*)*")
_TABLE = re.compile(r"\s*\[\s*([A-Za-z0-9_.]+)\s*\]")
_ASSIGNED = re.compile(r"\s*([A-Za-z0-9_.]+)\s*=")


class TextError(ValueError):
    """What is wrong in a text; `line` counts from 1, None where no line is to blame.

    `code` and `params` are those of the `RecipeError`.
    """

    def __init__(self, line: int | None, error: RecipeError) -> None:
        """Say the error with its line."""
        super().__init__(str(error) if line is None else f"line {line}: {error}")
        self.line, self.message = line, str(error)
        self.code, self.params = error.code, error.params


def read(
    text: str, *, name: str, task: dict[str, Any], changes: dict[str, Any] | None = None
) -> Recipe:
    """Make a recipe called `name` of a text in TOML, for `task` (a document) instead of its own.

    `changes` are keys changed beside it, as `recipes.changed` takes them.
    Raises TextError, also for an encoder that the site's list of names lacks.
    """
    if len(text.encode()) > MAX_BYTES:
        raise TextError(None, RecipeError("text-long", kib=MAX_BYTES // 1024))
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as wrong:
        raise _error_of_syntax(text, str(wrong)) from wrong
    except (ValueError, RecursionError) as wrong:  # numbers of thousands of digits, endless lists
        raise TextError(None, RecipeError("toml-unreadable", said=wrong)) from wrong
    try:
        json.dumps(document)
    except TypeError as wrong:
        raise TextError(None, RecipeError("date-value")) from wrong
    try:
        recipe = recipes.parse({**document, "name": name, "task": {**task, "expected": []}})
        encoder_names.require_known(recipe)
    except RecipeError as wrong:
        raise TextError(line_of(text, str(wrong)), wrong) from wrong
    return with_changes(recipe, changes or {})


def for_shipped(name: str, *, task: dict[str, Any], changes: dict[str, Any]) -> Recipe:
    """Give a shipped recipe for a task, changed. Raises TextError where it does not fit."""
    try:
        recipe = recipes.for_task(recipes.load(name), {**task, "expected": []})
    except RecipeError as wrong:
        raise TextError(None, wrong) from wrong
    return with_changes(recipe, changes)


def with_changes(recipe: Recipe, changes: dict[str, Any]) -> Recipe:
    """Change keys. Raises TextError for a mistake, and for the task, which is the phase's."""
    if any(key == "task" or key.startswith("task.") for key in changes):
        raise TextError(None, RecipeError("task-fixed"))
    try:
        made = recipes.changed(recipe, changes)
        if changes:
            encoder_names.require_known(made)
    except RecipeError as wrong:
        raise TextError(None, wrong) from wrong
    return made


def _error_of_syntax(text: str, said: str) -> TextError:
    found = _LINE.search(said)
    if found is not None and found[1]:
        return TextError(int(found[1]), RecipeError("toml-wrong", said=said, column=found[2]))
    line = None if found is None else max(1, len(text.splitlines()))
    return TextError(line, RecipeError("toml-cut", said=said))


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
