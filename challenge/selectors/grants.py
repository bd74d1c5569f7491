"""What a team was granted in a phase."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from django.db.models import Exists, OuterRef, QuerySet

from challenge.models import Grant, Phase, Team
from challenge.rules import quota
from challenge.rules.windows import Window, window_at


@dataclass(frozen=True)
class Granted:
    """What teams have together in a phase at a moment.

    ``late_until``: they may submit after the close until then (None: no later than anybody).
    ``extra_places`` count from ``since`` on, a UTC day.
    """

    late_until: datetime | None = None
    extra_places: int = 0
    since: date | None = None


def in_force(phase: Phase, *, now: datetime) -> QuerySet[Grant]:
    """Return the grants of a phase that are neither over nor withdrawn."""
    return Grant.objects.filter(phase=phase, withdrawn_at=None, until__gt=now)


def of_teams(team_ids: list[int], *, phase: Phase, now: datetime) -> Granted:
    """Return what is granted to teams (one query; none without teams)."""
    found = list(in_force(phase, now=now).filter(team__in=team_ids)) if team_ids else []
    with_places = [grant for grant in found if grant.extra_places]
    return Granted(
        late_until=max((grant.until for grant in found if grant.late), default=None),
        extra_places=sum(grant.extra_places for grant in with_places),
        since=min((quota.utc_day(grant.granted_at) for grant in with_places), default=None),
    )


def window_of(phase: Phase, team: Team, *, now: datetime) -> Window:
    """Return where a moment lies in a phase's window for one team, which may be granted more.

    No query while the phase is open, else one.
    """
    window = window_at(now, opens_at=phase.opens_at, closes_at=phase.closes_at)
    if window is not Window.CLOSED or phase.late_until is None or now >= phase.late_until:
        return window
    late_until = of_teams([team.pk], phase=phase, now=now).late_until
    return Window.OPEN if late_until is not None else window


def of_team(team_id: int) -> list[Grant]:
    """Return all grants of a team, the newest first (one query)."""
    rows = Grant.objects.filter(team=team_id)
    return list(rows.select_related("phase", "granted_by").defer("phase__public_patches"))


def extra_places_column() -> Exists:
    """Return an annotation of rank lines: the team had more places than the phase allows."""
    rows = Grant.objects.filter(extra_places__gt=0, withdrawn_at=None)
    return Exists(rows.filter(phase=OuterRef("phase"), team=OuterRef("entry__team")))
