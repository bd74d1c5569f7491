"""A phase's ranks: recomputed whole whenever a score arrives or leaves, stored, read by pages.

They are made of the values that the leaderboard may show (:mod:`challenge.rules.ranking`): in the
disclosed step while labels are hidden, in full precision once the figures leave in full
(decision 305). ``Phase.ranks_step`` says in which; where the policy has become another one, the
sweep recomputes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

import numpy as np
from django.db import transaction
from django.db.models import Case, Count, F, Value, When, Window
from django.db.models.functions import RowNumber
from django.utils import timezone

from challenge.models import Phase, RankLine, Score, Submission, Team
from challenge.rules import ranking
from challenge.rules.disclosure import DisclosurePolicy, Viewer
from challenge.rules.ranking import Candidate
from challenge.selectors import disqualifications, phase_disclosure, roles, scores
from challenge.services.leaderboard import full_precision
from scoring.engine.metrics import jackknife
from scoring.engine.task import specification as specs
from scoring.engine.truth.split import CountedZones

C = TypeVar("C", bound=Candidate)
# (score above, score below) -> 1 - half of the p-value of the two being equal
LeadProbabilities = Mapping[tuple[int, int], float]

# The probability that a leaderboard tells even one pair of equal neighbours apart (decision 336).
ERROR_RATE = 0.05
# Pairs compared afresh in one recomputation; the others are not told apart until a later one. A
# new score makes two new pairs.
NEW_PAIRS_AT_ONCE = 24
UNDECIDED = 0.5


class Line(NamedTuple):
    """The values of a ``RankLine``: many are compared with those stored, few are written."""

    entry_id: int
    submission_id: UUID
    score_id: int
    miou: float
    submission_count: int
    rank: int | None = None
    group: int = 0
    lead_probability: float | None = None
    public_rank: int | None = None
    public_miou: float | None = None


@dataclass(frozen=True, kw_only=True)
class ScoredSubmission(Candidate):
    """A scored submission as ranks see it: values as the leaderboard may show them.

    ``entry`` is the entry's id; ``of_organiser``: a member of the team has or had a role in the
    challenge, so that it does not rank (decision 346). ``count`` is how many submissions of the
    entry count, baselines apart.
    """

    entry: int
    submission: UUID
    miou: float
    score_id: int
    is_baseline: bool
    of_organiser: bool
    method_name: str
    count: int


def policy_of(phase: Phase, *, now: datetime) -> DisclosurePolicy:
    """Return the policy under which the phase is ranked: that of the leaderboard's readers."""
    return phase_disclosure.policy_for(phase, viewer=Viewer.READER, now=now)


def deciding_submissions(phase: Phase, *, policy: DisclosurePolicy) -> list[ScoredSubmission]:
    """Return the scored submissions of which the leaderboard is made, each with its last score.

    Only scores that count (:func:`challenge.selectors.scores.counting`) and have an mIoU, of
    submissions until the moment of a freeze, if there is one; values under ``policy``. Of each
    team, and of each method of a baseline, the best submission that was chosen for the final
    ranking and the best of the others: no other can stand for it. After a reveal all, since the
    values on public zones decide which stands. Two queries, three after a reveal, whose rows are
    as many as the teams.
    """
    organisers = set(roles.entries_of_organisers(phase).values_list("pk", flat=True))
    public = public_mious(phase)
    submission, entry = "evaluation__submission", "evaluation__submission__entry_id"
    baseline = f"{submission}__is_baseline"
    method = Case(When(**{baseline: True}, then=F(f"{submission}__method_name")), default=Value(""))
    shown = scores.last_on_board(phase).annotate(
        shown=F("rounded_miou" if policy.rounded else "miou")
    )
    counted = shown.filter(shown__isnull=False).exclude(shown=float("nan"))
    placed = counted.annotate(
        count=Window(Count("pk"), partition_by=[F(entry), F(baseline)]),
        place=Window(
            RowNumber(),
            partition_by=[F(entry), F(baseline), method, F(f"{submission}__is_final")],
            order_by=[F("shown").desc(), f"{submission}__created_at", submission],
        ),
    )
    if phase.counted_zones != CountedZones.PRIVATE:
        placed = placed.filter(place=1)
    rows = placed.order_by().values_list(
        entry,
        f"{submission}_id",
        "shown",
        f"{submission}__created_at",
        f"{submission}__is_final",
        "pk",
        baseline,
        f"{submission}__method_name",
        "count",
    )
    return [
        ScoredSubmission(
            entry=of,
            submission=pk,
            miou=miou,
            created_at=created,
            chosen=chosen,
            public_miou=public.get(pk),
            score_id=score,
            is_baseline=is_baseline,
            of_organiser=of in organisers,
            method_name=method_name,
            count=count,
        )
        for of, pk, miou, created, chosen, score, is_baseline, method_name, count in rows
    ]


def of_teams(scored: Iterable[ScoredSubmission]) -> list[ScoredSubmission]:
    """Return the submissions that compete: neither baselines nor of organisers' teams."""
    return [one for one in scored if not (one.is_baseline or one.of_organiser)]


def public_mious(phase: Phase) -> dict[UUID, float | None]:
    """Return the mIoU on public zones by submission, after a reveal (one query), else nothing."""
    if phase.counted_zones != CountedZones.PRIVATE:
        return {}
    rows = Score.objects.filter(
        evaluation__submission__entry__phase=phase, counted_zones=CountedZones.PUBLIC.value
    ).order_by("evaluation__pk")
    return dict(rows.values_list("evaluation__submission_id", "miou"))


def final_order(phase: Phase, teams: Iterable[C], *, now: datetime) -> list[C]:
    """Return each entry's deciding submission as the phase ranks them, best first.

    The best one counts; once the phase is settled and lets teams choose, the best of those chosen.
    After a reveal the one that was best on public zones takes the place of the best.
    ``teams`` are submissions of teams, without baselines, and all of teams that rank or all of
    teams that do not.
    """
    return ranking.best_per_entry(
        teams,
        chosen_only=_choices_count(phase, now=now),
        by_public=phase.counted_zones == CountedZones.PRIVATE,
    )


def _choices_count(phase: Phase, *, now: datetime) -> bool:
    return phase.finals_limit is not None and phase_disclosure.is_settled(phase, now=now)


def recompute(*, phase: Phase, compare: bool = False, now: datetime | None = None) -> bool:
    """Write the phase's rank lines anew; returns whether anything changed.

    Also where the last rounded value that was imported without its full one has been scored again.
    ``ranks_version`` grows with each change (pages' ETag), ``ranked_at`` each time. Eight queries
    whatever the number of teams; of the lines only those that differ are written. ``compare`` (on
    a worker) also compares neighbours that never were, before the lock is taken; until then they
    are not told apart. While labels are hidden nothing is compared: whether two scores differ
    significantly tells more of them than the values that are shown.
    """
    now = now or timezone.now()
    leads = _new_leads(phase, now=now) if compare else {}
    with transaction.atomic():
        phase = Phase.objects.select_for_update(of=("self",)).get(pk=phase.pk)
        if phase.lacks_full_values and not scores.lack_full_values(phase):
            phase.lacks_full_values = False
            phase.save(update_fields=["lacks_full_values"])
        policy = policy_of(phase, now=now)
        old = _stored_lines(phase)
        leads = {**_known_leads(old), **leads} if not policy.rounded else {}
        new = lines_of(phase, deciding_submissions(phase, policy=policy), leads=leads, now=now)
        changed = _write(phase, old, new)
        if changed:
            Phase.objects.filter(pk=phase.pk).update(ranks_version=F("ranks_version") + 1)
        Phase.objects.filter(pk=phase.pk).update(ranked_at=now, ranks_step=policy.miou_step)
        if not policy.rounded:
            full_precision.record(phase, now=now)
    return changed


def _stored_lines(phase: Phase) -> dict[Line, int]:
    """Return the stored lines, best first, with their primary keys."""
    rows = RankLine.objects.filter(phase=phase).order_by(*scores.RANK_ORDER)
    return {Line(*values): pk for pk, *values in rows.values_list("pk", *Line._fields)}


def _write(phase: Phase, old: Mapping[Line, int], new: Sequence[Line]) -> bool:
    """Replace the lines that differ; says whether any does."""
    kept = set(new)
    outdated = [pk for line, pk in old.items() if line not in kept]
    if outdated:
        RankLine.objects.filter(pk__in=outdated).delete()
    added = [line for line in new if line not in old]
    RankLine.objects.bulk_create(RankLine(phase=phase, **line._asdict()) for line in added)
    return bool(outdated or added)


def invalidate_leaderboards(*, team: Team) -> None:
    """Have the leaderboards that show a team rendered anew: its name or affiliation changed."""
    phases = Phase.objects.filter(rank_lines__entry__team=team).order_by("pk").distinct()
    for pk in phases.values_list("pk", flat=True):
        Phase.objects.filter(pk=pk).update(ranks_version=F("ranks_version") + 1)


def recompute_stale(*, now: datetime | None = None) -> list[Phase]:
    """Recompute the ranks that are out of date (:func:`stale_phases`); returns their phases."""
    now = now or timezone.now()
    phases = stale_phases(now=now)
    for phase in phases:
        recompute(phase=phase, compare=True, now=now)
    return phases


def lines_of(
    phase: Phase,
    scored: Sequence[ScoredSubmission],
    *,
    leads: LeadProbabilities,
    now: datetime,
) -> list[Line]:
    """Return the phase's lines, best first: ranked teams, unranked ones, baselines.

    ``leads`` are the comparisons known so far.
    """
    teams = of_teams(scored)
    ranked = final_order(phase, teams, now=now)
    ranks = ranking.competition_ranks([submission.miou for submission in ranked])
    known: list[float | None] = [
        leads.get((above.score_id, below.score_id)) for above, below in pairwise(ranked)
    ]
    known += [None] * bool(ranked)
    differs = ranking.significant(
        [None if lead is None else 2 * (1 - lead) for lead in known[:-1]], error_rate=ERROR_RATE
    )
    groups = ranking.groups(list(range(len(ranked))), differ=lambda above, _below: differs[above])
    public = ranking.public_ranks(teams, chosen_only=_choices_count(phase, now=now))
    lines = [
        _line(
            submission,
            rank=rank,
            group=group,
            lead_probability=lead,
            public_rank=public.get(submission.entry),
        )
        for submission, rank, group, lead in zip(ranked, ranks, groups, known, strict=True)
    ]
    of_organisers = [one for one in scored if one.of_organiser and not one.is_baseline]
    lines += [_line(submission) for submission in final_order(phase, of_organisers, now=now)]
    baselines = ranking.best_per_entry(
        [submission for submission in scored if submission.is_baseline],
        key=lambda submission: (submission.entry, submission.method_name),
        chosen_only=False,
    )
    lines += [_line(submission)._replace(submission_count=1) for submission in baselines]
    return sorted(lines, key=lambda line: -line.miou)


def stale_phases(*, now: datetime) -> list[Phase]:
    """Return the phases whose ranks the sweep recomputes.

    Scores newer than the ranks, a settlement since, another step (figures leave in full since, or
    no longer do), neighbours never compared, another truth or task, lines of the disqualified.
    """
    stale: list[Phase] = []
    uncompared = set(
        RankLine.objects.filter(
            rank__isnull=False, lead_probability__isnull=True, phase__ranks_step__isnull=True
        )
        .order_by()
        .values_list("phase", flat=True)
        .annotate(lines=Count("pk"))
        .filter(lines__gt=1)
    )
    under_other_truth = set(
        RankLine.objects.exclude(
            score__evaluation__task_spec=F("phase__task_spec"),
            score__evaluation__ground_truth=F("phase__ground_truth"),
        )
        .order_by()
        .values_list("phase", flat=True)
        .distinct()
    )
    # Disqualified, and the process ended before it ranked anew.
    standing = disqualifications.standing(Submission.objects.all())
    not_standing = set(
        RankLine.objects.exclude(submission__in=standing)
        .order_by()
        .values_list("phase", flat=True)
        .distinct()
    )
    outdated = uncompared | under_other_truth | not_standing
    for phase in Phase.objects.filter(ground_truth__isnull=False):
        since = phase.ranked_at
        phase_scores = Score.objects.filter(evaluation__submission__entry__phase=phase)
        if since is None:
            if phase_scores.exists():
                stale.append(phase)
            continue
        settled_since = phase.settlement_recorded and phase.settled_at > since  # type: ignore[operator]
        other_step = policy_of(phase, now=now).miou_step != phase.ranks_step
        late = phase_scores.filter(created_at__gt=since - phase_disclosure.LATE_COMMIT).exists()
        if settled_since or other_step or late or phase.pk in outdated:
            stale.append(phase)
    return stale


def _line(submission: ScoredSubmission, **columns: Any) -> Line:
    return Line(
        entry_id=submission.entry,
        submission_id=submission.submission,
        score_id=submission.score_id,
        submission_count=submission.count,
        miou=submission.miou,
        public_miou=submission.public_miou,
        **columns,
    )


def _known_leads(lines: Iterable[Line]) -> LeadProbabilities:
    return {
        (above.score_id, below.score_id): above.lead_probability
        for above, below in pairwise([line for line in lines if line.rank is not None])
        if above.lead_probability is not None
    }


def _new_leads(phase: Phase, *, now: datetime) -> LeadProbabilities:
    """Compare neighbours that were never compared, by the jackknife over zones.

    Nothing while labels are hidden.
    """
    phase = Phase.objects.select_related("task_spec").get(pk=phase.pk)
    policy = policy_of(phase, now=now)
    if phase.task_spec is None or policy.rounded:
        return {}
    known = _known_leads(_stored_lines(phase))
    scored = deciding_submissions(phase, policy=policy)
    ranked = final_order(phase, of_teams(scored), now=now)
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
    """Return 1 - p / 2 for A the better one, p / 2 for B; one half where nothing can be said."""
    if spec is None or not a or not b or a.keys() != b.keys():
        return UNDECIDED
    matrices = [
        np.array([zones[name]["confusion"] for name in a], dtype=np.int64) for zones in (a, b)
    ]
    test = jackknife.difference_tests(matrices[0], matrices[1], spec=spec).miou
    if test is None:
        return UNDECIDED
    half = test.p_value / 2
    return 1 - half if sum(test.interval) > 0 else half
