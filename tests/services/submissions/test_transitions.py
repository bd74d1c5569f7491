"""Every transition writes an event and settles the quota; no illegal one is made."""

from __future__ import annotations

from datetime import timedelta
from itertools import product

import pytest
from django.db import IntegrityError, transaction

from challenge.errors import Refusal
from challenge.models import Evaluation, Phase, Submission
from challenge.rules.lifecycle import State, may_move
from challenge.services.submissions import evaluations, quota, rescoring, retries, submissions
from tests.factories import (
    NOON,
    captain_of,
    make_card,
    make_phase,
    make_team,
    make_truth,
    make_user,
    submit,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def phase() -> Phase:
    return make_phase(daily_limit=2, total_limit=10)


@pytest.fixture
def submission(phase: Phase) -> Submission:
    return submit(make_team(phase.challenge), phase)


def moves(submission: Submission) -> list[tuple[str, str, str]]:
    return [
        (event.from_state, event.to_state, event.reason)
        for event in submission.evaluations.get().events.all()
    ]


def ledger(submission: Submission) -> list[tuple[str, str]]:
    return [(line.move, line.reason) for line in submission.quota_lines.all()]


def left(submission: Submission) -> int | None:
    entry = submission.entry
    return quota.view(team=entry.team, phase=entry.phase, now=NOON).left_today


def claim() -> evaluations.Claim:
    found = evaluations.claim(worker="w", now=NOON)
    assert found is not None
    return found


def bring_to(submission: Submission, state: State) -> Evaluation:
    """Walk a fresh submission to a state through the services alone."""
    evaluation = submission.evaluations.get()
    if state is State.QUEUED:
        return evaluation
    if state is State.CANCELLED:
        evaluations.cancel(submission=submission, actor=captain_of(submission.entry.team))
    else:
        taken = claim()
        if state is State.SCORED:
            evaluations.complete_scored(taken.evaluation_id, attempt=1, card=make_card(), now=NOON)
        elif state is State.REJECTED:
            evaluations.complete_rejected(
                taken.evaluation_id, attempt=1, problems=[{"code": "zip-empty", "message": "m"}]
            )
        elif state is State.FAILED:
            evaluations.mark_failed(taken.evaluation_id, attempt=1, code="scorer-timeout")
    evaluation.refresh_from_db()
    assert evaluation.state == state
    return evaluation


@pytest.mark.parametrize(
    ("old", "new"), [(o, n) for o, n in product(State, State) if not may_move(o, n)]
)
def test_every_illegal_transition_is_refused_and_changes_nothing(
    submission: Submission, old: State, new: State
) -> None:
    evaluation = bring_to(submission, old)
    events = evaluation.events.count()
    lines = submission.quota_lines.count()
    with pytest.raises(Refusal) as refused:
        evaluations.jobs.transition(evaluation, new, now=NOON)
    assert refused.value.code == "illegal-move"
    evaluation.refresh_from_db()
    assert evaluation.state == old
    assert evaluation.events.count() == events
    assert submission.quota_lines.count() == lines


def test_a_score_consumes_the_quota_unit(submission: Submission) -> None:
    bring_to(submission, State.SCORED)
    assert moves(submission) == [
        ("", "queued", ""),
        ("queued", "scoring", ""),
        ("scoring", "scored", ""),
    ]
    assert ledger(submission) == [("reserved", "submitted"), ("consumed", "scored")]
    assert left(submission) == 1


def test_a_rejection_refunds_the_quota_and_counts_as_invalid(submission: Submission) -> None:
    evaluation = bring_to(submission, State.REJECTED)
    assert evaluation.error_code == "zip-empty"
    assert evaluation.problems == [{"code": "zip-empty", "message": "m"}]
    assert ledger(submission)[-1] == ("refunded", "rejected")
    seen = quota.view(team=submission.entry.team, phase=submission.entry.phase, now=NOON)
    assert (seen.left_today, seen.used_total, seen.invalid_today) == (2, 0, 1)


def test_a_failed_scorer_fails_the_evaluation_and_refunds_the_quota(submission: Submission) -> None:
    evaluation = bring_to(submission, State.FAILED)
    assert (evaluation.error_code, evaluation.attempt) == ("scorer-timeout", 1)
    assert left(submission) == 2
    assert evaluations.claim(worker="w") is None


def test_cancelling_a_queued_submission_refunds_the_quota(submission: Submission) -> None:
    bring_to(submission, State.CANCELLED)
    assert ledger(submission)[-1] == ("refunded", "cancelled")
    assert left(submission) == 2


def test_what_runs_cannot_be_cancelled(submission: Submission) -> None:
    claim()
    with pytest.raises(Refusal, match="scoring"):
        submissions.cancel(submission=submission, actor=captain_of(submission.entry.team))


def test_another_person_cannot_cancel(submission: Submission) -> None:
    with pytest.raises(Refusal) as refused:
        submissions.cancel(submission=submission, actor=make_user())
    assert refused.value.code == "not-found"
    assert submission.evaluations.get().state == "queued"


def test_a_team_cannot_call_off_a_rescore(submission: Submission, phase: Phase) -> None:
    bring_to(submission, State.SCORED)
    organiser = make_user(is_superuser=True)
    [queued] = rescoring.enqueue(
        phase=phase,
        actor=organiser,
        force=True,
        confirmed=rescoring.plan(phase=phase, force=True).confirmation,
    )
    with pytest.raises(Refusal) as refused:
        submissions.cancel(submission=submission, actor=captain_of(submission.entry.team))
    assert refused.value.code == "illegal-move"
    queued.refresh_from_db()
    assert queued.state == "queued"
    submissions.cancel(submission=submission, actor=organiser)
    queued.refresh_from_db()
    assert queued.state == "cancelled"
    assert ledger(submission)[-1] == ("consumed", "scored")


def test_a_lost_worker_three_times_over_fails_and_refunds(submission: Submission) -> None:
    now = NOON
    for attempt in (1, 2, 3):
        taken = evaluations.claim(worker="w", now=now)
        assert taken is not None
        assert taken.attempt == attempt
        now += timedelta(hours=1)
        report = evaluations.sweep(now=now)
        assert bool(report.failed) == (attempt == 3)
    evaluation = submission.evaluations.get()
    assert (evaluation.state, evaluation.error_code) == ("failed", "worker-lost")
    assert ledger(submission) == [("reserved", "submitted"), ("refunded", "failed")]
    assert evaluations.claim(worker="w", now=now) is None


def test_an_organiser_queues_a_failed_one_again_with_fresh_attempts(
    submission: Submission,
) -> None:
    now = NOON
    for _ in range(3):
        evaluations.claim(worker="w", now=now)
        now += timedelta(hours=1)
        evaluations.sweep(now=now)
    evaluation = submission.evaluations.get()
    evaluations.requeue_failed(evaluation_id=evaluation.pk, actor=None, now=now)
    assert ledger(submission)[-1] == ("reserved", "requeued")
    taken = evaluations.claim(worker="w", now=now)
    assert taken is not None
    assert taken.attempt == 4
    now += timedelta(hours=1)
    assert evaluations.sweep(now=now).requeued == [evaluation.pk]
    taken = evaluations.claim(worker="w", now=now)
    assert taken is not None
    evaluations.complete_scored(evaluation.pk, attempt=5, card=make_card(), now=now)
    assert ledger(submission)[-1] == ("consumed", "scored")


def test_a_returned_claim_is_queued_again_and_cannot_be_returned_twice(
    submission: Submission,
) -> None:
    taken = claim()
    code = "worker-misconfigured"
    assert retries.return_to_queue(taken.evaluation_id, attempt=1, code=code, now=NOON)
    with pytest.raises(Refusal) as refused:
        retries.return_to_queue(taken.evaluation_id, attempt=1, code=code, now=NOON)
    assert refused.value.code == "late-worker"
    assert claim().attempt == 2


def test_a_rescore_under_new_labels_keeps_the_old_score_and_charges_nothing(
    submission: Submission, phase: Phase
) -> None:
    bring_to(submission, State.SCORED)
    new = make_truth(phase.challenge)
    organiser = make_user(is_superuser=True)
    [queued] = rescoring.enqueue(
        phase=phase,
        ground_truth=new,
        actor=organiser,
        confirmed=rescoring.plan(phase=phase, ground_truth=new).confirmation,
    )
    assert (queued.priority, queued.revision) == (1, 1)
    taken = claim()
    assert taken.truth_digest == new.digest
    evaluations.complete_scored(taken.evaluation_id, attempt=1, card=make_card(0.7), now=NOON)
    assert sorted(e.score.miou for e in submission.evaluations.all()) == [0.5, 0.7]
    assert ledger(submission) == [("reserved", "submitted"), ("consumed", "scored")]


def test_a_rescore_under_the_same_labels_is_only_by_force(
    submission: Submission, phase: Phase
) -> None:
    bring_to(submission, State.SCORED)
    organiser = make_user(is_superuser=True)
    with pytest.raises(Refusal) as refused:
        rescoring.enqueue(
            phase=phase, actor=organiser, confirmed=rescoring.plan(phase=phase).confirmation
        )
    assert refused.value.code == "nothing-to-rescore"
    [queued] = rescoring.enqueue(
        phase=phase,
        actor=organiser,
        force=True,
        confirmed=rescoring.plan(phase=phase, force=True).confirmation,
    )
    assert queued.revision == 2
    with pytest.raises(Refusal):
        rescoring.enqueue(
            phase=phase,
            actor=organiser,
            force=True,
            confirmed=rescoring.plan(phase=phase, force=True).confirmation,
        )


def test_the_database_refuses_what_no_service_does(submission: Submission) -> None:
    evaluation = submission.evaluations.get()
    for columns in (
        {"state": "sleeping"},
        {"state": "scoring"},
        {"lease_until": NOON},
        {"state": "scoring", "lease_until": NOON, "attempt": 0},
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            Evaluation.objects.filter(pk=evaluation.pk).update(**columns)
    with pytest.raises(IntegrityError), transaction.atomic():
        Evaluation.objects.create(
            submission=submission,
            ground_truth=evaluation.ground_truth,
            task_spec=evaluation.task_spec,
            queued_at=NOON,
        )
