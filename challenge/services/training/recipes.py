"""Recipes as runs take them: shipped ones and organisers' own, checked before anything waits.

The reader is the baselines' own; it needs no torch, which a web process does not have.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from baselines.train import recipe as shipped
from baselines.train import recipe_text
from challenge.errors import refuse
from challenge.models import Phase
from challenge.services.training import recipe_reasons

MAX_BYTES = recipe_text.MAX_BYTES


def digest(text: str) -> str:
    """Return the SHA-256 of a recipe's text."""
    return hashlib.sha256(text.encode()).hexdigest()


def check(*, name: str, text: str, phase: Phase, overrides: dict[str, Any]) -> None:
    """Refuse a recipe that cannot be trained for the phase's task.

    ``text`` empty: the shipped recipe of that name; one that is not shipped here is left to the
    workers, whose version may differ. Raises Refusal ``phase-not-ready``, ``recipe-name-shipped``,
    ``recipe-unusable`` or ``recipe-line-wrong``.
    """
    if phase.task_spec is None:
        raise refuse("phase-not-ready")
    task = phase.task_spec.data
    is_shipped = name in shipped.names()
    if text and is_shipped:
        raise refuse("recipe-name-shipped", recipe=name)
    try:
        if text:
            recipe_text.read(text, name=name, task=task, changes=overrides)
        elif is_shipped:
            recipe_text.for_shipped(name, task=task, changes=overrides)
    except recipe_text.TextError as wrong:
        said = {
            "reason": recipe_reasons.sentence(wrong.code, wrong.params),
            "reason_code": wrong.code,
        }
        if wrong.line is None:
            raise refuse("recipe-unusable", **said) from wrong
        raise refuse("recipe-line-wrong", line=wrong.line, **said) from wrong


def fitting(names: Iterable[str], *, phases: Iterable[Phase]) -> set[str]:
    """Return the recipes that fit one of the phases' tasks, and those that aren't shipped here."""
    tasks = {
        phase.task_spec.digest: phase.task_spec.data
        for phase in phases
        if phase.task_spec is not None
    }
    known = set(shipped.names())
    return {
        name
        for name in names
        if name not in known or any(_fits(name, task) for task in tasks.values())
    }


def _fits(name: str, task: dict[str, Any]) -> bool:
    try:
        recipe_text.for_shipped(name, task=task, changes={})
    except recipe_text.TextError:
        return False
    return True
