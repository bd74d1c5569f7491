"""Releases beside one another: migrations that only add, and Celery tasks that stay."""

from __future__ import annotations

import importlib
import inspect
import json
import re
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from celery import current_app
from django.conf import settings
from django.core.management import call_command
from django.db import connection, migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.migration import Migration
from django.db.migrations.operations.base import Operation
from django.test.utils import isolate_apps
from packaging.version import Version

from challenge.config.celery import app
from challenge.services.installation import upgrades
from challenge.services.task_queue import TaskName

ROOT = Path(__file__).resolve().parents[3]
# What each release left behind; a release adds itself (CONTRIBUTING, A release).
RELEASES = json.loads((ROOT / "tests/packaging/releases.json").read_text(encoding="utf-8"))
LAST = max(RELEASES, key=Version)
STOP = "**This upgrade needs a stop**"


def since_last_release() -> list[Migration]:
    """Return our migrations after those of the last release, in their order."""
    graph = MigrationLoader(None).graph
    (leaf,) = (key for key in graph.leaf_nodes() if key[0] == "challenge")
    known = set(graph.forwards_plan(("challenge", RELEASES[LAST]["migration"])))
    return [graph.nodes[key] for key in graph.forwards_plan(leaf) if key not in known]


def obstacles(*operations: Operation, **attributes: str) -> tuple[str, ...]:
    kind = type("Migration", (Migration,), {"operations": list(operations)} | attributes)
    (step,) = upgrades.steps([kind("0001_made", "challenge")])
    return step.obstacles


def test_the_changelog_says_whether_the_upgrade_needs_a_stop() -> None:
    """Mended by making the migration additive, by ``beside_previous``, or by saying it there."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    unreleased = text.partition("## Unreleased")[2].partition("\n## ")[0]
    found = [step for step in upgrades.steps(since_last_release()) if step.obstacles]

    assert (STOP in unreleased) == bool(found), found
    named = set(re.findall(r"^## (\d+\.\d+\.\d+) – ", text, re.MULTILINE))
    assert set(RELEASES) == named, "a release records its last migration and its Celery tasks"


@pytest.mark.parametrize("name", RELEASES[LAST]["tasks"])
def test_workers_take_what_the_last_release_sends(name: str) -> None:
    """And from the queue in which it is sent: a removed task stays for a release, doing nothing."""
    for module in settings.CELERY_IMPORTS:
        importlib.import_module(module)
    recorded = RELEASES[LAST]["tasks"][name]
    task = app.tasks[name]

    assert current_app.amqp.queues is not None
    inspect.signature(task.run).bind(*recorded["args"])
    assert TaskName(name).queue == recorded["queue"]


def test_no_task_wants_an_argument_that_another_release_would_not_send() -> None:
    for module in settings.CELERY_IMPORTS:
        importlib.import_module(module)
    for name in TaskName:
        inspect.signature(app.tasks[name.value].run).bind()


NULLABLE = models.IntegerField(null=True)
BARE = models.IntegerField(default=0)
FILLED = models.IntegerField(db_default=0)
TEXT = models.CharField(max_length=5)


@pytest.mark.parametrize(
    "operation",
    [
        migrations.CreateModel("Made", []),
        migrations.AddField("phase", "made", NULLABLE),
        migrations.AddField("phase", "made", FILLED),
        migrations.AddIndex("phase", models.Index(fields=["slug"], name="made")),
        migrations.RemoveConstraint("phase", "made"),
    ],
)
def test_what_only_adds_is_no_obstacle(operation: Operation) -> None:
    assert obstacles(operation) == ()


@pytest.mark.parametrize(
    "operation",
    [
        migrations.AddField("phase", "made", BARE),
        migrations.RemoveField("phase", "made"),
        migrations.RenameField("phase", "made", "other"),
        migrations.RenameModel("Phase", "Other"),
        migrations.DeleteModel("Phase"),
        migrations.AlterField("phase", "slug", TEXT),
        migrations.AddConstraint("phase", models.UniqueConstraint(fields=["slug"], name="made")),
        migrations.RunSQL("SELECT 1"),
        migrations.RunPython(migrations.RunPython.noop),
    ],
)
def test_what_the_previous_release_may_not_survive_is_one(operation: Operation) -> None:
    assert len(obstacles(operation)) == 1
    assert obstacles(operation, beside_previous="a reason") == ()


def test_tables_of_the_same_upgrade_may_change_as_they_like() -> None:
    made = migrations.CreateModel("Made", [])
    assert obstacles(made, migrations.AddField("made", "column", BARE)) == ()


@pytest.mark.django_db(transaction=True)
def test_rows_of_the_previous_release_are_what_the_rule_says() -> None:
    """In PostgreSQL itself: an INSERT that does not know the column, as the previous release's."""

    with isolate_apps("challenge"):

        class Made(models.Model):
            class Meta:
                app_label = "challenge"
                db_table = "made_by_a_test"

    def add(name: str, field: models.Field[Any, Any]) -> None:
        field.contribute_to_class(Made, name)
        with connection.schema_editor() as editor:
            editor.add_field(Made, field)

    with connection.schema_editor() as editor:
        editor.create_model(Made)
    try:
        insert = "INSERT INTO made_by_a_test DEFAULT VALUES"
        with connection.cursor() as cursor:
            add("nullable", models.IntegerField(null=True))
            add("filled", models.IntegerField(db_default=0))
            cursor.execute(insert)
            add("bare", models.IntegerField(default=0))
            with pytest.raises(Exception, match="null value in column"):
                cursor.execute(insert)
    finally:
        with connection.schema_editor() as editor:
            editor.delete_model(Made)


@pytest.mark.django_db
def test_the_command_says_what_is_to_come(monkeypatch: pytest.MonkeyPatch) -> None:
    said = StringIO()
    call_command("upgrade_plan", check=True, stdout=said)
    assert "the database has what" in said.getvalue()

    step = upgrades.Step("challenge.0099_made", ("Remove field made from phase",))
    monkeypatch.setattr(upgrades, "pending", lambda: [step])
    with pytest.raises(SystemExit) as ended:
        call_command("upgrade_plan", check=True, stdout=said)
    assert ended.value.code == 1
    assert "challenge.0099_made\n    Remove field made from phase\n" in said.getvalue()
    assert "needs a stop" in said.getvalue()
