from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from challenge.rules.ranking import (
    Candidate,
    best_per_entry,
    competition_ranks,
    groups,
    intervals_overlap,
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


def test_full_precision_decides() -> None:
    assert competition_ranks([0.50001, 0.5]) == [1, 2]


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


def test_chosen_ones_count_alone_where_the_phase_says_so() -> None:
    found = [candidate("a", 0.9), candidate("a", 0.4, chosen=True), candidate("b", 0.5)]
    assert [c.miou for c in best_per_entry(found, chosen_only=True)] == [0.5, 0.4]
    assert [c.miou for c in best_per_entry(found, chosen_only=False)] == [0.9, 0.5]


def test_groups_break_where_neighbours_differ() -> None:
    found = groups([0.9, 0.89, 0.7, 0.69], differ=lambda above, below: above - below > 0.05)
    assert found == [1, 1, 2, 2]
    assert groups([], differ=lambda _a, _b: True) == []


def test_an_unknown_interval_tells_nobody_apart() -> None:
    assert intervals_overlap((None, None), (0.1, 0.2))
    assert intervals_overlap((0.1, 0.2), (0.2, 0.3))
    assert not intervals_overlap((0.1, 0.2), (0.21, 0.3))
