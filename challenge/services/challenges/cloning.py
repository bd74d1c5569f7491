"""A challenge's next edition: everything but people, submissions, news and the old dates."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from django.db import IntegrityError, transaction
from django.utils import timezone

from challenge.errors import refuse
from challenge.models import (
    Challenge,
    GroundTruth,
    Page,
    Phase,
    PublishedResult,
    TaskSpec,
    User,
)
from challenge.rules import zone_times
from challenge.rules.roles import Act, Role
from challenge.selectors import roles
from challenge.services import audit
from challenge.services.challenges import drafts, page_editing, phases
from challenge.services.challenges import roles as role_service
from challenge.services.leaderboard import full_precision
from scoring.engine.task import specification as task_spec

MAX_DAYS = 3660
# A challenge's settings; its names and address are given anew, its dates moved.
_CHALLENGE = (
    "tagline", "summary", "facts", "sort_order", "time_zone", "required_languages",
    "terms_version",
    "approval_required", "team_size_limit", "team_archives_bytes",
)  # fmt: skip
_PHASE = (
    "name", "summary", "sort_order", *phases.LIMITS, "archive_limit_bytes", "visibility",
    "detail", "precision", "grace_minutes", "freeze_hides_own", "inference_ratio_limit",
    "labels_public", "public_patches",
)  # fmt: skip
# The rounding of two truths with the same labels is the same: two roundings would tell more.
_TRUTH = (
    "name", "digest", "store_name", "patch_count", "patches", "labels_public", "label_pixels",
    "store_bytes", "steps", "rounding_key", "split_commitment", "zone_count",
    "public_zone_count", "public_patch_count", "public_pixels",
)  # fmt: skip
_RESULT = ("phase_slug", "name", "kind", "miou", "std", "class_ious", "source", "sort_order")


@dataclass
class Clone:
    """The new draft; slugs of phases that use the same labels, that need others, and whose times
    fall on a change of clocks (there the distance in hours was kept).
    """

    challenge: Challenge
    same_labels: list[str] = field(default_factory=list)
    needs_labels: list[str] = field(default_factory=list)
    moved_in_hours: list[str] = field(default_factory=list)


def clone(
    *,
    challenge: Challenge,
    actor: User,
    slug: str,
    title: dict[str, str],
    days: int,
    now: datetime | None = None,
) -> Clone:
    """Make a draft like ``challenge``, its phases ``days`` later on the challenge's own clocks.

    Packed labels are used again where no value of them left in full precision, or they are
    public: the new row has their digest, and no file is copied. Asks for the right to create and
    for ``Act.LABELS``. Raises what `roles.require` raises, NotAllowed
    ``challenge-creation-refused``, Refusal ``challenge-slug-invalid``, ``clone-days-invalid``,
    Conflict ``challenge-slug-taken``.
    """
    now = now or timezone.now()
    roles.require(actor, Act.LABELS, challenge)
    if not roles.may_create(actor):
        raise refuse("challenge-creation-refused")
    if not 0 < days <= MAX_DAYS:
        raise refuse("clone-days-invalid", allowed=MAX_DAYS)
    drafts.check_slug(slug)
    try:
        with transaction.atomic():
            source = Challenge.objects.select_for_update().get(pk=challenge.pk)
            made = Clone(Challenge(slug=slug, title=title, **_values(source, _CHALLENGE)))
            made.challenge.facts = {**source.facts, "held_from": "", "held_until": ""}
            made.challenge.save(force_insert=True)
            role_service.set_role(
                challenge=made.challenge, user=actor, role=Role.OWNER, actor=None, now=now
            )
            _copy_texts(source, made.challenge, actor=actor, now=now)
            _copy_phases(source, made, days=days, now=now)
            audit.record(
                "challenge.clone",
                actor=actor,
                challenge=made.challenge,
                target=made.challenge,
                now=now,
                source=source.slug,
                days=days,
                same_labels=made.same_labels,
            )
    except IntegrityError as error:  # somebody took the address between the check and the write
        if not Challenge.objects.filter(slug=slug).exists():
            raise
        raise refuse("challenge-slug-taken", slug=slug) from error
    phases.update_labels_open_until()
    roles.forget(actor)
    return made


def _values(row: object, names: tuple[str, ...]) -> dict[str, object]:
    return {name: getattr(row, name) for name in names}


def _copy_texts(source: Challenge, target: Challenge, *, actor: User, now: datetime) -> None:
    names = ("slug", "language", "title", "markdown", "sort_order")
    for page in source.pages.all():
        copied = Page.objects.create(challenge=target, **_values(page, names))
        page_editing.keep(copied, actor=actor, now=now)
    for result in source.published_results.all():
        PublishedResult.objects.create(challenge=target, **_values(result, _RESULT))


def _copy_phases(source: Challenge, made: Clone, *, days: int, now: datetime) -> None:
    tasks: dict[int, TaskSpec] = {}
    truths: dict[int, GroundTruth] = {}
    zone = ZoneInfo(source.time_zone)
    for phase in source.phases.select_related("ground_truth", "task_spec", "challenge"):
        copied = Phase(challenge=made.challenge, slug=phase.slug, **_values(phase, _PHASE))
        copied.opens_at, plain = _moved(phase.opens_at, days, zone)
        if phase.closes_at is not None:
            copied.closes_at, plain_close = _moved(phase.closes_at, days, zone)
            plain = plain and plain_close
        if not plain:
            made.moved_in_hours.append(phase.slug)
        if phase.task_spec is not None:
            copied.task_spec = _task(phase.task_spec, made.challenge, tasks)
        if phase.ground_truth is not None:
            left = full_precision.record(phase, now=now)
            if left is None:
                copied.ground_truth = _truth(phase.ground_truth, made.challenge, truths)
            else:
                copied.labels_public = False
                copied.public_patches = []
        known = made.needs_labels if copied.ground_truth is None else made.same_labels
        known.append(phase.slug)
        copied.save(force_insert=True)


def _task(stored: TaskSpec, target: Challenge, known: dict[int, TaskSpec]) -> TaskSpec:
    """The same task under the new challenge's name."""
    if stored.pk not in known:
        spec = task_spec.from_json({**stored.data, "id": target.slug})
        version = len(known) + 1
        known[stored.pk] = TaskSpec.objects.create(
            challenge=target, version=version, digest=spec.digest, data=spec.to_json()
        )
    return known[stored.pk]


def _truth(stored: GroundTruth, target: Challenge, known: dict[int, GroundTruth]) -> GroundTruth:
    """The same packed labels under the new challenge; the file on the workers' disks is one."""
    if stored.pk not in known:
        version = 1 + sum(one.name == stored.name for one in known.values())
        known[stored.pk] = GroundTruth.objects.create(
            challenge=target, version=version, **_values(stored, _TRUTH)
        )
    return known[stored.pk]


def _moved(at: datetime, days: int, zone: ZoneInfo) -> tuple[datetime, bool]:
    """Return a moment some days later at the same hour of the zone's clocks, and whether there is
    exactly one such; else the distance in hours is kept.
    """
    clock = at.astimezone(zone).replace(tzinfo=None) + timedelta(days=days)
    found = zone_times.moments(clock, zone=zone)
    if len(found) == 1:
        return found[0], True
    return at.astimezone(UTC) + timedelta(days=days), False
