"""Start one recipe with several seeds: runs that the board shows as one line."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import transaction

from challenge.errors import refuse
from challenge.models import Phase, TrainingRun, User
from challenge.rules.roles import Act
from challenge.selectors import roles
from challenge.services.training import recipes, training_runs

SEEDS_LIMIT = 20


def start(
    *,
    phase: Phase,
    recipe: str,
    data_root: str,
    seeds: Sequence[int],
    actor: User,
    overrides: dict[str, Any] | None = None,
    group: str = "",
    recipe_text: str = "",
    now: datetime | None = None,
) -> list[TrainingRun]:
    """Queue a run for each seed, all or none (``Act.TRAINING``).

    ``group`` is the method's name on the board; ``recipe_text`` is a recipe of the organiser's own,
    which ``recipe`` names. Raises what `roles.require` raises, Refusal ``recipe-invalid``,
    ``seeds-invalid`` and what `recipes.check` raises.
    """
    roles.require(actor, Act.TRAINING, phase.challenge)
    if not seeds or len(seeds) > SEEDS_LIMIT or len(set(seeds)) < len(seeds):
        raise refuse("seeds-invalid", limit=SEEDS_LIMIT)
    recipes.check(name=recipe, text=recipe_text, phase=phase, overrides=overrides or {})
    with transaction.atomic():
        return [
            training_runs.create(
                recipe=recipe,
                data_root=data_root,
                seed=seed,
                overrides=overrides,
                group=group.strip()[:80],
                recipe_text=recipe_text,
                phase=phase,
                actor=actor,
                now=now,
            )
            for seed in seeds
        ]
