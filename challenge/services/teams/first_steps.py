"""What a participant did on the way to a first submission, written when it happens first."""

from __future__ import annotations

from enum import StrEnum

from django.utils import timezone

from challenge.models import Challenge, Registration
from challenge.selectors.roles import Person


class FirstStep(StrEnum):
    """A step of which no other row tells: the column of `Registration` with its moment."""

    IDS = "ids_at"
    KIT = "kit_at"
    CHECK = "check_at"


def record(user: Person, *, challenge: Challenge, step: FirstStep) -> None:
    """Note the first time that a participant takes a step; nothing for others (one query)."""
    if user is None or not user.is_authenticated:
        return
    Registration.objects.filter(
        user=user.pk, challenge=challenge, **{f"{step.value}__isnull": True}
    ).update(**{step.value: timezone.now()})
