"""An organiser's changes to a phase: checked, audited, and followed by fresh ranks."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from challenge.errors import refuse
from challenge.models import GroundTruth, Phase, TaskSpec, User
from challenge.rules import disclosure
from challenge.selectors import people
from challenge.services import audit, ranks

LIMITS = (
    "daily_limit",
    "total_limit",
    "invalid_daily_limit",
    "finals_limit",
    "archives_kept_days",
)
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
    "precision",
    "archives_kept_days",
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
    if "closes_at" in changed:
        hold_figures()
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
    hold_figures()
    ranks.recompute(phase=phase, now=now)


def hold_figures() -> list[Phase]:
    """Note with every phase when the last of the others on its labels closes; those that changed.

    The same labels: a patch in common within a challenge, or the same truth in two. Called after
    whatever moves a close or attaches labels, and by the sweep, should a race have won once.
    """
    phases = list(
        Phase.objects.select_related("ground_truth", "challenge")
        .defer("ground_truth__patches", "public_patches")
        .order_by("pk")
    )
    alone = {
        challenge
        for challenge, count in Counter(phase.challenge_id for phase in phases).items()
        if count == 1
    }
    labels = {
        phase.pk: _labels(phase, with_patches=phase.challenge_id not in alone) for phase in phases
    }
    changed = []
    for phase in phases:
        until = disclosure.labels_open_until(
            labels[phase.pk],
            others=[(labels[one.pk], one.closes_at) for one in phases if one.pk != phase.pk],
        )
        if until != phase.labels_open_until:
            Phase.objects.filter(pk=phase.pk).update(labels_open_until=until)
            phase.labels_open_until = until
            changed.append(phase)
    return changed


def _labels(phase: Phase, *, with_patches: bool) -> set[object]:
    truth = phase.ground_truth
    found: set[object] = {truth.digest} if truth is not None else set()
    if with_patches:
        patches = truth.patches if truth is not None else phase.public_patches
        found.update((phase.challenge_id, patch[0]) for patch in patches)
    return found


def _check_organiser(phase: Phase, actor: User) -> None:
    if not people.is_organiser(actor, phase.challenge):
        raise refuse("not-organiser", challenge=phase.challenge.slug)


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
