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
from challenge.rules.roles import Act
from challenge.selectors import roles
from challenge.services import audit
from challenge.services.challenges import public_labels, splits
from challenge.services.leaderboard import full_precision, ranks

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
    """Change settings of a phase (``Act.PHASES``); returns the names of what really changed.

    Allowed are :data:`FIELDS`; ``is_published`` is ``Act.PUBLISH``. Raises what `roles.require`
    raises, Refusal ``phase-field-unknown``, ``phase-window-invalid``, ``phase-limit-invalid``,
    Conflict ``phase-disclosed``.
    """
    wanted = {Act.PUBLISH if name == "is_published" else Act.PHASES for name in changes}
    for act in sorted(wanted or {Act.PHASES}):
        roles.require(actor, act, phase.challenge)
    unknown = sorted(set(changes) - set(FIELDS))
    if unknown:
        raise refuse("phase-field-unknown", unknown=", ".join(unknown), allowed=", ".join(FIELDS))
    with transaction.atomic():
        locked = Phase.objects.select_for_update(of=("self",)).get(pk=phase.pk)
        before = {name: getattr(locked, name) for name in changes}
        full_precision.check_window(
            locked,
            opens_at=changes.get("opens_at", locked.opens_at),
            closes_at=changes.get("closes_at", locked.closes_at),
            now=now or timezone.now(),
        )
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
        update_labels_open_until()
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
    Raises Refusal ``wrong-challenge``; ``phase-labels-shared``: the truth's labels are public
    and have a patch in common with hidden ones, or the other way round; ``phase-split-differs``:
    one has public and private zones, the other has not.
    """
    if actor is not None:
        roles.require(actor, Act.LABELS, phase.challenge)
    for version in (ground_truth, task_spec):
        if version is not None and version.challenge_id != phase.challenge_id:
            raise refuse("wrong-challenge")
    with transaction.atomic():
        locked = Phase.objects.select_for_update(of=("self",)).get(pk=phase.pk)
        before = [str(locked.ground_truth), str(locked.task_spec)]
        if ground_truth is not None:
            if public_labels.describe_shared(
                locked,
                [patch[0] for patch in ground_truth.patches],
                labels_public=ground_truth.labels_public,
            ):
                raise refuse("phase-labels-shared")
            if locked.ground_truth and locked.ground_truth.is_split != ground_truth.is_split:
                raise refuse("phase-split-differs")
            locked.ground_truth = ground_truth
            locked.labels_public = ground_truth.labels_public
        locked.task_spec = task_spec or locked.task_spec
        locked.save(update_fields=["ground_truth", "labels_public", "task_spec"])
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
    phase.labels_public = locked.labels_public
    update_labels_open_until()
    ranks.recompute(phase=phase, now=now)


def update_labels_open_until() -> list[Phase]:
    """Store with every phase what disclosure asks of its labels; returns the phases that changed.

    When the last of the others on its labels closes, the step of the mIoU, and which zones count.
    The same labels: a patch in common within a challenge, or the same truth in two. Called after
    whatever moves a close or attaches labels, and by the sweep, should a race have won once.
    """
    phases = list(
        Phase.objects.select_related("ground_truth", "challenge")
        .defer("ground_truth__patches", "public_patches")
        .order_by("pk")
    )
    with_one_phase = {
        challenge
        for challenge, count in Counter(phase.challenge_id for phase in phases).items()
        if count == 1
    }
    labels = {
        phase.pk: _labels(phase, with_patches=phase.challenge_id not in with_one_phase)
        for phase in phases
    }
    changed = []
    for phase in phases:
        until = disclosure.labels_open_until(
            labels[phase.pk],
            others=[
                (labels[other.pk], other.last_close) for other in phases if other.pk != phase.pk
            ],
        )
        truth = phase.ground_truth
        stored = {
            "labels_open_until": until,
            "miou_step": truth.steps.get("miou") if truth is not None else None,
            "counted_zones": splits.counted_zones(truth, phase=phase).value,
        }
        if any(getattr(phase, name) != value for name, value in stored.items()):
            Phase.objects.filter(pk=phase.pk).update(**stored)
            for name, value in stored.items():
                setattr(phase, name, value)
            changed.append(phase)
    return changed


def _labels(phase: Phase, *, with_patches: bool) -> set[object]:
    truth = phase.ground_truth
    labels: set[object] = {truth.digest} if truth is not None else set()
    if with_patches:
        patches = truth.patches if truth is not None else phase.public_patches
        labels.update((phase.challenge_id, patch[0]) for patch in patches)
    return labels


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
