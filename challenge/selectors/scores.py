"""Which scores count in a phase: the one query of ranks, curves, receipts and re-scores."""

from __future__ import annotations

from typing import Any

from django.db.models import Exists, F, OuterRef, Q, QuerySet

from challenge.models import Phase, Score
from challenge.rules.lifecycle import State
from challenge.selectors import disqualifications
from scoring.engine.truth.split import CountedZones

# Of a phase's rank lines: best first, equals by the time of submission.
RANK_ORDER = ("-miou", "submission__created_at", "entry_id", "submission_id")


def current(phase: Phase) -> QuerySet[Score]:
    """Return the scores under a phase's present ground truth and task, in order of revision.

    Of several of one submission the last one counts. Disqualified submissions are among them. They
    count the zones that the phase's scores count now: the public ones until the reveal.
    """
    return _current(phase.pk, phase.ground_truth_id, phase.task_spec_id, phase.counted_zones)


def counting(phase: Phase) -> QuerySet[Score]:
    """Return the current scores that may stand on the leaderboard, in order of revision.

    Those of disqualified submissions and of disqualified teams do not count.
    """
    return _counting(current(phase))


def on_board(phase: Phase) -> QuerySet[Score]:
    """Return the scores that count, of what was submitted until the moment of a freeze.

    The time of submission decides, not that of scoring: a full queue changes nothing.
    """
    return _before_freeze(counting(phase))


def last_on_board(phase: Phase) -> QuerySet[Score]:
    """Return, of :func:`on_board`, the last score of each submission."""
    later = Score.objects.filter(
        counted_zones=phase.counted_zones,
        evaluation__state=State.SCORED.value,
        evaluation__ground_truth=phase.ground_truth_id,
        evaluation__task_spec=phase.task_spec_id,
        evaluation__submission=OuterRef("evaluation__submission"),
        evaluation__revision__gt=OuterRef("evaluation__revision"),
    )
    return on_board(phase).filter(~Exists(later))


def public_on_board(phase: Phase) -> QuerySet[Score]:
    """Return what `on_board` returned before the reveal: the scores on the public zones."""
    public = CountedZones.PUBLIC.value
    return _before_freeze(
        _counting(_current(phase.pk, phase.ground_truth_id, phase.task_spec_id, public))
    )


def lack_full_values(phase: Phase) -> bool:
    """Say whether a submission's last score that counts has a rounded mIoU alone (one query).

    So it is after the import of an export that was made while values were rounded.
    """
    rows = counting(phase).values_list("evaluation__submission_id", "miou", "rounded_miou")
    last = {submission: (miou, rounded) for submission, miou, rounded in rows}
    return any(miou is None and rounded is not None for miou, rounded in last.values())


def on_board_in(phase: str) -> QuerySet[Score]:
    """Return `on_board` for the phase that an outer query's row names, for a subquery."""
    counting_there = _counting(
        _current(
            OuterRef(phase),
            OuterRef(f"{phase}__ground_truth"),
            OuterRef(f"{phase}__task_spec"),
            OuterRef(f"{phase}__counted_zones"),
        )
    )
    return _before_freeze(counting_there)


def _current(phase: Any, ground_truth: Any, task_spec: Any, counted_zones: Any) -> QuerySet[Score]:
    return Score.objects.filter(
        counted_zones=counted_zones,
        evaluation__state=State.SCORED.value,
        evaluation__ground_truth=ground_truth,
        evaluation__task_spec=task_spec,
        evaluation__submission__entry__phase=phase,
    ).order_by("evaluation__revision")


def _before_freeze(scores: QuerySet[Score]) -> QuerySet[Score]:
    frozen_at = F("evaluation__submission__entry__phase__frozen_at")
    return scores.filter(
        Q(evaluation__submission__entry__phase__frozen_at__isnull=True)
        | Q(evaluation__submission__created_at__lte=frozen_at)
    )


def _counting(scores: QuerySet[Score]) -> QuerySet[Score]:
    submission = "evaluation__submission"
    of_team = disqualifications.in_force().filter(team=OuterRef(f"{submission}__entry__team"))
    return scores.filter(~Exists(of_team), **{f"{submission}__disqualified_at__isnull": True})
