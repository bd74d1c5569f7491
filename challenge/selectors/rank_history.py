"""How teams' ranks moved over time, as far as a leaderboard told it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from django.db.models import F, Q
from django.utils import timezone
from pydantic import TypeAdapter

from challenge.models import Phase, RankLine
from challenge.rules import disclosure, rank_history
from challenge.rules.rank_history import RankStep, Rise
from challenge.selectors import leaderboard, people, phase_disclosure, roles, scores
from challenge.selectors.roles import Person

TOP_TEAMS = 10
RISES = TypeAdapter(list[tuple[datetime, int, float]])


@dataclass(frozen=True)
class TeamRanks:
    """A team's ranks over time. ``rank`` is the one that the leaderboard shows now."""

    team_id: int
    name: str
    rank: int
    steps: list[RankStep]
    mine: bool = False


def of_phase(
    phase: Phase, *, user: Person = None, top: int = TOP_TEAMS, now: datetime | None = None
) -> list[TeamRanks]:
    """Return the ranks over time of the first teams, best first, then of the viewer's own.

    Empty where the viewer does not see the leaderboard. At most five queries, three while the
    leaderboard stands as it was.
    """
    mine = people.team_id_in(user, phase)
    wanted = Q(rank__lte=top) if mine is None else Q(rank__lte=top) | Q(entry__team=mine)
    return _of_teams(phase, wanted, user=user, top=top, now=now)


def of_team(
    team_id: int, *, phase: Phase, user: Person = None, now: datetime | None = None
) -> TeamRanks | None:
    """Return one team's ranks over time, None where the viewer sees none; queries likewise."""
    found = _of_teams(phase, Q(entry__team=team_id), user=user, top=1, now=now)
    return found[0] if found else None


def _of_teams(
    phase: Phase, wanted: Q, *, user: Person, top: int, now: datetime | None
) -> list[TeamRanks]:
    now = now or timezone.now()
    viewer = people.viewer_of_phase(user, phase)
    if not phase_disclosure.leaderboard_visible(phase, viewer=viewer, now=now):
        return []
    lines = list(
        RankLine.objects.filter(wanted, phase=phase, rank__isnull=False)
        .order_by(*scores.RANK_ORDER)
        .values_list("entry__team", "entry__team__name", "rank")
    )
    mine = people.team_id_in(user, phase)
    # ties may share the last rank that is shown
    shown = [
        (team, name, rank)
        for position, (team, name, rank) in enumerate(lines)
        if rank is not None and (position < top or team == mine)
    ]
    if not shown:
        return []
    moved = _steps(phase, [team for team, _name, _rank in shown], user=user, now=now)
    return [
        TeamRanks(team, name, rank, _until_now(moved.get(team, []), rank, phase), team == mine)
        for team, name, rank in shown
    ]


def _steps(
    phase: Phase, teams: Collection[int], *, user: Person, now: datetime
) -> dict[int, list[RankStep]]:
    key = f"{leaderboard.state(phase, user=user, now=now)}-rises"
    risen = leaderboard.cached(key, lambda: _rises(phase, user=user, now=now), kind=RISES)
    return rank_history.steps_of((Rise(*one) for one in risen), teams=teams)


def _rises(phase: Phase, *, user: Person, now: datetime) -> list[tuple[datetime, int, float]]:
    """Return what raised teams' bests, as ranked teams' rows showed it (two queries).

    After a reveal the values on public zones: they made the ranks until then.
    """
    viewer = people.viewer_of_phase(user, phase)
    policy = phase_disclosure.policy_for(phase, viewer=viewer, now=now)
    counted = scores.on_board(phase) if phase.revealed_at is None else scores.public_on_board(phase)
    rows = (
        counted.filter(evaluation__submission__is_baseline=False)
        .exclude(evaluation__submission__entry__in=roles.entries_of_organisers(phase))
        .order_by(
            "evaluation__submission__created_at", "evaluation__submission", "evaluation__revision"
        )
        .values_list(
            F("evaluation__submission"),
            F("evaluation__submission__created_at"),
            F("evaluation__submission__entry__team"),
            "miou",
            "rounded_miou",
        )
    )
    latest = {
        submission: (at, team, disclosure.disclose_miou(full, rounded, policy=policy))
        for submission, at, team, full, rounded in rows
    }
    scored = [Rise(at, team, miou) for at, team, miou in latest.values() if miou is not None]
    return [(one.at, one.team, one.value) for one in rank_history.rises(scored)]


def _until_now(moved: list[RankStep], rank: int, phase: Phase) -> list[RankStep]:
    """Return the steps up to the rank that the leaderboard shows.

    Choices of final submissions count from the settlement, private zones from the reveal.
    """
    if moved and moved[-1].rank == rank:
        return moved
    turned_at = phase.revealed_at or phase.settled_at or phase.ranked_at
    if turned_at is None or (moved and turned_at < moved[-1].at):
        turned_at = moved[-1].at if moved else phase.opens_at
    if moved and moved[-1].at == turned_at:
        moved = moved[:-1]
    return [*moved, RankStep(turned_at, rank)]
