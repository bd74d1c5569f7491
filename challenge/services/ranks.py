"""A phase's ranks: recomputed whole whenever a score arrives or leaves, stored, read by pages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

import numpy as np
from django.db import transaction
from django.db.models import Count, F
from django.utils import timezone

from challenge.models import Phase, RankLine, Score, Team
from challenge.rules import ranking
from challenge.rules.lifecycle import State
from challenge.rules.ranking import Candidate
from challenge.rules.windows import Window, place
from scoring.engine import bootstrap
from scoring.engine import spec as specs

Leads = Mapping[tuple[int, int], float]

# Neighbours are told apart at the level of the intervals.
CONFIDENCE = 0.95
# Pairs compared afresh in one recomputation; the others keep to the overlap of their intervals
# until a later one. A new score makes two new pairs.
NEW_PAIRS_AT_ONCE = 24
RESAMPLES = 4_000
UNDECIDED = 0.5
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


def recompute(*, phase: Phase, compare: bool = False, now: datetime | None = None) -> bool:
    """Write the phase's rank lines anew; returns whether anything changed.

    ``ranks_version`` grows with each change (pages' ETag), ``ranked_at`` each time. Six queries
    whatever the number of teams. ``compare`` (on a worker) also compares neighbours that never
    were, before the lock is taken; until then they are told apart by their intervals.
    """
    now = now or timezone.now()
    leads = _new_leads(phase) if compare else {}
    with transaction.atomic():
        phase = Phase.objects.select_for_update(of=("self",)).get(pk=phase.pk)
        old = list(RankLine.objects.filter(phase=phase).order_by("-miou", "pk"))
        new = lines_of(phase, standings(phase), leads={**_known_leads(old), **leads}, now=now)
        changed = [_key(line) for line in old] != [_key(line) for line in new]
        if changed:
            RankLine.objects.filter(phase=phase).delete()
            RankLine.objects.bulk_create(new)
            Phase.objects.filter(pk=phase.pk).update(ranks_version=F("ranks_version") + 1)
        Phase.objects.filter(pk=phase.pk).update(ranked_at=now)
    return changed


def mark_renamed(*, team: Team) -> None:
    """Have the boards that show a team printed anew: its name or affiliation changed."""
    phases = Phase.objects.filter(rank_lines__entry__team=team).order_by("pk").distinct()
    for pk in phases.values_list("pk", flat=True):
        Phase.objects.filter(pk=pk).update(ranks_version=F("ranks_version") + 1)


def lines_of(
    phase: Phase, found: Sequence[Standing], *, leads: Leads, now: datetime
) -> list[RankLine]:
    """Return the phase's lines, best first, unsaved: ranked teams and unranked baselines.

    ``leads`` are the comparisons known so far.
    """
    by_submission = {standing.submission_id: standing for standing in found}
    teams = [standing for standing in found if not standing.is_baseline]
    ranked = _ranked(phase, teams, now=now)
    ranks = ranking.competition_ranks([standing.miou for standing in ranked])
    known: list[float | None] = [
        leads.get((above.score_id, below.score_id)) for above, below in pairwise(ranked)
    ]
    known += [None] * bool(ranked)
    groups = ranking.groups(
        list(range(len(ranked))),
        differ=lambda above, below: _differ(ranked[above], ranked[below], known[above]),
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
        for standing, rank, group, lead in zip(ranked, ranks, groups, known, strict=True)
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
    """Return the phases whose ranks the sweep recomputes.

    Scores newer than the ranks, a close since, neighbours never compared, another truth or task.
    """
    dirty: list[Phase] = []
    uncompared = set(
        RankLine.objects.filter(rank__isnull=False, lead_probability__isnull=True)
        .order_by()
        .values_list("phase", flat=True)
        .annotate(lines=Count("pk"))
        .filter(lines__gt=1)
    )
    foreign = set(
        RankLine.objects.exclude(
            score__evaluation__task_spec=F("phase__task_spec"),
            score__evaluation__ground_truth=F("phase__ground_truth"),
        )
        .order_by()
        .values_list("phase", flat=True)
        .distinct()
    )
    for phase in Phase.objects.filter(ground_truth__isnull=False):
        since = phase.ranked_at
        scores = Score.objects.filter(evaluation__submission__entry__phase=phase)
        if since is None:
            if scores.exists():
                dirty.append(phase)
            continue
        closed_since = phase.closes_at is not None and since < phase.closes_at <= now
        late = scores.filter(created_at__gt=since - LATE_COMMIT).exists()
        if closed_since or late or phase.pk in uncompared | foreign:
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


def _ranked(phase: Phase, teams: Sequence[Standing], *, now: datetime) -> list[Standing]:
    closed = place(now, opens_at=phase.opens_at, closes_at=phase.closes_at) is Window.CLOSED
    by_submission = {standing.submission_id: standing for standing in teams}
    best = ranking.best_per_entry(
        [_candidate(standing, standing.entry_id) for standing in teams],
        chosen_only=closed and phase.finals_limit is not None,
    )
    return [by_submission[candidate.submission] for candidate in best]  # type: ignore[index]


def _known_leads(lines: Sequence[RankLine]) -> Leads:
    return {
        (above.score_id, below.score_id): above.lead_probability
        for above, below in pairwise([line for line in lines if line.rank is not None])
        if above.lead_probability is not None
    }


def _new_leads(phase: Phase) -> Leads:
    """Compare neighbours that were never compared, by paired bootstrap over zones."""
    phase = Phase.objects.select_related("task_spec").get(pk=phase.pk)
    if phase.task_spec is None:
        return {}
    known = _known_leads(list(RankLine.objects.filter(phase=phase).order_by("-miou", "pk")))
    teams = [standing for standing in standings(phase) if not standing.is_baseline]
    ranked = _ranked(phase, teams, now=timezone.now())
    pairs = [
        pair
        for pair in ((a.score_id, b.score_id) for a, b in pairwise(ranked))
        if pair not in known
    ][:NEW_PAIRS_AT_ONCE]
    wanted = {score for pair in pairs for score in pair}
    zones = dict(Score.objects.filter(pk__in=wanted).values_list("pk", "card__zones"))
    spec = specs.from_json(phase.task_spec.data) if pairs else None
    return {(a, b): _lead(zones.get(a), zones.get(b), spec=spec) for a, b in pairs}


def _lead(a: Any, b: Any, *, spec: specs.TaskSpec | None) -> float:
    """Return the probability that A is truly better than B; one half where nothing can be said."""
    if spec is None or not a or not b or a.keys() != b.keys():
        return UNDECIDED
    matrices = [
        np.array([zones[name]["confusion"] for name in a], dtype=np.int64) for zones in (a, b)
    ]
    found = bootstrap.compare(matrices[0], matrices[1], spec=spec, resamples=RESAMPLES)
    better = found.miou.probability_a_better
    return UNDECIDED if better is None else better


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
