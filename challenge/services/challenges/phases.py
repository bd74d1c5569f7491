"""An organiser's changes to a phase: checked, audited, and followed by fresh ranks."""

from __future__ import annotations

import copy
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from challenge.errors import refuse
from challenge.models import Challenge, GroundTruth, Phase, TaskSpec, User
from challenge.rules import digests, disclosure, phase_consequences, settlement
from challenge.rules.languages import LANGUAGES
from challenge.rules.phase_consequences import Consequence
from challenge.rules.roles import Act
from challenge.rules.windows import Window, window_at
from challenge.selectors import phase_facts, roles
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
    "grace_minutes",
    "frozen_at",
    "freeze_hides_own",
    "inference_ratio_limit",
)
# What ranks are made by.
RANKED_BY = frozenset({"closes_at", "opens_at", "finals_limit", "grace_minutes", "frozen_at"})
CHOICES = {
    "visibility": [value for value, _label in Phase.VISIBILITIES],
    "detail": [value for value, _label in Phase.DETAILS],
    "precision": [value for value, _label in Phase.PRECISIONS],
}
# Addresses of the desk that stand where a phase's slug does.
TAKEN_SLUGS = frozenset({"new"})


@dataclass(frozen=True)
class Preview:
    """What a change would do: ``changes`` that really change something, and what they mean.

    ``confirmation`` is bound to all of it and to the phase as it stands: it confirms nothing else.
    Without consequences nothing is to be confirmed.
    """

    changes: dict[str, Any]
    consequences: list[Consequence]
    confirmation: str


def fingerprint(phase: Phase) -> str:
    """Return what changes whenever somebody saves the phase, for forms that were shown before."""
    return digests.of_json({name: _plain(getattr(phase, name)) for name in FIELDS})


def preview(
    *, phase: Phase, actor: User, changes: dict[str, Any], now: datetime | None = None
) -> Preview:
    """Return what :func:`change` would do now. Raises what it raises, but for confirmations."""
    now = now or timezone.now()
    _require(actor, phase, changes)
    row = Phase.objects.select_related("challenge").get(pk=phase.pk)
    return _checked(row, changes, now=now)


def change(
    *,
    phase: Phase,
    actor: User,
    changes: dict[str, Any],
    seen: str = "",
    confirmed: str = "",
    now: datetime | None = None,
) -> list[str]:
    """Change settings of a phase (``Act.PHASES``); returns the names of what really changed.

    Allowed are :data:`FIELDS`; ``is_published`` is ``Act.PUBLISH``. ``seen`` is the
    :func:`fingerprint` of the phase that the editor saw, ``confirmed`` the confirmation of the
    :func:`preview` whose consequences the editor confirmed; both are compared under the lock of
    the phase's row. Raises what `roles.require` raises, Refusal ``phase-field-unknown``,
    ``phase-text-invalid``, ``text-language-missing``, ``phase-window-invalid``,
    ``phase-limit-invalid``, ``phase-choice-invalid``, ``phase-grace-invalid``, Conflict
    ``phase-disclosed``, ``phase-changed-meanwhile``, ``phase-unconfirmed``,
    ``phase-confirmation-stale``.
    """
    now = now or timezone.now()
    _require(actor, phase, changes)
    with transaction.atomic():
        locked = (
            Phase.objects.select_for_update(of=("self",))
            .select_related("challenge")
            .get(pk=phase.pk)
        )
        if seen and seen != fingerprint(locked):
            raise refuse("phase-changed-meanwhile")
        asked = _checked(locked, changes, now=now)
        if asked.consequences and confirmed != asked.confirmation:
            codes = ", ".join(str(one.code) for one in asked.consequences)
            code = "phase-confirmation-stale" if confirmed else "phase-unconfirmed"
            raise refuse(code, consequences=codes)
        before = {name: getattr(locked, name) for name in asked.changes}
        for name, value in asked.changes.items():
            setattr(locked, name, value)
        changed = list(asked.changes)
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
                confirmed=[str(one.code) for one in asked.consequences],
            )
        if RANKED_BY & set(changed):
            ranks.recompute(phase=locked, now=now)  # no reader sees the former ranks under it
    for name in changed:
        setattr(phase, name, getattr(locked, name))
    if "closes_at" in changed:
        update_labels_open_until()
        ranks.recompute(phase=phase, now=now)
    return changed


def create(
    *,
    challenge: Challenge,
    actor: User,
    slug: str,
    values: dict[str, Any],
    now: datetime | None = None,
) -> Phase:
    """Add a phase to a challenge (``Act.PHASES``): not published, without labels yet.

    ``values`` are :data:`FIELDS` but ``is_published``; ``name`` and ``opens_at`` are needed. It
    gets the challenge's last task, and the patches that the first phase under it lists.
    Raises what :func:`change` raises for its values, Refusal ``phase-slug-invalid``, Conflict
    ``phase-slug-taken``.
    """
    now = now or timezone.now()
    roles.require(actor, Act.PHASES, challenge)
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug) or len(slug) > 50 or slug in TAKEN_SLUGS:
        raise refuse("phase-slug-invalid", slug=slug[:60])
    task = TaskSpec.objects.filter(challenge=challenge).order_by("-version").first()
    hidden = challenge.phases.filter(task_spec=task, labels_public=False).order_by("sort_order")
    like = hidden.first() if task is not None else None
    phase = Phase(
        challenge=challenge,
        slug=slug,
        task_spec=task,
        public_patches=list(like.public_patches) if like is not None else [],
        **values,
    )
    _check_values(phase, {**values, "name": phase.name})
    with transaction.atomic():
        Challenge.objects.select_for_update().get(pk=challenge.pk)
        if Phase.objects.filter(challenge=challenge, slug=slug).exists():
            raise refuse("phase-slug-taken", slug=slug)
        phase.save(force_insert=True)
        audit.record(
            "phase.create",
            actor=actor,
            challenge=challenge,
            target=phase,
            now=now,
            after={name: _plain(value) for name, value in values.items()},
        )
    return phase


def _check_undisclosed(phase: Phase, truth: GroundTruth, *, now: datetime) -> None:
    """Refuse labels whose values left in full to a phase that takes, or will take, submissions."""
    since = GroundTruth.objects.values_list("full_precision_at", flat=True).get(pk=truth.pk)
    if since is None or truth.labels_public or truth.pk == phase.ground_truth_id:
        return
    if window_at(now, opens_at=phase.opens_at, closes_at=phase.closes_at) is not Window.CLOSED:
        raise refuse("phase-disclosed", since=f"{since:%Y-%m-%d %H:%M}")


def _require(actor: User, phase: Phase, changes: dict[str, Any]) -> None:
    wanted = {Act.PUBLISH if name == "is_published" else Act.PHASES for name in changes}
    for act in sorted(wanted or {Act.PHASES}):
        roles.require(actor, act, phase.challenge)
    unknown = sorted(set(changes) - set(FIELDS))
    if unknown:
        raise refuse("phase-field-unknown", unknown=", ".join(unknown), allowed=", ".join(FIELDS))


def _checked(phase: Phase, changes: dict[str, Any], *, now: datetime) -> Preview:
    """Check changes of a stored phase; ``phase`` itself stays as it is."""
    row = {name: getattr(phase, name) for name in FIELDS}
    real = {name: value for name, value in changes.items() if row[name] != value}
    full_precision.check_window(
        phase,
        opens_at=changes.get("opens_at", phase.opens_at),
        closes_at=changes.get("closes_at", phase.closes_at),
        now=now,
    )
    after = copy.copy(phase)
    for name, value in real.items():
        setattr(after, name, value)
    _check_values(after, real)
    found = phase_consequences.consequences(
        row, real, phase_facts.facts_of(phase, changes=real, now=now)
    )
    bound = {
        "phase": phase.pk,
        "before": fingerprint(phase),
        "changes": {name: _plain(value) for name, value in real.items()},
        "consequences": [[str(one.code), dict(one.params)] for one in found],
    }
    return Preview(real, found, digests.of_json(bound))


def _check_values(phase: Phase, changed: dict[str, Any]) -> None:
    """Check a phase's values, of those in ``changed`` also what the database lets pass."""
    if phase.closes_at is not None and phase.closes_at <= phase.opens_at:
        raise refuse("phase-window-invalid")
    for name in (*LIMITS, "archive_limit_bytes"):
        value = getattr(phase, name)
        if value is not None and value < 1:
            raise refuse("phase-limit-invalid", field=name)
    for name in sorted({"name", "summary"} & set(changed)):
        _check_texts(name, changed[name], wanted=phase.challenge.required_languages)
    for name, allowed in CHOICES.items():
        if getattr(phase, name) not in allowed:
            found = str(getattr(phase, name))[:60]
            raise refuse(
                "phase-choice-invalid", field=name, found=found, allowed=", ".join(allowed)
            )
    shortest, longest = settlement.SHORTEST_GRACE_MINUTES, settlement.LONGEST_GRACE_MINUTES
    if "grace_minutes" in changed and not shortest <= phase.grace_minutes <= longest:
        raise refuse("phase-grace-invalid", shortest=shortest, longest=longest)


def _check_texts(name: str, value: Any, *, wanted: Sequence[str]) -> None:
    """Check a name, or a summary, which may be empty: else written in every ``wanted`` language."""
    if not _is_texts(value, required=name == "name"):
        raise refuse("phase-text-invalid", field=name)
    if not any(text.strip() for text in value.values()):
        return
    for code in wanted:
        if not value.get(code, "").strip():
            raise refuse("text-language-missing", field=name, language=code)


def _is_texts(value: object, *, required: bool) -> bool:
    """Say whether a value is {language: text}, with a text in some language where required."""
    if not isinstance(value, dict) or not all(
        code in LANGUAGES and isinstance(text, str) for code, text in value.items()
    ):
        return False
    return not required or any(text.strip() for text in value.values())


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
    one has public and private zones, the other has not. Conflict ``phase-disclosed``: values of
    the labels left in full, and the phase would take submissions on them.
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
            _check_undisclosed(locked, ground_truth, now=now or timezone.now())
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
