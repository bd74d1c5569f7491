"""How ranks move, compared with ranking everybody anew at each moment."""

from __future__ import annotations

import random
from datetime import timedelta

from challenge.rules import rank_history, ranking
from challenge.rules.rank_history import RankStep, Rise
from tests.factories import NOON


def at(minute: int, team: int, value: float) -> Rise:
    return Rise(NOON + timedelta(minutes=minute), team, value)


def test_only_what_raises_a_teams_best_moves_ranks() -> None:
    scored = [at(0, 1, 0.5), at(1, 2, 0.6), at(2, 1, 0.4), at(3, 1, 0.6), at(4, 1, 0.7)]
    risen = rank_history.rises(scored)
    assert [one.value for one in risen] == [0.5, 0.6, 0.6, 0.7]
    steps = rank_history.steps_of(risen, teams=[1, 2, 3])
    ranks = {team: [step.rank for step in moved] for team, moved in steps.items()}
    assert ranks == {1: [1, 2, 1], 2: [1, 2]}  # equal values share a rank; team 3 has none


def test_submissions_of_one_moment_count_together() -> None:
    steps = rank_history.steps_of([at(0, 1, 0.5), at(0, 2, 0.6)], teams=[1])
    assert steps == {1: [RankStep(NOON, 2)]}


def test_every_step_is_the_rank_of_ranking_everybody_anew() -> None:
    luck = random.Random(3)
    scored = [at(minute, luck.randrange(12), luck.randrange(40) / 40) for minute in range(400)]
    risen = rank_history.rises(scored)
    steps = rank_history.steps_of(risen, teams=range(12))
    best: dict[int, float] = {}
    for one in risen:
        best[one.team] = one.value
        order = sorted(best, key=lambda team: -best[team])
        numbers = ranking.competition_ranks([best[team] for team in order])
        found = {
            team: [step.rank for step in moved if step.at <= one.at][-1]
            for team, moved in steps.items()
            if moved[0].at <= one.at
        }
        assert found == dict(zip(order, numbers, strict=True))
