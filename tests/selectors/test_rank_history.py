"""Ranks over time tell what the leaderboard told, and end where it stands."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext

from challenge.models import Phase, Submission, Team, User
from challenge.selectors import leaderboard, rank_history
from challenge.services.leaderboard import ranks
from challenge.services.teams import disqualifications
from tests.factories import (
    NOON,
    captain_of,
    give_score,
    make_organiser,
    make_phase,
    make_team,
    submit,
)

pytestmark = pytest.mark.django_db

TOLD = [("Alpha", 0.5), ("Beta", 0.6), ("Gamma", 0.4), ("Gamma", 0.7), ("Beta", 0.3)]


@pytest.fixture
def phase() -> Phase:
    made = make_phase()
    teams = {name: make_team(made.challenge, name) for name in ("Alpha", "Beta", "Gamma")}
    for minute, (name, miou) in enumerate(TOLD):
        give_score(submit(teams[name], made, at=NOON + timedelta(minutes=minute)), miou)
    made.refresh_from_db()
    return made


def moved(phase: Phase, user: User | None = None, top: int = 10) -> dict[str, list[int]]:
    phase.refresh_from_db()
    cache.clear()
    found = rank_history.of_phase(phase, user=user, top=top, now=NOON)
    board = leaderboard.of_phase(phase, user=user, now=NOON)
    ranked = {row.name: row.rank for row in board.teams}
    assert {one.name: one.steps[-1].rank for one in found} == {
        one.name: ranked[one.name] for one in found
    }
    return {one.name: [step.rank for step in one.steps] for one in found}


def test_ranks_move_with_each_rise(phase: Phase) -> None:
    assert moved(phase) == {"Gamma": [3, 1], "Beta": [1, 2], "Alpha": [1, 2, 3]}


def test_of_many_teams_the_first_are_shown_and_the_viewers_own(phase: Phase) -> None:
    alpha = Team.objects.get(name="Alpha")
    assert list(moved(phase, top=1)) == ["Gamma"]
    assert list(moved(phase, captain_of(alpha), top=1)) == ["Gamma", "Alpha"]
    one = rank_history.of_team(alpha.pk, phase=phase, now=NOON)
    assert one is not None
    assert [step.rank for step in one.steps] == [1, 2, 3]


@pytest.mark.parametrize("visibility", ["after-close", "own-team", "organisers"])
def test_where_the_leaderboard_is_hidden_no_rank_is_told(phase: Phase, visibility: str) -> None:
    Phase.objects.update(visibility=visibility)
    gamma = Team.objects.get(name="Gamma")
    assert moved(phase) == moved(phase, captain_of(gamma)) == {}
    assert rank_history.of_team(gamma.pk, phase=phase, user=captain_of(gamma), now=NOON) is None
    assert len(moved(phase, make_organiser(phase.challenge))) == 3


def test_what_came_after_a_freeze_moves_nothing(phase: Phase) -> None:
    Phase.objects.update(frozen_at=NOON + timedelta(minutes=2))
    ranks.recompute(phase=phase, now=NOON)
    assert moved(phase) == {"Beta": [1], "Alpha": [1, 2], "Gamma": [3]}


def test_the_disqualified_never_had_a_rank(phase: Phase) -> None:
    owner = make_organiser(phase.challenge)
    gamma = Team.objects.get(name="Gamma")
    disqualifications.disqualify(team=gamma, actor=owner, reason="Copied.", now=NOON)
    assert moved(phase) == {"Beta": [1], "Alpha": [1, 2]}


def test_one_disqualified_submission_is_not_counted(phase: Phase) -> None:
    best = Submission.objects.get(entry__team__name="Gamma", number=2)
    Submission.objects.filter(pk=best.pk).update(disqualified_at=NOON)
    ranks.recompute(phase=phase, now=NOON)
    assert moved(phase) == {"Beta": [1], "Alpha": [1, 2], "Gamma": [3]}


def test_ranks_are_those_of_rounded_values_while_labels_are_hidden() -> None:
    phase = make_phase()
    first, second = make_team(phase.challenge, "First"), make_team(phase.challenge, "Second")
    give_score(submit(first, phase), 0.5)
    give_score(submit(second, phase, at=NOON + timedelta(minutes=1)), 0.5 + 1e-9)
    assert set(moved(phase)["First"]) <= {1, 2}
    board = leaderboard.of_phase(phase, now=NOON)
    shown = {row.name: row.miou for row in board.teams}
    tied = shown["First"] == shown["Second"]
    assert moved(phase)["Second"] == [1]
    assert moved(phase)["First"] == ([1] if tied else [1, 2])


def test_a_chosen_submission_takes_its_rank_at_the_settlement(phase: Phase) -> None:
    Phase.objects.update(
        finals_limit=1, closes_at=NOON + timedelta(hours=1), settled_at=NOON + timedelta(hours=2)
    )
    Submission.objects.filter(entry__team__name="Gamma", number=1).update(is_final=True)
    phase.refresh_from_db()
    later = NOON + timedelta(hours=3)
    ranks.recompute(phase=phase, now=later)
    phase.refresh_from_db()
    found = rank_history.of_phase(phase, now=later)
    [gamma] = [one for one in found if one.name == "Gamma"]
    assert [step.rank for step in gamma.steps] == [3, 1, 3]
    assert gamma.steps[-1].at == phase.settled_at


def test_the_number_of_queries_does_not_grow_with_submissions(phase: Phase) -> None:
    counts = []
    for more in range(2):
        for number in range(3 * more):
            team = make_team(phase.challenge)
            give_score(submit(team, phase, at=NOON + timedelta(hours=number)), 0.2 + number / 10)
        phase = Phase.objects.select_related("challenge").get()
        cache.clear()
        with CaptureQueriesContext(connection) as queries:
            rank_history.of_phase(phase, now=NOON)
        with CaptureQueriesContext(connection) as again:
            rank_history.of_phase(phase, now=NOON)
        counts.append((len(queries), len(again)))
    assert counts == [(2, 1), (2, 1)]
