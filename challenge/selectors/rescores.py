"""Re-scores that have not ended, and what new submissions are scored under because of them."""

from __future__ import annotations

from django.db.models import Exists, OuterRef, Q, Subquery

from challenge.models import Evaluation, Phase, Rescore, Submission
from challenge.rules.lifecycle import OPEN_STATES, RESCORE_ENDED, State

ENDED = [state.value for state in RESCORE_ENDED]
OPEN = [state.value for state in OPEN_STATES]
# Earlier re-scores that the desk lists.
SHOWN = 10


def open_of(phase: Phase) -> Rescore | None:
    """Return a phase's re-score that has not ended (one query)."""
    rows = Rescore.objects.filter(phase=phase).exclude(state__in=ENDED)
    return rows.select_related(
        "phase__challenge", "ground_truth", "task_spec", "created_by"
    ).first()


def ended_of(phase: Phase) -> list[Rescore]:
    """Return a phase's last re-scores that ended, the newest first (one query)."""
    rows = Rescore.objects.filter(phase=phase, state__in=ENDED).order_by("-pk")
    named = rows.select_related("ground_truth__challenge", "task_spec__challenge", "created_by")
    return list(named.defer("ground_truth__patches")[:SHOWN])


def failed_count(phase: Phase) -> int:
    """Return how many submissions with an archive failed under what counts now (one query)."""
    counting = Evaluation.objects.filter(
        submission=OuterRef("pk"), ground_truth=phase.ground_truth, task_spec=phase.task_spec
    )
    last = counting.order_by("-revision").values("state")[:1]
    kept = Submission.objects.filter(entry__phase=phase, archive_removed_at__isnull=True)
    return kept.annotate(last=Subquery(last)).filter(last=State.FAILED.value).count()


def progress(row: Rescore) -> tuple[int, int]:
    """Return how many evaluations under a re-score's labels and task have a verdict, of how many.

    One query.
    """
    states = Evaluation.objects.filter(
        submission__entry__phase=row.phase_id,
        ground_truth=row.ground_truth_id,
        task_spec=row.task_spec_id,
    ).values_list("state", flat=True)
    ended = sum(state not in OPEN for state in states)
    return ended, len(states)


def has_open_evaluations() -> Q:
    """Return the condition that a re-score's row has evaluations without a verdict."""
    waiting = Evaluation.objects.filter(
        submission__entry__phase=OuterRef("phase"),
        ground_truth=OuterRef("ground_truth"),
        task_spec=OuterRef("task_spec"),
        state__in=OPEN,
    )
    return Q(Exists(waiting), method=Rescore.Method.ARCHIVES.value)


def wanted_besides(evaluation: Evaluation, phase: Phase) -> list[tuple[int, int]]:
    """Return under which (labels, task) a scored live submission must be scored besides.

    Under those that count, should they have changed while it waited, and under those of a re-score
    from the archives that has not ended: without it the re-score would never have all of the board.
    At most three queries.
    """
    pending = Rescore.objects.filter(phase=phase, method=Rescore.Method.ARCHIVES.value)
    wanted = {(phase.ground_truth_id, phase.task_spec_id)}
    wanted |= set(pending.exclude(state__in=ENDED).values_list("ground_truth", "task_spec"))
    wanted.discard((evaluation.ground_truth_id, evaluation.task_spec_id))
    complete = {(truth, task) for truth, task in wanted if truth is not None and task is not None}
    if not complete:
        return []
    submission = Submission.objects.filter(
        pk=evaluation.submission_id, archive_removed_at__isnull=True
    )
    known = set(
        Evaluation.objects.filter(submission=evaluation.submission_id).values_list(
            "ground_truth", "task_spec"
        )
    )
    return sorted(complete - known) if submission.exists() else []
