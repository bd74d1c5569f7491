"""The task of a challenge written on the desk: read by the same code as ``[task]`` of a file."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef

from challenge.errors import refuse
from challenge.models import Challenge, Phase, Submission, TaskSpec, User
from challenge.rules.roles import Act
from challenge.selectors import roles
from challenge.services import audit
from challenge.services.challenges import challenges, phases
from challenge.services.challenges.challenge_file import ChallengeFile
from challenge.services.challenges.description import Description
from challenge.services.challenges.load_report import LoadReport
from scoring.engine.task.specification import TaskSpec as EngineTaskSpec

IDS_NAME = "ids.csv"
# What archives that were sent are read by: it cannot change once there is one.
READ_BY = (
    "patch_height_px",
    "patch_width_px",
    "prediction_name",
    "prediction_pattern",
    "truth_pattern",
)


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
    with labels keep the patches of these. Once something was submitted to a phase it keeps its task
    and patches: the new version counts there when a re-score under it is published. Returns the
    stored version. Raises what `roles.require` raises, `FileMistakes`, Conflict ``task-in-use``
    for another size, name or pattern of files that were submitted.
    """
    roles.require(actor, Act.LABELS, challenge)
    file = _described(challenge, task, nomenclature, ids_csv).read()
    assert file.spec is not None, "a missing task is a mistake: a table was given"
    with transaction.atomic():
        locked = Challenge.objects.select_for_update().get(pk=challenge.pk)
        in_use = _phases_in_use(locked)
        if any(_differs(one, file.spec) for one in in_use):
            raise refuse("task-in-use")
        report = LoadReport(locked.slug)
        stored = challenges.put_task(locked, file.spec, report)
        locked.facts = {**locked.facts, "nomenclature": file.facts["nomenclature"]}
        locked.save(update_fields=["facts", "updated_at"])
        _put_patches(locked, stored, file, leave=[one.pk for one in in_use])
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


def _phases_in_use(challenge: Challenge) -> list[Phase]:
    submitted = Submission.objects.filter(entry__phase=OuterRef("pk"))
    return list(challenge.phases.select_related("task_spec").filter(Exists(submitted)))


def _differs(phase: Phase, wanted: EngineTaskSpec) -> bool:
    """Say whether files that were sent to a phase would be read in another way."""
    data = dict(wanted.to_json())
    return phase.task_spec is None or any(
        phase.task_spec.data[name] != data[name] for name in READ_BY
    )


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


def _put_patches(
    challenge: Challenge, stored: TaskSpec, file: ChallengeFile, *, leave: list[int]
) -> None:
    patches = [[patch.id, patch.domain, patch.zone] for patch in file.phases[0].patches]
    for phase in challenge.phases.select_related("ground_truth").exclude(pk__in=leave):
        phase.task_spec = stored
        if phase.ground_truth is None:
            phase.public_patches = patches
        phase.save(update_fields=["task_spec", "public_patches"])
    phases.update_labels_open_until()
