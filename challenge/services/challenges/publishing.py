"""Showing a challenge to the public, or hiding it."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from challenge.models import Challenge, User
from challenge.rules.roles import Act
from challenge.selectors import roles
from challenge.services import audit


def set_published(
    *, challenge: Challenge, actor: User, published: bool, now: datetime | None = None
) -> bool:
    """Publish or hide a challenge (``Act.PUBLISH``); returns whether that changed anything.

    Raises what `roles.require` raises.
    """
    roles.require(actor, Act.PUBLISH, challenge)
    with transaction.atomic():
        locked = Challenge.objects.select_for_update().get(pk=challenge.pk)
        before = locked.is_published
        if before == published:
            return False
        locked.is_published = published
        locked.save(update_fields=["is_published", "updated_at"])
        audit.record(
            "challenge.publish" if published else "challenge.hide",
            actor=actor,
            challenge=locked,
            target=locked,
            now=now,
            before={"is_published": before},
            after={"is_published": published},
        )
    challenge.is_published = published
    return True
