"""How a phase's scores moved over time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import F
from django.utils import timezone

from challenge.models import Phase
from challenge.rules import disclosure
from challenge.rules.disclosure import Viewer
from challenge.selectors import people, phase_disclosure, roles, scores
from challenge.selectors.roles import Person


@dataclass(frozen=True)
class Point:
    """A scored submission: ``best`` says that it was the phase's best at its time."""

    at: datetime
    team: str
    miou: float
    best: bool


def of_phase(phase: Phase, *, user: Person = None, now: datetime | None = None) -> list[Point]:
    """Return a phase's scores in order of time, as they may leave (two queries at most).

    Empty where the board is hidden. Baselines, organisers' teams and disqualified submissions are
    left out; so are, for all but organisers, those that did not raise their own team's best: no
    board shows them.
    """
    now = now or timezone.now()
    viewer = people.viewer_of_phase(user, phase)
    if not phase_disclosure.leaderboard_visible(phase, viewer=viewer, now=now):
        return []
    policy = phase_disclosure.policy_for(phase, viewer=viewer, now=now)
    rows = (
        scores.on_board(phase)
        .filter(evaluation__submission__is_baseline=False, miou__isnull=False)
        .exclude(evaluation__submission__entry__in=roles.entries_of_organisers(phase))
        .order_by("evaluation__submission__created_at", "evaluation__revision")
        .values_list(
            F("evaluation__submission"),
            F("evaluation__submission__created_at"),
            F("evaluation__submission__entry__team__name"),
            "miou",
            "rounded_miou",
        )
    )
    latest = {
        submission: (at, team, disclosure.disclose_miou(full, rounded, policy=policy))
        for submission, at, team, full, rounded in rows
    }
    points: list[Point] = []
    best_of: dict[str, float] = {}
    best = -1.0
    for at, team, miou in latest.values():
        if miou is None:
            continue
        rises = miou > best_of.get(team, -1.0)
        best_of[team] = max(best_of.get(team, -1.0), miou)
        if not (rises or viewer is Viewer.ORGANISER):
            continue
        points.append(Point(at, team, miou, miou > best))
        best = max(best, miou)
    return points
