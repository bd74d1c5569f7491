"""Begin and end maintenance; refuse writes meanwhile."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from challenge.errors import Refusal, refuse
from challenge.models import MaintenancePeriod, Phase
from challenge.selectors import maintenance_mode
from challenge.selectors.maintenance_mode import Maintenance
from challenge.services import audit, database_clock

WITHOUT_END = _(
    "The site is in maintenance: everything can be read, nothing can be submitted or changed. "
    "Nothing is lost; try again later."
)


def begin(*, until: datetime | None = None) -> Maintenance:
    """Begin maintenance, or announce another end of the one that goes on.

    Other processes know of it after ``MAINTENANCE_CHECK_S``.
    """
    with transaction.atomic():
        now = database_clock.now()
        period, is_new = MaintenancePeriod.objects.get_or_create(
            ended_at=None, defaults={"started_at": now, "until": until}
        )
        if not is_new:
            period.until = until
            period.save(update_fields=["until"])
        shown = until.isoformat() if until else None
        audit.record("maintenance.begin" if is_new else "maintenance.announce", actor=None,
                     target=period, now=now, until=shown)  # fmt: skip
    maintenance_mode.read()
    return Maintenance(period.started_at, period.until)


def end() -> bool:
    """End maintenance; False where there was none."""
    with transaction.atomic():
        now = database_clock.now()
        period = MaintenancePeriod.objects.select_for_update().filter(ended_at=None).first()
        if period is not None:
            period.ended_at = now
            period.save(update_fields=["ended_at"])
            audit.record("maintenance.end", actor=None, target=period, now=now)
    maintenance_mode.read()
    return period is not None


def closing_phases(*, until: datetime | None) -> list[Phase]:
    """Return the published phases that close from now to ``until``, whose teams cannot submit."""
    if until is None:
        return []
    now = database_clock.now()
    return list(
        Phase.objects.filter(closes_at__gt=now, closes_at__lte=until)
        .filter(is_published=True, challenge__is_published=True)
        .select_related("challenge")
        .order_by("closes_at")
    )


def refusal(period: Maintenance) -> Refusal:
    """Return the refusal of a write meanwhile, with the announced end where there is one."""
    wait_s = period.retry_after_s
    if period.until is None or period.is_late:
        return Refusal("maintenance", WITHOUT_END, status=503, retry_after_s=wait_s)
    return refuse("maintenance", retry_after_s=wait_s, until=period.until.isoformat())
