"""Other rows' scores beside a submission: the leader, a baseline, the team's best."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Q
from django.utils import timezone

from challenge.models import Submission
from challenge.rules.disclosure import Viewer
from challenge.selectors import leaderboard, phase_disclosure
from challenge.selectors.leaderboard import BASELINE, TEAM, Row


@dataclass(frozen=True)
class ComparisonScore:
    """Another row's values as the leaderboard's readers see them; ``ious`` by class key."""

    kind: str
    name: str
    submission_id: UUID | None
    miou: float | None
    ious: dict[str, float | None]
    rank: int | None


def of_submission(
    submission: Submission, *, viewer: Viewer, now: datetime | None = None
) -> dict[str, ComparisonScore]:
    """Return the scores "leader", "baseline", "best" and "own", those that there are.

    One query; none and nothing for a leaderboard that the viewer may not see. "own" is this
    submission's row, where it stands on the leaderboard; the others are never this submission's.
    """
    now = now or timezone.now()
    phase = submission.entry.phase
    reader = viewer if viewer is Viewer.ORGANISER else Viewer.READER
    if not phase_disclosure.leaderboard_visible(phase, viewer=reader, now=now):
        return {}
    rows = leaderboard.rows_where(
        phase,
        Q(rank=1) | Q(rank__isnull=True) | Q(entry=submission.entry_id),
        policy=phase_disclosure.policy_for(phase, viewer=reader, now=now),
    )
    ranked = [row for row in rows if row.kind == TEAM]
    of_teams = [row for row in rows if row.kind != BASELINE]
    baselines = [row for row in rows if row.kind == BASELINE]
    team_id = submission.entry.team_id
    chosen: dict[str, Row | None] = {
        "leader": next((row for row in ranked if row.rank == 1), None),
        "baseline": next(iter(baselines), None),
        "best": next((row for row in of_teams if row.team_id == team_id), None),
    }
    own = chosen["best"]
    if own is not None and own.submission_id == submission.pk:
        chosen |= {"best": None, "own": own}
    return {
        kind: ComparisonScore(
            kind=kind,
            name=row.method if kind == "baseline" else row.name,
            submission_id=row.submission_id,
            miou=row.miou,
            ious=row.class_ious,
            rank=row.rank,
        )
        for kind, row in chosen.items()
        if row is not None and (kind == "own" or row.submission_id != submission.pk)
    }
