from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from challenge.rules.ranking import (
    Candidate,
    best_per_entry,
    competition_ranks,
    groups,
    significant,
)

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


def candidate(
    entry: str, miou: float | None, *, minute: int = 0, chosen: bool = False
) -> Candidate:
    at = NOON + timedelta(minutes=minute)
    return Candidate(entry, f"{entry}{miou}{minute}", miou, at, chosen)


def test_equal_scores_share_a_rank_and_the_next_is_skipped() -> None:
    assert competition_ranks([0.7, 0.7, 0.6, 0.6, 0.6, 0.1]) == [1, 1, 3, 3, 3, 6]
    assert competition_ranks([]) == []


@pytest.mark.parametrize("values", [[0.1, 0.2], [0.5, float("nan")]])
def test_disorder_is_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="found"):
        competition_ranks(values)


@given(st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.4])))
def test_a_rank_is_one_more_than_the_number_that_are_better(values: list[float]) -> None:
    ordered = sorted(values, reverse=True)
    assert competition_ranks(ordered) == [1 + sum(v > x for v in values) for x in ordered]


def test_an_entry_stands_by_its_best_and_its_earliest_of_equals() -> None:
    found = best_per_entry(
        [
            candidate("a", 0.4),
            candidate("a", 0.6, minute=9),
            candidate("a", 0.6, minute=5),
            candidate("b", 0.5),
            candidate("c", None),
        ],
        chosen_only=False,
    )
    assert [(one.entry, one.miou, one.created_at.minute) for one in found] == [
        ("a", 0.6, 5),
        ("b", 0.5, 0),
    ]


STEP = 0.01
SCORES = st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 1), st.integers(0, 3)), max_size=30)


def shown(miou: float) -> float:
    """A value as it is shown: in steps."""
    return round(miou / STEP) * STEP


def ladder(mious: list[float]) -> int | None:
    """Return which of one team's scores, in the order of time, a Ladder shows at the end.

    Blum & Hardt 2015: a new score replaces the one that stands when it is better by a step.
    """
    best: int | None = None
    for position, miou in enumerate(mious):
        if best is None or shown(miou) - shown(mious[best]) > STEP / 2:
            best = position
    return best


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_a_teams_row_climbs_as_a_ladder(mious: list[float]) -> None:
    sent = [candidate("a", shown(miou), minute=n) for n, miou in enumerate(mious)]
    (found,) = best_per_entry(reversed(sent), chosen_only=False)
    assert found.created_at.minute == ladder(mious)


@given(SCORES, st.randoms())
def test_nothing_finer_than_what_is_shown_decides(
    sent: list[tuple[str, float, int]], random: Random
) -> None:
    """Scores moved within their steps, read in another order: the same rows and ranks."""

    def board(mious: list[float], *, order: list[int]) -> list[tuple[int, object, object]]:
        made = [
            replace(candidate(entry, shown(miou), minute=minute), submission=number)
            for number, ((entry, _miou, minute), miou) in enumerate(zip(sent, mious, strict=True))
        ]
        best = best_per_entry([made[position] for position in order], chosen_only=False)
        ranks = competition_ranks([one.miou or 0.0 for one in best])
        return [(rank, one.entry, one.submission) for rank, one in zip(ranks, best, strict=True)]

    mious = [miou for _entry, miou, _minute in sent]
    moved = [shown(miou) + random.uniform(-0.49, 0.49) * STEP for miou in mious]
    order = list(range(len(sent)))
    shuffled = random.sample(order, len(order))
    assert board(mious, order=order) == board(moved, order=shuffled)


def test_only_chosen_submissions_count_where_the_phase_says_so() -> None:
    found = [candidate("a", 0.9), candidate("a", 0.4, chosen=True), candidate("b", 0.5)]
    assert [c.miou for c in best_per_entry(found, chosen_only=True)] == [0.5, 0.4]
    assert [c.miou for c in best_per_entry(found, chosen_only=False)] == [0.9, 0.5]


def test_groups_break_where_neighbours_differ() -> None:
    found = groups([0.9, 0.89, 0.7, 0.69], differ=lambda above, below: above - below > 0.05)
    assert found == [1, 1, 2, 2]
    assert groups([], differ=lambda _a, _b: True) == []


def test_pairs_of_a_long_leaderboard_need_a_smaller_p_value() -> None:
    assert significant([0.03], error_rate=0.05) == [True]
    assert significant([0.03] * 10, error_rate=0.05) == [False] * 10
    assert significant([0.004, 0.0054, 0.9, 0.0064] + [0.5] * 6, error_rate=0.05) == (
        [True, True] + [False] * 8
    )


def test_a_pair_that_was_not_compared_is_not_told_apart_and_counts() -> None:
    assert significant([None, 0.03], error_rate=0.05) == [False, False]
    assert significant([None, 0.02], error_rate=0.05) == [False, True]
    assert significant([], error_rate=0.05) == []
