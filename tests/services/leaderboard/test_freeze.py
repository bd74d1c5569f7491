"""A frozen leaderboard shows what was submitted until a moment, whenever that was scored."""

from __future__ import annotations

from datetime import timedelta
from threading import Barrier

import pytest
from django.test import Client
from django.utils import timezone

from challenge.models import Phase, RankLine, Submission, Team
from challenge.rules.disclosure import Viewer
from challenge.selectors import leaderboard, phase_disclosure, progress, team_pages
from challenge.selectors import submissions as selector
from challenge.services.leaderboard import ranks
from challenge.services.submissions import evaluations
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

FREEZE = NOON + timedelta(hours=1)
AFTER = FREEZE + timedelta(hours=1)


@pytest.fixture
def scored(phase: Phase, team: Team) -> tuple[Submission, Submission]:
    """One submission before the freeze, scored after it, and a better one after it."""
    early, late = submit(team, phase), submit(team, phase, at=AFTER)
    Phase.objects.update(frozen_at=FREEZE)
    give_score(early, miou=0.4, at=AFTER + timedelta(minutes=1))
    give_score(late, miou=0.7, at=AFTER + timedelta(minutes=2))
    return early, late


def test_the_time_of_submission_decides_for_readers_and_organisers(
    phase: Phase, scored: tuple[Submission, Submission]
) -> None:
    phase.refresh_from_db()
    early, _late = scored
    assert RankLine.objects.get().submission_id == early.pk
    for person in (None, make_organiser(phase.challenge)):
        [row] = leaderboard.of_phase(phase, user=person, now=AFTER).rows
        assert (row.submission_id, row.submission_count) == (early.pk, 1)
        assert len(progress.of_phase(phase, user=person, now=AFTER)) == 1
    assert [
        step.number for step in team_pages.progress(early.entry.team, phase=phase, now=AFTER)
    ] == [1]


def test_a_freeze_that_is_to_come_is_announced_and_hides_nothing(phase: Phase, team: Team) -> None:
    give_score(submit(team, phase), miou=0.4)
    coming, later = timezone.now() + timedelta(days=1), timezone.now() + timedelta(days=30)
    Phase.objects.update(frozen_at=coming, closes_at=later, freeze_hides_own=True)
    ranks.recompute(phase=phase)
    address = "/challenges/abc/test/leaderboard/"
    before = Client().get(address)
    page = before.content.decode()
    assert "The leaderboard freezes on" in page
    assert "Frozen." not in page
    assert RankLine.objects.count() == 1
    desk = Client()
    desk.force_login(make_organiser(phase.challenge))
    assert "freezes later" in desk.get("/challenges/abc/desk/phases/").content.decode()
    Phase.objects.update(frozen_at=timezone.now() - timedelta(hours=1))
    after = Client().get(address, headers={"if-none-match": before["ETag"]})
    assert "Frozen." in after.content.decode()
    phase.refresh_from_db()
    assert not phase_disclosure.freezes_later(phase, now=phase.frozen_at)


@pytest.mark.parametrize("hides_own", [False, True])
def test_teams_see_their_own_scores_unless_the_phase_says_otherwise(
    phase: Phase, scored: tuple[Submission, Submission], hides_own: bool
) -> None:
    Phase.objects.update(freeze_hides_own=hides_own)
    captain = captain_of(scored[0].entry.team)
    shown = [selector.detail(one.pk, user=captain) for one in scored]
    assert [detail.card is None for detail in shown] == [False, hides_own]
    assert [detail.score_hidden for detail in shown] == [False, hides_own]
    phase.refresh_from_db()
    steps = team_pages.progress(scored[0].entry.team, phase=phase, user=captain, now=AFTER)
    assert len(steps) == (1 if hides_own else 2)
    organiser = make_organiser(phase.challenge)
    assert selector.detail(scored[1].pk, user=organiser).card is not None


def test_lifting_the_freeze_shows_everything(
    phase: Phase, scored: tuple[Submission, Submission]
) -> None:
    Phase.objects.update(frozen_at=None)
    ranks.recompute(phase=phase, now=AFTER + timedelta(hours=1))
    assert RankLine.objects.get().submission_id == scored[1].pk


def test_each_team_sees_its_own_line_alone(phase: Phase, team: Team) -> None:
    rival = make_team(phase.challenge)
    give_score(submit(team, phase), miou=0.4)
    give_score(submit(rival, phase), miou=0.7)
    Phase.objects.update(visibility="own-team")
    fresh = Phase.objects.select_related("challenge", "task_spec").get()
    member = captain_of(team)
    board = leaderboard.of_phase(fresh, user=member, now=NOON)
    assert (board.visible, board.rows) == (False, [])
    own = leaderboard.own_row(fresh, user=member, now=NOON)
    assert own is not None
    assert (own.team_id, own.rank) == (team.pk, None)
    assert leaderboard.own_row(fresh, user=None, now=NOON) is None
    for viewer, seen in ((Viewer.READER, False), (Viewer.OWNER, True)):
        assert phase_disclosure.score_visible(fresh, viewer=viewer, now=NOON) is seen
    organiser = make_organiser(phase.challenge)
    assert len(leaderboard.of_phase(fresh, user=organiser, now=NOON).rows) == 2


@pytest.mark.django_db(transaction=True)
def test_freezing_while_verdicts_arrive_shows_none_of_the_later_ones() -> None:
    phase = make_phase(make_challenge())
    late = [make_team(phase.challenge) for _ in range(6)]
    give_score(submit(make_team(phase.challenge), phase), miou=0.3)
    for team in late:
        submit(team, phase, at=AFTER)
    barrier = Barrier(len(late) + 1)
    todo = [*(["score"] * len(late)), "freeze"]

    def work() -> None:
        what = todo.pop()
        barrier.wait(30)
        if what == "freeze":
            Phase.objects.filter(pk=phase.pk).update(frozen_at=FREEZE)
            ranks.recompute(phase=phase, now=AFTER + timedelta(minutes=5))
            return
        claim = evaluations.claim(worker="w", now=AFTER)
        assert claim is not None
        evaluations.complete_scored(
            claim.evaluation_id, attempt=claim.attempt, card=make_card(0.8), now=AFTER
        )

    run_in_threads(work, count=len(late) + 1)
    [line] = RankLine.objects.filter(phase=phase)
    assert line.miou < 0.5
