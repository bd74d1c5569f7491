"""An organiser's changes to a phase: checked, audited, and followed by fresh ranks."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from challenge.errors import refuse
from challenge.models import GroundTruth, Phase, TaskSpec, User
from challenge.selectors import people
from challenge.services import audit, ranks

LIMITS = ("daily_limit", "total_limit", "invalid_daily_limit", "finals_limit")
FIELDS = (
    "name",
    "summary",
    "sort_order",
    "is_published",
    "opens_at",
    "closes_at",
    *LIMITS,
    "archive_limit_bytes",
    "visibility",
    "detail",
    "inference_ratio_limit",
)


def change(
    *, phase: Phase, actor: User, changes: dict[str, Any], now: datetime | None = None
) -> list[str]:
    """Change settings of a phase (organisers); returns the names of what really changed.

    Allowed are :data:`FIELDS`. Raises NotAllowed ``not-organiser``, Refusal
    ``phase-field-unknown``, ``phase-window-invalid``, ``phase-limit-invalid``.
    """
    _check_organiser(phase, actor)
    unknown = sorted(set(changes) - set(FIELDS))
    if unknown:
        raise refuse("phase-field-unknown", unknown=", ".join(unknown), allowed=", ".join(FIELDS))
    with transaction.atomic():
        locked = Phase.objects.select_for_update(of=("self",)).get(pk=phase.pk)
        before = {name: getattr(locked, name) for name in changes}
        changed = [name for name, value in changes.items() if before[name] != value]
        for name in changed:
            setattr(locked, name, changes[name])
        if locked.closes_at is not None and locked.closes_at <= locked.opens_at:
            raise refuse("phase-window-invalid")
        for name in LIMITS:
            value = getattr(locked, name)
            if value is not None and value < 1:
                raise refuse("phase-limit-invalid", field=name)
        if changed:
            locked.save(update_fields=changed)
            audit.record(
                "phase.change",
                actor=actor,
                challenge=phase.challenge,
                target=phase,
                now=now,
                before={name: _plain(before[name]) for name in changed},
                after={name: _plain(getattr(locked, name)) for name in changed},
            )
    for name in changed:
        setattr(phase, name, getattr(locked, name))
    if {"closes_at", "opens_at", "finals_limit"} & set(changed):
        ranks.recompute(phase=phase, now=now)
    return changed


def publish_truth(
    *,
    phase: Phase,
    actor: User | None,
    ground_truth: GroundTruth | None = None,
    task_spec: TaskSpec | None = None,
    now: datetime | None = None,
) -> None:
    """Make a truth or a task the one that counts, and rank by the scores under it.

    Scores under the former ones stay recorded. ``actor`` None is a command of the operator.
    Raises Refusal ``wrong-challenge``.
    """
    if actor is not None:
        _check_organiser(phase, actor)
    for thing in (ground_truth, task_spec):
        if thing is not None and thing.challenge_id != phase.challenge_id:
            raise refuse("wrong-challenge")
    with transaction.atomic():
        locked = Phase.objects.select_for_update(of=("self",)).get(pk=phase.pk)
        before = [str(locked.ground_truth), str(locked.task_spec)]
        locked.ground_truth = ground_truth or locked.ground_truth
        locked.task_spec = task_spec or locked.task_spec
        locked.save(update_fields=["ground_truth", "task_spec"])
        audit.record(
            "phase.publish-truth",
            actor=actor,
            challenge=phase.challenge,
            target=phase,
            now=now or timezone.now(),
            before=before,
            after=[str(locked.ground_truth), str(locked.task_spec)],
        )
    phase.ground_truth, phase.task_spec = locked.ground_truth, locked.task_spec
    ranks.recompute(phase=phase, now=now)


def _check_organiser(phase: Phase, actor: User) -> None:
    if not people.is_organiser(actor, phase.challenge):
        raise refuse("not-organiser", challenge=phase.challenge.slug)


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
