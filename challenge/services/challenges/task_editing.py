"""The task of a challenge written on the desk: read by the same code as ``[task]`` of a file."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction

from challenge.errors import refuse
from challenge.models import Challenge, Submission, TaskSpec, User
from challenge.rules.roles import Act
from challenge.selectors import roles
from challenge.services import audit
from challenge.services.challenges import challenges, phases
from challenge.services.challenges.challenge_file import ChallengeFile
from challenge.services.challenges.description import Description
from challenge.services.challenges.load_report import LoadReport

IDS_NAME = "ids.csv"


def set_task(
    *,
    challenge: Challenge,
    actor: User,
    task: dict[str, Any],
    nomenclature: list[dict[str, Any]],
    ids_csv: str,
    now: datetime | None = None,
) -> TaskSpec:
    """Give a challenge its task, and its phases the patches of ``ids_csv`` (``Act.LABELS``).

    ``task`` and ``nomenclature`` are the tables of the challenge file, without id and ids. Phases
    with labels keep the patches of these. Returns the stored version. Raises what `roles.require`
    raises, Conflict ``task-in-use``: something was submitted, and `FileMistakes`.
    """
    roles.require(actor, Act.LABELS, challenge)
    file = _described(challenge, task, nomenclature, ids_csv).read()
    assert file.spec is not None, "a missing task is a mistake: a table was given"
    with transaction.atomic():
        locked = Challenge.objects.select_for_update().get(pk=challenge.pk)
        if Submission.objects.filter(entry__phase__challenge=locked).exists():
            raise refuse("task-in-use")
        report = LoadReport(locked.slug)
        stored = challenges.put_task(locked, file.spec, report)
        locked.facts = {**locked.facts, "nomenclature": file.facts["nomenclature"]}
        locked.save(update_fields=["facts", "updated_at"])
        _put_patches(locked, stored, file)
        audit.record(
            "task.change",
            actor=actor,
            challenge=locked,
            target=stored,
            now=now,
            changes=report.changes,
        )
    challenge.facts = locked.facts
    return stored


def _described(
    challenge: Challenge, task: dict[str, Any], nomenclature: list[dict[str, Any]], ids_csv: str
) -> Description:
    """Return the description of the task alone, with one phase that carries the patches."""
    table = {"id": challenge.slug, **task, "ids_csv": IDS_NAME}
    title = {code: challenge.title.get(code) or challenge.slug for code in ("en", "fr")}
    phase = {"slug": "all", "name": title, "opens_at": challenge.created_at}
    content = {
        "challenge": {"slug": challenge.slug, "title": title},
        "task": table,
        "nomenclature": nomenclature,
        "phases": [phase],
    }
    return Description(content, {IDS_NAME: ids_csv})


def _put_patches(challenge: Challenge, stored: TaskSpec, file: ChallengeFile) -> None:
    patches = [[patch.id, patch.domain, patch.zone] for patch in file.phases[0].patches]
    for phase in challenge.phases.select_related("ground_truth"):
        phase.task_spec = stored
        if phase.ground_truth is None:
            phase.public_patches = patches
        phase.save(update_fields=["task_spec", "public_patches"])
    phases.update_labels_open_until()
