"""Challenges made on the site: created as drafts, renamed and deleted while they are drafts."""

from __future__ import annotations

import re
from datetime import datetime
from functools import partial

from django.core.files.storage import default_storage
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError

from challenge.errors import refuse
from challenge.models import (
    Challenge,
    GroundTruth,
    Phase,
    PracticeKit,
    Submission,
    TaskSpec,
    User,
)
from challenge.rules.roles import Act, Role
from challenge.selectors import roles
from challenge.services import audit
from challenge.services.challenges import challenges, schema
from challenge.services.challenges import roles as role_service
from challenge.services.challenges.description import Description
from scoring.engine.task import specification as task_spec

# Addresses of the site that stand where a challenge's slug does.
TAKEN_SLUGS = frozenset({"new", "import"})


def create(*, actor: User, description: Description, now: datetime | None = None) -> Challenge:
    """Create an unpublished challenge whose owner is ``actor``.

    Raises NotAllowed ``challenge-creation-refused``, Refusal ``challenge-slug-invalid``, Conflict
    ``challenge-slug-taken``, and `FileMistakes` for what the file reader finds; nothing is written
    then.
    """
    if not roles.may_create(actor):
        raise refuse("challenge-creation-refused")
    slug = str(description.content["challenge"].get("slug", ""))
    check_slug(slug)
    description.content["challenge"]["published"] = False
    file = description.read()
    try:
        with transaction.atomic():
            challenges.save(file, actor=actor)
            challenge = Challenge.objects.get(slug=slug)
            role_service.set_role(
                challenge=challenge, user=actor, role=Role.OWNER, actor=None, now=now
            )
            audit.record(
                "challenge.create", actor=actor, challenge=challenge, target=challenge, now=now
            )
    except IntegrityError as error:  # somebody took the address between the check and the write
        if not Challenge.objects.filter(slug=slug).exists():
            raise
        raise refuse("challenge-slug-taken", slug=slug) from error
    roles.forget(actor)
    return challenge


def rename(
    *, challenge: Challenge, actor: User, slug: str, now: datetime | None = None
) -> Challenge:
    """Give a draft another address (``Act.PUBLISH``); its task is named like it.

    Raises what `roles.require` raises, Refusal ``challenge-slug-invalid``, Conflict
    ``challenge-slug-taken``, ``challenge-not-a-draft``.
    """
    roles.require(actor, Act.PUBLISH, challenge)
    if slug == challenge.slug:
        return challenge
    check_slug(slug)
    with transaction.atomic():
        locked = _locked_draft(challenge)
        before, locked.slug = locked.slug, slug
        locked.save(update_fields=["slug", "updated_at"])
        for stored in TaskSpec.objects.filter(challenge=locked):
            spec = task_spec.from_json({**stored.data, "id": slug})
            stored.data, stored.digest = spec.to_json(), spec.digest
            stored.save(update_fields=["data", "digest"])
        audit.record(
            "challenge.rename",
            actor=actor,
            challenge=locked,
            target=locked,
            now=now,
            before=before,
            after=slug,
        )
    return locked


def delete(*, challenge: Challenge, actor: User, now: datetime | None = None) -> None:
    """Delete a draft with its phases, pages and roles (``Act.PUBLISH``).

    Packed labels stay on the workers' disks until the operator removes them. Raises what
    `roles.require` raises, Conflict ``challenge-not-a-draft``.
    """
    roles.require(actor, Act.PUBLISH, challenge)
    try:
        with transaction.atomic():
            locked = _locked_draft(challenge)
            stores = list(locked.ground_truths.values_list("store_name", flat=True))
            for kit in PracticeKit.objects.filter(phase__challenge=locked):
                transaction.on_commit(partial(default_storage.delete, kit.stored_name))
            Phase.objects.filter(challenge=locked).delete()
            GroundTruth.objects.filter(challenge=locked).delete()
            TaskSpec.objects.filter(challenge=locked).delete()
            locked.delete()
            audit.record(
                "challenge.delete", actor=actor, target=challenge.slug, now=now, stores=stores
            )
    except ProtectedError as error:  # a training run, say, that was made for one of its phases
        raise refuse("challenge-not-a-draft", slug=challenge.slug) from error
    roles.forget(actor)


def is_draft(challenge: Challenge) -> bool:
    """Say whether nothing of a challenge was ever published or submitted (one query)."""
    if challenge.was_published or challenge.is_published:
        return False
    return not Submission.objects.filter(entry__phase__challenge=challenge).exists()


def check_slug(slug: str) -> None:
    """Refuse an address that a challenge cannot have, or that one has already."""
    if len(slug) > 50 or not re.fullmatch(schema.SLUG, slug) or slug in TAKEN_SLUGS:
        raise refuse("challenge-slug-invalid", slug=slug[:60])
    if Challenge.objects.filter(slug=slug).exists():
        raise refuse("challenge-slug-taken", slug=slug)


def _locked_draft(challenge: Challenge) -> Challenge:
    locked = Challenge.objects.select_for_update().get(pk=challenge.pk)
    if not is_draft(locked):
        raise refuse("challenge-not-a-draft", slug=locked.slug)
    return locked
