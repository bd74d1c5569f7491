"""The zone on whose clocks a challenge's desk takes and shows times."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from challenge.errors import refuse
from challenge.models import Challenge, User
from challenge.rules import zone_times
from challenge.rules.roles import Act
from challenge.selectors import roles
from challenge.services import audit


def set_time_zone(
    *, challenge: Challenge, actor: User, time_zone: str, now: datetime | None = None
) -> bool:
    """Set the zone in which the desk takes and shows times (``Act.PHASES``); moves no moment.

    Returns whether it changed. Raises what `roles.require` raises, Refusal ``zone-unknown``.
    """
    roles.require(actor, Act.PHASES, challenge)
    if time_zone not in zone_times.NAMES:
        raise refuse("zone-unknown", zone=time_zone[:60])
    with transaction.atomic():
        locked = Challenge.objects.select_for_update().get(pk=challenge.pk)
        before, locked.time_zone = locked.time_zone, time_zone
        if before == time_zone:
            return False
        locked.save(update_fields=["time_zone", "updated_at"])
        audit.record(
            "challenge.time-zone",
            actor=actor,
            challenge=challenge,
            target=challenge,
            now=now,
            before=before,
            after=time_zone,
        )
    challenge.time_zone = time_zone
    return True
