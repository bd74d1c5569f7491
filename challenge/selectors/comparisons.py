"""What a submission's figures are held against: the leader, a baseline, the team's best."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.utils import timezone

from challenge.models import RankLine, Submission
from challenge.rules import disclosure
from challenge.rules.disclosure import Viewer
from challenge.selectors import leaderboard


@dataclass(frozen=True)
class Yardstick:
    """Another line's figures under the terms of the board's readers; ``ious`` by class key."""

    kind: str
    name: str
    submission_id: UUID
    miou: float | None
    ious: dict[str, float | None]
    rank: int | None


def of_submission(
    submission: Submission, *, viewer: Viewer, now: datetime | None = None
) -> dict[str, Yardstick]:
    """Return the yardsticks "leader", "baseline" and "best", those that there are.

    Three queries; none and nothing for a board that the viewer may not see. "best" is the team's
    own line, unless this submission is it.
    """
    now = now or timezone.now()
    phase = submission.entry.phase
    if not leaderboard.is_visible(phase, viewer=_reader(viewer), now=now):
        return {}
    terms = leaderboard.terms_for(phase, viewer=_reader(viewer), now=now)
    lines = RankLine.objects.filter(phase=phase).select_related(
        "score", "entry__team", "submission"
    )
    lines = lines.defer("score__card")
    wanted = {
        "leader": lines.filter(rank=1).order_by("pk")[:1],
        "baseline": lines.filter(rank__isnull=True).order_by("-miou")[:1],
        "best": lines.filter(rank__isnull=False, entry=submission.entry_id)[:1],
    }
    found: dict[str, Yardstick] = {}
    for kind, query in wanted.items():
        line = query.first()
        if line is None or line.submission_id == submission.pk:
            continue
        found[kind] = Yardstick(
            kind=kind,
            name=line.entry.team.name if kind != "baseline" else line.submission.method_name,
            submission_id=line.submission_id,
            miou=disclosure.figure(line.miou, terms=terms),
            ious=(
                {
                    key: disclosure.figure(value, terms=terms)
                    for key, value in line.score.class_ious.items()
                }
                if terms.classes
                else {}
            ),
            rank=line.rank,
        )
    return found


def own_line(submission: Submission) -> RankLine | None:
    """Return the line with which a submission stands on the board, if it is its team's best."""
    return RankLine.objects.filter(submission=submission, rank__isnull=False).first()


def _reader(viewer: Viewer) -> Viewer:
    return viewer if viewer is Viewer.ORGANISER else Viewer.READER
