"""Settlement: after the close, once every verdict is there and teams had time to choose.

Until then leaderboards that appear after the close, full precision and the choices for the final
ranking wait. The sweep settles what is due; an owner may do it by hand and says why. Settling locks
the phase's row, which submitting and choosing hold shared, so that nothing that was accepted before
the close comes after it.
"""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from challenge.errors import refuse
from challenge.models import Phase, User
from challenge.rules.roles import Act
from challenge.selectors import phase_disclosure, roles
from challenge.services import audit
from challenge.services.leaderboard import ranks


def settle_due(*, now: datetime | None = None) -> list[Phase]:
    """Settle every closed phase that is due, and rank it anew; returns those that it settled."""
    now = now or timezone.now()
    closed = Phase.objects.filter(
        Q(settled_at=None) | Q(settled_at__lt=F("closes_at")), closes_at__lte=now
    ).order_by("pk")
    settled = []
    for phase in closed.defer("public_patches"):
        with transaction.atomic():
            locked = _lock(phase)
            recorded = locked.settlement_recorded  # by another sweep, before the lock was ours
            if not recorded and phase_disclosure.is_settled(locked, now=now):
                _settle(locked, actor=None, reason="", now=now)
                settled.append(locked)
    return settled


def settle(*, phase: Phase, actor: User, reason: str, now: datetime | None = None) -> None:
    """Settle a closed phase by hand (``Act.PUBLISH``), whatever still waits.

    What gets its verdict later still counts. Raises what `roles.require` raises, Refusal
    ``reason-missing``, Conflict ``phase-not-closed``, ``phase-settled``.
    """
    now = now or timezone.now()
    roles.require(actor, Act.PUBLISH, phase.challenge)
    if not reason.strip():
        raise refuse("reason-missing")
    with transaction.atomic():
        locked = _lock(phase)
        if locked.closes_at is None or now < locked.closes_at:
            raise refuse("phase-not-closed")
        if locked.settlement_recorded:
            raise refuse("phase-settled", since=f"{locked.settled_at:%Y-%m-%d %H:%M}")
        _settle(locked, actor=actor, reason=reason.strip(), now=now)
    phase.settled_at = locked.settled_at


def _lock(phase: Phase) -> Phase:
    phases = Phase.objects.select_for_update(of=("self",)).select_related("challenge")
    return phases.defer("public_patches").get(pk=phase.pk)


def _settle(phase: Phase, *, actor: User | None, reason: str, now: datetime) -> None:
    phase.settled_at = now
    phase.save(update_fields=["settled_at"])
    audit.record(
        "phase.settle",
        actor=actor,
        challenge=phase.challenge,
        target=phase,
        now=now,
        reason=reason,
    )
    ranks.recompute(phase=phase, now=now)
