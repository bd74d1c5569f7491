"""A phase's ranks: recomputed whole whenever a score arrives or leaves, stored, read by pages."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from challenge.models import Phase, RankLine, Score
from challenge.rules import ranking
from challenge.rules.lifecycle import State
from challenge.rules.ranking import Candidate
from challenge.rules.windows import Window, place

log = logging.getLogger(__name__)

# Neighbours are told apart at the level of the intervals.
CONFIDENCE = 0.95
# Pairs compared afresh in one recomputation; the others keep to the overlap of their intervals
# until a later one. A new score makes two new pairs.
NEW_PAIRS_AT_ONCE = 24
# A score may be committed a little after the moment it is dated with.
LATE_COMMIT = timedelta(minutes=2)


@dataclass(frozen=True)
class Standing:
    """A scored submission as ranks see it, in full precision."""

    entry_id: int
    submission_id: UUID
    score_id: int
    miou: float
    interval: tuple[float | None, float | None]
    created_at: datetime
    is_final: bool
    is_baseline: bool
    method_name: str


def standings(phase: Phase) -> list[Standing]:
    """Return the latest scored evaluation of each submission that may stand on the board.

    Only scores under the phase's present truth and task count; disqualified submissions and
    scores without an mIoU do not. One query.
    """
    rows = (
        Score.objects.filter(
            evaluation__state=State.SCORED.value,
            evaluation__ground_truth=phase.ground_truth_id,
            evaluation__task_spec=phase.task_spec_id,
            evaluation__submission__entry__phase=phase,
            evaluation__submission__disqualified_at__isnull=True,
        )
        .order_by("evaluation__revision")
        .values_list(
            "evaluation__submission__entry_id",
            "evaluation__submission_id",
            "pk",
            "miou",
            "miou_low",
            "miou_high",
            "evaluation__submission__created_at",
            "evaluation__submission__is_final",
            "evaluation__submission__is_baseline",
            "evaluation__submission__method_name",
        )
    )
    latest: dict[UUID, Standing | None] = {}
    for entry, submission, score, miou, low, high, created, final, baseline, method in rows:
        latest[submission] = (
            None
            if miou is None
            else Standing(
                entry, submission, score, miou, (low, high), created, final, baseline, method
            )
        )
    return [standing for standing in latest.values() if standing is not None]


def recompute(*, phase: Phase, now: datetime | None = None) -> bool:
    """Write the phase's rank lines anew; returns whether anything changed.

    ``ranks_version`` grows with each change (pages' ETag), ``ranked_at`` each time. Six queries
    whatever the number of teams, and a few more for each pair of neighbours never compared before.
    """
    now = now or timezone.now()
    with transaction.atomic():
        phase = Phase.objects.select_for_update(of=("self",)).get(pk=phase.pk)
        old = list(RankLine.objects.filter(phase=phase).order_by("-miou", "pk"))
        new = lines_of(phase, standings(phase), old=old, now=now)
        changed = [_key(line) for line in old] != [_key(line) for line in new]
        if changed:
            RankLine.objects.filter(phase=phase).delete()
            RankLine.objects.bulk_create(new)
            Phase.objects.filter(pk=phase.pk).update(ranks_version=F("ranks_version") + 1)
        Phase.objects.filter(pk=phase.pk).update(ranked_at=now)
    return changed


def lines_of(
    phase: Phase, found: Sequence[Standing], *, old: Sequence[RankLine], now: datetime
) -> list[RankLine]:
    """Return the phase's lines, best first, unsaved: ranked teams and unranked baselines.

    ``old`` are the present lines, whose comparisons of neighbours are kept.
    """
    closed = place(now, opens_at=phase.opens_at, closes_at=phase.closes_at) is Window.CLOSED
    by_submission = {standing.submission_id: standing for standing in found}
    teams = [standing for standing in found if not standing.is_baseline]
    best = ranking.best_per_entry(
        [_candidate(standing, standing.entry_id) for standing in teams],
        chosen_only=closed and phase.finals_limit is not None,
    )
    ranked = [by_submission[candidate.submission] for candidate in best]  # type: ignore[index]
    ranks = ranking.competition_ranks([standing.miou for standing in ranked])
    leads = _leads(ranked, old=old)
    groups = ranking.groups(
        list(range(len(ranked))),
        differ=lambda above, below: _differ(ranked[above], ranked[below], leads[above]),
    )
    counts = Counter(standing.entry_id for standing in teams)
    lines = [
        RankLine(
            phase=phase,
            entry_id=standing.entry_id,
            submission_id=standing.submission_id,
            score_id=standing.score_id,
            rank=rank,
            group=group,
            lead_probability=lead,
            submission_count=counts[standing.entry_id],
            miou=standing.miou,
        )
        for standing, rank, group, lead in zip(ranked, ranks, groups, leads, strict=True)
    ]
    references = ranking.best_per_entry(
        [
            _candidate(standing, (standing.entry_id, standing.method_name))
            for standing in found
            if standing.is_baseline
        ],
        chosen_only=False,
    )
    for candidate in references:
        standing = by_submission[candidate.submission]  # type: ignore[index]
        lines.append(
            RankLine(
                phase=phase,
                entry_id=standing.entry_id,
                submission_id=standing.submission_id,
                score_id=standing.score_id,
                rank=None,
                submission_count=1,
                miou=standing.miou,
            )
        )
    return sorted(lines, key=lambda line: -line.miou)


def stale_phases(*, now: datetime) -> list[Phase]:
    """Return phases with scores newer than their ranks, or that closed since (for the sweep)."""
    dirty: list[Phase] = []
    for phase in Phase.objects.filter(ground_truth__isnull=False):
        since = phase.ranked_at
        scores = Score.objects.filter(evaluation__submission__entry__phase=phase)
        if since is None:
            if scores.exists():
                dirty.append(phase)
            continue
        closed_since = phase.closes_at is not None and since < phase.closes_at <= now
        if closed_since or scores.filter(created_at__gt=since - LATE_COMMIT).exists():
            dirty.append(phase)
    return dirty


def _candidate(standing: Standing, entry: object) -> Candidate:
    return Candidate(
        entry=entry,
        submission=standing.submission_id,
        miou=standing.miou,
        created_at=standing.created_at,
        chosen=standing.is_final,
    )


def _leads(ranked: Sequence[Standing], *, old: Sequence[RankLine]) -> list[float | None]:
    """Return for each line the probability that it is truly better than the next (None: last)."""
    lines = [line for line in old if line.rank is not None]
    known = {
        (above.score_id, below.score_id): above.lead_probability
        for above, below in pairwise(lines)
        if above.lead_probability is not None
    }
    pairs = [(above.score_id, below.score_id) for above, below in pairwise(ranked)]
    fresh = [pair for pair in pairs if pair not in known][:NEW_PAIRS_AT_ONCE]
    known.update(_compare(fresh))
    return [known.get(pair) for pair in pairs] + [None] * bool(ranked)


def _compare(pairs: Sequence[tuple[int, int]]) -> dict[tuple[int, int], float | None]:
    """Compare pairs of scores by paired bootstrap over zones."""
    return {}


def _differ(above: Standing, below: Standing, lead: float | None) -> bool:
    if lead is not None:
        return lead >= CONFIDENCE
    return not ranking.intervals_overlap(above.interval, below.interval)


def _key(line: RankLine) -> tuple[Any, ...]:
    return (
        line.entry_id,
        line.submission_id,
        line.score_id,
        line.rank,
        line.group,
        line.lead_probability,
        line.submission_count,
        line.miou,
    )


def by_entry(lines: Sequence[RankLine]) -> Mapping[int, RankLine]:
    """Return ranked lines by entry, to compare two boards."""
    return {line.entry_id: line for line in lines if line.rank is not None}
