"""Grants of organisers: a late entry, extra places, for one team and until a moment.

Nothing is granted once values of the labels could leave in full: who submits then could read labels
off them. While a late entry runs the phase's values stay rounded for everybody
(``Phase.late_until``, which :mod:`challenge.selectors.phase_disclosure` reads).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from challenge.errors import refuse
from challenge.models import Grant, Phase, Team, User
from challenge.rules.roles import Act
from challenge.selectors import grants, roles
from challenge.services import audit
from challenge.services.challenges import phases
from challenge.services.leaderboard import full_precision, ranks
from challenge.services.notifications import decision_mails

PLACES_LIMIT = 1000


def give(
    *,
    team: Team,
    phase: Phase,
    actor: User,
    until: datetime,
    reason: str,
    late: bool = False,
    extra_places: int = 0,
    now: datetime | None = None,
) -> Grant:
    """Grant a team a late entry or extra places until a moment (``Act.PEOPLE``); it is mailed.

    Raises what `roles.require` raises, NotFound for a team or a phase of another challenge,
    Refusal ``reason-missing``, ``grant-empty``, ``grant-until-invalid``,
    ``grant-late-before-close``, Conflict ``grant-disclosed``, ``phase-settled``.
    """
    now = now or timezone.now()
    roles.require(actor, Act.PEOPLE, phase.challenge)
    reason = reason.strip()
    _check(team, phase, until=until, reason=reason, late=late, places=extra_places, now=now)
    with transaction.atomic():
        locked = Phase.objects.select_for_update(of=("self",)).get(pk=phase.pk)
        since = full_precision.record(locked, now=now)
        if since is not None:
            raise refuse("grant-disclosed", since=f"{since:%Y-%m-%d %H:%M}")
        if locked.settlement_recorded:
            raise refuse("phase-settled", since=f"{locked.settled_at:%Y-%m-%d %H:%M}")
        if late and (locked.closes_at is None or until <= locked.closes_at):
            raise refuse("grant-late-before-close")
        made = Grant.objects.create(
            team=team,
            phase=locked,
            late=late,
            extra_places=extra_places,
            until=until,
            reason=reason,
            granted_by=actor,
            granted_at=now,
        )
        audit.record(
            "grant.give",
            actor=actor,
            challenge=phase.challenge,
            target=team.name,
            now=now,
            reason=reason,
            before={"late_until": _plain(locked.late_until)},
            after=_facts(made),
        )
        decision_mails.granted(made, now=now)
        _store_late_until(locked)
    ranks.invalidate_leaderboards(team=team)
    return made


def withdraw(*, grant: Grant, actor: User, now: datetime | None = None) -> None:
    """Withdraw a grant (``Act.PEOPLE``); what was submitted under it stays.

    Raises what `roles.require` raises, Conflict ``grant-over``.
    """
    now = now or timezone.now()
    roles.require(actor, Act.PEOPLE, grant.phase.challenge)
    with transaction.atomic():
        phase = Phase.objects.select_for_update(of=("self",)).get(pk=grant.phase_id)
        locked = grants.in_force(phase, now=now).select_for_update(of=("self",))
        found = locked.filter(pk=grant.pk).select_related("team").first()
        if found is None:
            raise refuse("grant-over")
        found.withdrawn_at, found.withdrawn_by = now, actor
        found.save(update_fields=["withdrawn_at", "withdrawn_by"])
        audit.record(
            "grant.withdraw",
            actor=actor,
            challenge=grant.phase.challenge,
            target=found.team.name,
            now=now,
            before=_facts(found),
            after=None,
        )
        _store_late_until(phase)
    ranks.invalidate_leaderboards(team=found.team)


def _check(
    team: Team,
    phase: Phase,
    *,
    until: datetime,
    reason: str,
    late: bool,
    places: int,
    now: datetime,
) -> None:
    if team.challenge_id != phase.challenge_id or team.merged_into_id or team.is_platform:
        raise refuse("not-found")
    if not reason:
        raise refuse("reason-missing")
    if not late and not 0 < places <= PLACES_LIMIT:
        raise refuse("grant-empty", limit=PLACES_LIMIT)
    if places < 0 or places > PLACES_LIMIT:
        raise refuse("grant-empty", limit=PLACES_LIMIT)
    if until <= now:
        raise refuse("grant-until-invalid")


def _store_late_until(phase: Phase) -> None:
    """Store when the last late entry ends, with the phase and with those on the same labels."""
    lasting = Grant.objects.filter(phase=phase, late=True, withdrawn_at=None)
    phase.late_until = lasting.aggregate(last=Max("until"))["last"]
    Phase.objects.filter(pk=phase.pk).update(late_until=phase.late_until)
    phases.update_labels_open_until()


def _facts(grant: Grant) -> dict[str, Any]:
    return {
        "phase": str(grant.phase),
        "late": grant.late,
        "extra_places": grant.extra_places,
        "until": grant.until.isoformat(),
    }


def _plain(at: datetime | None) -> str | None:
    return at.isoformat() if at is not None else None
