"""The languages in which a challenge's pages and texts must be written."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction

from challenge.errors import refuse
from challenge.models import Challenge, User
from challenge.rules import languages
from challenge.rules.roles import Act
from challenge.selectors import roles
from challenge.services import audit


def require(
    *, challenge: Challenge, actor: User, codes: Sequence[str], now: datetime | None = None
) -> bool:
    """Say in which languages everything must be written (``Act.PAGES``); removes no text.

    Returns whether that changed. Raises what `roles.require` raises, Refusal
    ``languages-invalid`` for none or for one that the site does not have.
    """
    roles.require(actor, Act.PAGES, challenge)
    wanted = languages.ordered(codes)
    if not wanted or set(codes) - set(wanted):
        found, allowed = ", ".join(codes)[:60] or "–", ", ".join(languages.LANGUAGES)
        raise refuse("languages-invalid", found=found, allowed=allowed)
    with transaction.atomic():
        locked = Challenge.objects.select_for_update().get(pk=challenge.pk)
        before, locked.required_languages = locked.required_languages, wanted
        if before == wanted:
            return False
        locked.save(update_fields=["required_languages", "updated_at"])
        audit.record(
            "challenge.languages",
            actor=actor,
            challenge=challenge,
            target=challenge,
            now=now,
            before=before,
            after=wanted,
        )
    challenge.required_languages = wanted
    return True
