"""Claims: fair, fenced by attempt, one at a time."""

from __future__ import annotations

from datetime import timedelta
from threading import Barrier

import pytest

from challenge.errors import Refusal
from challenge.models import Evaluation, EvaluationEvent, Phase, Score
from challenge.rules import fairness
from challenge.rules.fairness import Waiting
from challenge.services.submissions import evaluations
from challenge.services.submissions.evaluations import Claim
from tests.factories import NOON, make_card, make_challenge, make_phase, make_team, submit
from tests.helpers import run_in_threads

pytestmark = pytest.mark.django_db


def claim_all() -> list[Claim]:
    found = []
    while claim := evaluations.claim(worker="w", now=NOON):
        found.append(claim)
    return found


def test_an_empty_queue_gives_nothing() -> None:
    assert evaluations.claim(worker="w") is None


def test_a_claim_takes_attempt_lease_and_worker(phase: Phase) -> None:
    submission = submit(make_team(phase.challenge), phase)
    claim = evaluations.claim(worker="box:1", now=NOON)
    assert claim is not None
    evaluation = submission.evaluations.get()
    assert (claim.attempt, claim.submission_id) == (1, submission.pk)
    assert (evaluation.state, evaluation.attempt, evaluation.worker) == ("scoring", 1, "box:1")
    assert evaluation.lease_until is not None
    assert evaluation.lease_until > NOON
    assert claim.task == phase.task_spec.data
    assert claim.truth_store == phase.ground_truth.store_name


def test_the_sql_order_is_the_rules_order(phase: Phase) -> None:
    teams = [make_team(phase.challenge) for _ in range(3)]
    for minute, team in enumerate([0, 0, 0, 1, 1, 2, 0, 2]):
        submit(teams[team], phase, at=NOON + timedelta(minutes=minute))
    Evaluation.objects.filter(pk__in=Evaluation.objects.values("pk")[:2]).update(priority=1)
    first = evaluations.claim(worker="w", now=NOON)
    assert first is not None
    busy = Evaluation.objects.get(pk=first.evaluation_id).submission.entry.team_id
    queue = [
        Waiting(e.pk, e.submission.entry.team_id, e.priority, e.queued_at)
        for e in Evaluation.objects.filter(state="queued")
    ]
    expected = [w.id for w in fairness.order(queue, running={busy: 1})]
    assert [claim.evaluation_id for claim in claim_all()] == expected


def test_a_team_with_running_evaluations_waits_for_an_idle_team(phase: Phase) -> None:
    many, one = make_team(phase.challenge), make_team(phase.challenge)
    for minute in range(3):
        submit(many, phase, at=NOON + timedelta(minutes=minute))
    late = submit(one, phase, at=NOON + timedelta(hours=1))
    assert claim_all()[1].submission_id == late.pk


def test_each_is_scored_once_and_a_second_word_is_refused(phase: Phase) -> None:
    submit(make_team(phase.challenge), phase)
    claim = evaluations.claim(worker="w", now=NOON)
    assert claim is not None
    evaluations.complete_scored(claim.evaluation_id, attempt=1, card=make_card(), now=NOON)
    for again in (
        lambda: evaluations.complete_scored(claim.evaluation_id, attempt=1, card=make_card(0.9)),
        lambda: evaluations.complete_rejected(claim.evaluation_id, attempt=1, problems=[]),
        lambda: evaluations.mark_failed(claim.evaluation_id, attempt=1, code="scorer-killed"),
    ):
        with pytest.raises(Refusal) as refused:
            again()
        assert refused.value.code == "late-worker"
    assert Score.objects.count() == 1


def test_a_late_worker_is_refused_and_its_successor_scores(phase: Phase) -> None:
    submit(make_team(phase.challenge), phase)
    late = evaluations.claim(worker="late", now=NOON)
    assert late is not None
    later = NOON + timedelta(hours=1)
    evaluations.sweep(now=later)
    assert not evaluations.heartbeat(late.evaluation_id, attempt=late.attempt, now=later)
    heir = evaluations.claim(worker="heir", now=later)
    assert heir is not None
    assert heir.attempt == 2
    assert not evaluations.heartbeat(late.evaluation_id, attempt=late.attempt, now=later)
    assert evaluations.heartbeat(heir.evaluation_id, attempt=heir.attempt, now=later)
    with pytest.raises(Refusal, match="given up"):
        evaluations.complete_scored(late.evaluation_id, attempt=late.attempt, card=make_card(0.9))
    evaluations.complete_scored(heir.evaluation_id, attempt=heir.attempt, card=make_card(0.4))
    assert Score.objects.get().miou == 0.4


def test_a_heartbeat_renews_the_lease_and_writes_the_progress(phase: Phase) -> None:
    submit(make_team(phase.challenge), phase)
    claim = evaluations.claim(worker="w", now=NOON)
    assert claim is not None
    later = NOON + timedelta(seconds=50)
    assert evaluations.heartbeat(
        claim.evaluation_id,
        attempt=1,
        stage="scoring",
        patches_done=7,
        patches_total=40,
        now=later,
    )
    evaluation = Evaluation.objects.get()
    assert (evaluation.stage, evaluation.patches_done, evaluation.patches_total) == (
        "scoring",
        7,
        40,
    )
    assert evaluation.lease_until is not None
    assert evaluation.lease_until > later
    assert evaluations.sweep(now=later + timedelta(seconds=20)).requeued == []


@pytest.mark.django_db(transaction=True)
def test_racing_claims_never_share_an_evaluation() -> None:
    phase = make_phase(make_challenge())
    teams = [make_team(phase.challenge) for _ in range(4)]
    for minute in range(16):
        submit(teams[minute % 4], phase, at=NOON + timedelta(minutes=minute))
    barrier = Barrier(4)
    taken: list[tuple[int, int]] = []

    def work() -> None:
        barrier.wait(timeout=20)
        while claim := evaluations.claim(worker="w", now=NOON):
            taken.append((claim.evaluation_id, claim.attempt))

    run_in_threads(work, count=4)
    assert len(taken) == 16
    assert len(set(taken)) == 16
    assert {attempt for _, attempt in taken} == {1}
    assert EvaluationEvent.objects.filter(to_state="scoring").count() == 16


@pytest.mark.django_db(transaction=True)
def test_two_racing_claims_of_one_evaluation_give_one_score() -> None:
    phase = make_phase(make_challenge())
    submit(make_team(phase.challenge), phase)
    barrier = Barrier(2)
    got: list[Claim | None] = []

    def work() -> None:
        barrier.wait(timeout=20)
        claim = evaluations.claim(worker="w", now=NOON)
        got.append(claim)
        if claim:
            evaluations.complete_scored(
                claim.evaluation_id, attempt=claim.attempt, card=make_card(), now=NOON
            )

    run_in_threads(work, count=2)
    assert sorted(claim is None for claim in got) == [False, True]
    assert Score.objects.count() == 1
