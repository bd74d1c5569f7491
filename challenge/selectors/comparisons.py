"""What a submission's figures are held against: the leader, a baseline, the team's best."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Q
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
    """Return the yardsticks "leader", "baseline", "best" and "own", those that there are.

    One query; none and nothing for a board that the viewer may not see. "own" is this submission's
    line, where it stands on the board; the others are never this submission's.
    """
    now = now or timezone.now()
    phase = submission.entry.phase
    if not leaderboard.is_visible(phase, viewer=_reader(viewer), now=now):
        return {}
    terms = leaderboard.terms_for(phase, viewer=_reader(viewer), now=now)
    lines = list(
        RankLine.objects.filter(
            Q(rank=1) | Q(rank__isnull=True) | Q(entry=submission.entry_id), phase=phase
        )
        .order_by("-miou", "pk")
        .values(
            "rank",
            "miou",
            "entry_id",
            "entry__team__name",
            "submission_id",
            "submission__method_name",
            "score__class_ious",
        )
    )
    ranked = [line for line in lines if line["rank"] is not None]
    wanted = {
        "leader": next((line for line in ranked if line["rank"] == 1), None),
        "baseline": next((line for line in lines if line["rank"] is None), None),
        "best": next((line for line in ranked if line["entry_id"] == submission.entry_id), None),
    }
    standing = wanted["best"]
    if standing is not None and standing["submission_id"] == submission.pk:
        wanted |= {"best": None, "own": standing}
    return {
        kind: Yardstick(
            kind=kind,
            name=line["submission__method_name" if kind == "baseline" else "entry__team__name"],
            submission_id=line["submission_id"],
            miou=disclosure.figure(line["miou"], terms=terms),
            ious=(
                {
                    key: disclosure.figure(value, terms=terms)
                    for key, value in line["score__class_ious"].items()
                }
                if terms.classes
                else {}
            ),
            rank=line["rank"],
        )
        for kind, line in wanted.items()
        if line is not None and (kind == "own" or line["submission_id"] != submission.pk)
    }


def _reader(viewer: Viewer) -> Viewer:
    return viewer if viewer is Viewer.ORGANISER else Viewer.READER
