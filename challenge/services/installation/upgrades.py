"""Whether an upgrade can roll: processes of the previous release go on beside the new tables.

Django inserts every column that its release knows, and no other; so a new column must be nullable
or have a default in the database, and nothing that the previous release uses may go or be named
otherwise. What cannot be known from the operation counts as an obstacle, unless the migration says
in ``beside_previous`` why it is none.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.db import connection, migrations
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.migration import Migration
from django.db.migrations.operations.base import Operation
from django.db.models import NOT_PROVIDED, Field

HARMLESS = (
    migrations.CreateModel,
    migrations.AddIndex,
    migrations.RemoveIndex,
    migrations.RenameIndex,
    migrations.RemoveConstraint,
    migrations.AlterModelOptions,
    migrations.AlterModelManagers,
    migrations.AlterModelTableComment,
)


@dataclass(frozen=True)
class Step:
    """One migration and why the previous release cannot run beside it; empty: it can."""

    name: str
    obstacles: tuple[str, ...]


def pending() -> list[Step]:
    """Return the migrations that this release brings and the database lacks, in their order."""
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return steps(migration for migration, _backwards in plan)


def steps(plan: Iterable[Migration]) -> list[Step]:
    """Return a step for each migration of an upgrade, given in their order."""
    created: set[str] = set()
    found = []
    for migration in plan:
        obstacles = []
        for operation in migration.operations:
            if isinstance(operation, migrations.CreateModel):
                created.add(operation.name.lower())
            obstacles += _obstacles(operation, created=created)
        if getattr(migration, "beside_previous", ""):
            obstacles = []
        found.append(Step(f"{migration.app_label}.{migration.name}", tuple(obstacles)))
    return found


def _obstacles(operation: Operation, *, created: set[str]) -> list[str]:
    model = str(getattr(operation, "model_name", "")).lower()
    # Tables that the same upgrade makes are unknown to the previous release.
    if isinstance(operation, HARMLESS) or model in created:
        return []
    if isinstance(operation, migrations.AddField):
        return [] if _fills_itself(operation.field) else [
            f"column {model}.{operation.name} is not null and has no default in the database"
        ]  # fmt: skip
    return [operation.describe()]


def _fills_itself(field: Field) -> bool:  # type: ignore[type-arg]
    """Whether a row can be inserted without naming the column."""
    return bool(field.null or field.many_to_many or field.db_default is not NOT_PROVIDED)
