"""Showing a challenge to the public, or hiding it."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from challenge.errors import refuse
from challenge.models import Challenge, User
from challenge.rules.roles import Act
from challenge.selectors import roles
from challenge.services import audit
from challenge.services.challenges.pages import NEEDED_PAGES


def set_published(
    *, challenge: Challenge, actor: User, published: bool, now: datetime | None = None
) -> bool:
    """Publish or hide a challenge (``Act.PUBLISH``); returns whether that changed anything.

    Raises what `roles.require` raises, Refusal ``challenge-pages-missing``: without them its first
    page, or joining it, is a 404; ``challenge-task-missing``.
    """
    roles.require(actor, Act.PUBLISH, challenge)
    with transaction.atomic():
        locked = Challenge.objects.select_for_update().get(pk=challenge.pk)
        before = locked.is_published
        if before == published:
            return False
        if published:
            check_ready(locked)
        locked.is_published = published
        locked.was_published = locked.was_published or published
        locked.save(update_fields=["is_published", "was_published", "updated_at"])
        audit.record(
            "challenge.publish" if published else "challenge.hide",
            actor=actor,
            challenge=locked,
            target=locked,
            now=now,
            before={"is_published": before},
            after={"is_published": published},
        )
    challenge.is_published, challenge.was_published = published, locked.was_published
    return True


def check_ready(challenge: Challenge) -> None:
    """Check that a challenge can be published.

    Raises Refusal ``challenge-pages-missing``, ``challenge-task-missing``.
    """
    there = set(challenge.pages.values_list("slug", flat=True))
    missing = [slug for slug in NEEDED_PAGES if slug not in there]
    if missing:
        raise refuse("challenge-pages-missing", pages=", ".join(missing))
    if not challenge.task_specs.exists():
        raise refuse("challenge-task-missing")
