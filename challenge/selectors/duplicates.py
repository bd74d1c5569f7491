"""Submissions of different teams that predict the same pixels, all of them or nearly all.

For organisers alone: no page of a participant reads this.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import Count

from challenge.models import Phase, PixelComparison, RankLine, Score, Submission
from challenge.rules.lifecycle import RUN_OPEN, RunState
from challenge.selectors import disqualifications

OPEN = [state.value for state in RUN_OPEN]
GROUPS_SHOWN = 50
PAIRS_SHOWN = 100


@dataclass(frozen=True)
class Pair:
    """Two submissions of different teams and the share of their pixels that are equal (0..1)."""

    first: Submission
    second: Submission
    equal_px: int
    share: float

    @property
    def both(self) -> tuple[Submission, Submission]:
        """The two, for a table's cells."""
        return (self.first, self.second)


@dataclass(frozen=True)
class NearTwins:
    """What a comparison found: pairs, most alike first, and what could not be compared."""

    pairs: list[Pair]
    unread: list[tuple[Submission, str]]


def best(phase: Phase, *, count: int) -> list[Submission]:
    """Return the submissions of the ``count`` best teams of a phase, best first (one query)."""
    lines = RankLine.objects.filter(phase=phase, rank__isnull=False)
    rows = lines.select_related("submission__entry").order_by("rank", "pk")[:count]
    return [line.submission for line in rows]


def open_comparison(phase: Phase) -> PixelComparison | None:
    """Return the phase's comparison that has not ended (one query)."""
    rows = PixelComparison.objects.filter(phase=phase, state__in=OPEN)
    return rows.select_related("phase__challenge", "created_by").first()


def last_comparison(phase: Phase) -> PixelComparison | None:
    """Return the phase's last comparison that has a result or failed (one query)."""
    ended = [RunState.SUCCEEDED.value, RunState.FAILED.value]
    rows = PixelComparison.objects.filter(phase=phase, state__in=ended)
    return rows.select_related("phase__challenge", "created_by").first()


def near_twins(comparison: PixelComparison) -> NearTwins:
    """Return a comparison's pairs, most alike first, without submissions that are gone.

    One query.
    """
    found: dict[str, Any] = comparison.result
    known = _submissions(comparison.submissions)
    pairs = [
        Pair(known[a], known[b], equal, equal / found["pixels"] if found["pixels"] else 0.0)
        for a, b, equal in found.get("pairs", [])
        if a in known and b in known
    ]
    return NearTwins(
        sorted(pairs, key=lambda pair: -pair.equal_px),
        [(known[pk], code) for pk, code in found.get("unread", []) if pk in known],
    )


def exact_twins(phase: Phase) -> list[list[Submission]]:
    """Return groups of submissions with the very same pixels, of two teams or more.

    Two queries; ``GROUPS_SHOWN`` groups at most.
    """
    scores = Score.objects.filter(
        evaluation__submission__entry__phase=phase, evaluation__submission__is_baseline=False
    ).exclude(content_digest="")
    digests = (
        scores.values("content_digest")
        .annotate(teams=Count("evaluation__submission__entry__team", distinct=True))
        .filter(teams__gt=1)
        .order_by("content_digest")
        .values_list("content_digest", flat=True)[:GROUPS_SHOWN]
    )
    groups: dict[str, dict[Any, Submission]] = {}
    rows = scores.filter(content_digest__in=list(digests)).select_related(
        "evaluation__submission__entry__team"
    )
    for score in rows.defer("card").order_by("evaluation__submission__created_at"):
        submission = score.evaluation.submission
        groups.setdefault(score.content_digest, {})[submission.pk] = submission
    return [list(group.values()) for group in groups.values()]


def disqualified_teams(phase: Phase) -> set[int]:
    """Return the teams of the phase's challenge that are disqualified (one query)."""
    rows = disqualifications.in_force().filter(team__challenge=phase.challenge_id)
    return set(rows.values_list("team_id", flat=True))


def _submissions(ids: list[str]) -> dict[str, Submission]:
    rows = Submission.objects.filter(pk__in=ids).select_related("entry__team")
    return {str(one.pk): one for one in rows}
