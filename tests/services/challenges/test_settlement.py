"""Between the close and the settlement: verdicts are awaited, teams choose, figures wait."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from functools import partial
from threading import Barrier, Event, Thread

import pytest
from django.db import connection, connections, transaction

from challenge.errors import Refusal
from challenge.models import AuditEvent, Evaluation, Phase, RankLine, Submission, Team
from challenge.rules.disclosure import Viewer
from challenge.rules.roles import Role
from challenge.selectors import leaderboard, phase_disclosure
from challenge.services import maintenance
from challenge.services.challenges import settlement
from challenge.services.submissions import evaluations, submissions
from tests.factories import (
    NOON,
    captain_of,
    give_score,
    make_card,
    make_challenge,
    make_organiser,
    make_phase,
    make_team,
    submit,
)
from tests.helpers import run_in_threads

pytestmark = pytest.mark.django_db

CLOSE = NOON + timedelta(days=30)
GRACE = timedelta(hours=2)
LAST = CLOSE - timedelta(minutes=1)


@pytest.fixture
def phase() -> Phase:
    """A phase with two hours of grace whose board appears after the close."""
    return make_phase(grace_minutes=120, visibility="after-close", finals_limit=1)


@pytest.fixture
def team(phase: Phase) -> Team:
    return make_team(phase.challenge)


def test_what_is_queued_at_the_close_can_be_chosen_and_counts(phase: Phase, team: Team) -> None:
    give_score(submit(team, phase))
    late = submit(team, phase, at=LAST)
    submissions.choose_final(submission=late, actor=captain_of(team), chosen=True, now=CLOSE)
    give_score(late, miou=0.6, at=CLOSE + timedelta(minutes=5))
    maintenance.sweep(now=CLOSE + GRACE)
    assert not Phase.objects.get().settlement_recorded, "the grace runs from the last verdict"
    maintenance.sweep(now=CLOSE + GRACE + timedelta(minutes=5))
    assert Phase.objects.get().settled_at == CLOSE + GRACE + timedelta(minutes=5)
    assert RankLine.objects.get().submission_id == late.pk


def test_without_a_choice_the_last_verdict_settles(phase: Phase, team: Team) -> None:
    Phase.objects.update(finals_limit=None)
    late = submit(team, phase, at=LAST)
    maintenance.sweep(now=CLOSE)
    assert not Phase.objects.get().settlement_recorded
    give_score(late, miou=0.6, at=CLOSE + timedelta(minutes=5))
    maintenance.sweep(now=CLOSE + timedelta(minutes=5))
    assert Phase.objects.get().settled_at == CLOSE + timedelta(minutes=5)


def test_a_close_with_a_full_queue_publishes_nothing(phase: Phase, team: Team) -> None:
    give_score(submit(team, phase))
    waiting = submit(team, phase, at=LAST)
    phase.refresh_from_db()
    for moment in (CLOSE, CLOSE + GRACE, CLOSE + timedelta(days=9)):
        maintenance.sweep(now=moment)
        board = leaderboard.of_phase(Phase.objects.get(), now=moment)
        assert not board.visible
        assert board.rows == []
        assert phase_disclosure.policy_for(phase, viewer=Viewer.OWNER, now=moment).rounded
    evaluations.cancel(
        submission=waiting, actor=captain_of(team), now=CLOSE + timedelta(days=9, minutes=1)
    )
    submissions.choose_final(
        submission=Submission.objects.get(number=1),
        actor=captain_of(team),
        chosen=True,
        now=CLOSE + timedelta(days=9, minutes=2),
    )
    settled = CLOSE + timedelta(days=9, minutes=1) + GRACE
    maintenance.sweep(now=settled)
    board = leaderboard.of_phase(Phase.objects.get(), now=settled)
    assert board.visible
    assert [row.rank for row in board.rows] == [1]
    assert not board.policy.rounded


def test_choices_end_with_the_settlement_and_do_not_count_before(phase: Phase, team: Team) -> None:
    worse, better = submit(team, phase), submit(team, phase, at=NOON + timedelta(hours=1))
    give_score(worse, miou=0.4)
    give_score(better, miou=0.7)
    captain = captain_of(team)
    submissions.choose_final(submission=worse, actor=captain, chosen=True, now=CLOSE)
    maintenance.sweep(now=CLOSE + timedelta(minutes=1))
    assert RankLine.objects.get().submission_id == better.pk
    maintenance.sweep(now=CLOSE + GRACE)
    assert RankLine.objects.get().submission_id == worse.pk
    for chosen in (True, False):
        with pytest.raises(Refusal) as refusal:
            submissions.choose_final(
                submission=worse, actor=captain, chosen=chosen, now=CLOSE + GRACE
            )
        assert refusal.value.code == "finals-closed"


def test_a_chosen_one_that_came_to_nothing_takes_no_place(phase: Phase, team: Team) -> None:
    first, second = submit(team, phase), submit(team, phase, at=NOON + timedelta(minutes=1))
    captain = captain_of(team)
    submissions.choose_final(submission=first, actor=captain, chosen=True, now=NOON)
    with pytest.raises(Refusal) as refusal:
        submissions.choose_final(submission=second, actor=captain, chosen=True, now=NOON)
    assert refusal.value.code == "finals-limit"
    evaluations.cancel(submission=first, actor=captain)
    submissions.choose_final(submission=second, actor=captain, chosen=True, now=NOON)
    with pytest.raises(Refusal) as refusal:
        submissions.choose_final(submission=first, actor=captain, chosen=True, now=NOON)
    assert refusal.value.code == "finals-not-scored"


def test_an_owner_settles_by_hand_and_says_why(phase: Phase, team: Team) -> None:
    submit(team, phase, at=LAST)
    owner = make_organiser(phase.challenge)
    judge = make_organiser(phase.challenge, role=Role.JUDGE)
    for actor, reason, now, code in (
        (judge, "stuck", CLOSE, "role-missing"),
        (owner, " ", CLOSE, "reason-missing"),
        (owner, "stuck", LAST, "phase-not-closed"),
    ):
        with pytest.raises(Refusal) as refusal:
            settlement.settle(phase=phase, actor=actor, reason=reason, now=now)
        assert refusal.value.code == code
    settlement.settle(phase=phase, actor=owner, reason="its worker is gone", now=CLOSE)
    assert leaderboard.of_phase(Phase.objects.get(), now=CLOSE).visible
    event = AuditEvent.objects.get(action="phase.settle")
    assert (event.actor, event.data["reason"]) == (owner, "its worker is gone")
    with pytest.raises(Refusal) as refusal:
        settlement.settle(phase=phase, actor=owner, reason="again", now=CLOSE)
    assert refusal.value.code == "phase-settled"


def test_a_later_close_makes_a_settlement_void(phase: Phase) -> None:
    maintenance.sweep(now=CLOSE + GRACE)
    later = CLOSE + timedelta(days=3)
    Phase.objects.update(closes_at=later)
    phase.refresh_from_db()
    assert not phase_disclosure.is_settled(phase, now=later)
    assert settlement.settle_due(now=later + GRACE) == [phase]


@pytest.mark.django_db(transaction=True)
def test_a_submission_that_is_being_accepted_holds_the_settlement_back() -> None:
    """Its clock was read before the close; its transaction ends after a sweep began."""
    phase = make_phase(make_challenge())
    team = make_team(phase.challenge)
    holds, may_end = Event(), Event()

    def accept() -> None:
        try:
            with transaction.atomic():
                submit(team, phase, at=LAST)
                holds.set()
                assert may_end.wait(30)
        finally:
            connections.close_all()

    settled: list[list[Phase]] = []

    def sweep() -> None:
        try:
            settled.append(settlement.settle_due(now=CLOSE + timedelta(seconds=1)))
        finally:
            connections.close_all()

    accepting, sweeping = Thread(target=accept), Thread(target=sweep)
    accepting.start()
    assert holds.wait(30)
    sweeping.start()
    wait_for_a_blocked_query()
    may_end.set()
    accepting.join(30)
    sweeping.join(30)
    assert settled == [[]]
    assert Submission.objects.count() == 1
    assert not Phase.objects.get().settlement_recorded


@pytest.mark.django_db(transaction=True)
def test_nothing_is_accepted_after_the_settlement_though_its_clock_is_older() -> None:
    phase = make_phase(make_challenge())
    team = make_team(phase.challenge)
    settlement.settle_due(now=CLOSE)
    with pytest.raises(Refusal) as refusal:
        submit(team, phase, at=LAST)
    assert refusal.value.code == "phase-closed"


@pytest.mark.django_db(transaction=True)
def test_closing_and_claiming_at_once_settle_once_and_lose_nothing() -> None:
    """Claims, verdicts, choices and sweeps of a full queue, all at the close."""
    phase = make_phase(make_challenge(), finals_limit=1)
    teams = [make_team(phase.challenge) for _ in range(4)]
    for team in teams:
        give_score(submit(team, phase), miou=0.9)
    sent = [submit(team, phase, at=LAST) for team in teams]
    barrier = Barrier(12)

    def score(_n: int) -> None:
        barrier.wait(30)
        claim = evaluations.claim(worker="w", now=CLOSE)
        assert claim is not None
        evaluations.complete_scored(
            claim.evaluation_id, attempt=claim.attempt, card=make_card(0.5), now=CLOSE
        )

    def sweep(_n: int) -> None:
        barrier.wait(30)
        settlement.settle_due(now=CLOSE + timedelta(seconds=1))

    def choose(n: int) -> None:
        barrier.wait(30)
        with contextlib.suppress(Refusal):  # it came after the settlement
            submissions.choose_final(
                submission=sent[n], actor=captain_of(teams[n]), chosen=True, now=CLOSE
            )

    todo = [partial(act, n) for act in (score, sweep, choose) for n in range(4)]

    def do_one() -> None:
        todo.pop()()

    run_in_threads(do_one, count=len(todo))
    settlement.settle_due(now=CLOSE + timedelta(seconds=1))
    maintenance.sweep(now=CLOSE + timedelta(seconds=2))
    assert Evaluation.objects.filter(state="scored").count() == 8
    assert AuditEvent.objects.filter(action="phase.settle").count() == 1
    ranked = RankLine.objects.values_list("entry", "submission__number", "submission__is_final")
    last = Submission.objects.filter(number=2).values_list("entry", "number", "is_final")
    assert set(ranked) == {line if line[2] else (line[0], 1, False) for line in last}


def wait_for_a_blocked_query() -> None:
    """Return once another connection of this database waits for a lock."""
    blocked = Event()
    with connection.cursor() as cursor:
        for _ in range(600):
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND wait_event_type = 'Lock'"
            )
            if cursor.fetchone()[0]:
                return
            blocked.wait(0.05)
    raise AssertionError("nothing waits for a lock")
