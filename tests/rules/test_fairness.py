from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from challenge.rules.fairness import Waiting, order, turn_key

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


def waiting(number: int, team: str, *, priority: int = 0) -> Waiting:
    return Waiting(number, team, priority, NOON + timedelta(seconds=number))


def test_a_team_that_sent_many_waits_behind_a_team_that_sent_one() -> None:
    queue = [waiting(1, "a"), waiting(2, "a"), waiting(3, "a"), waiting(4, "b")]
    assert [w.id for w in order(queue, running={})] == [1, 4, 2, 3]


def test_live_goes_before_rescores_of_teams_equally_busy() -> None:
    queue = [waiting(1, "a", priority=1), waiting(2, "b", priority=1), waiting(3, "c")]
    assert [w.id for w in order(queue, running={})] == [3, 1, 2]


def test_a_team_with_a_running_evaluation_waits() -> None:
    queue = [waiting(1, "a"), waiting(2, "b", priority=1)]
    assert [w.id for w in order(queue, running={"a": 1})] == [2, 1]


queues = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 1)), max_size=12)


@given(queues, st.dictionaries(st.sampled_from("abc"), st.integers(0, 3)))
def test_the_order_is_that_of_claims_one_by_one(
    sent: list[tuple[str, int]], running: dict[str, int]
) -> None:
    queue = [waiting(n, team, priority=p) for n, (team, p) in enumerate(sent)]
    left, counts, one_by_one = list(queue), dict(running), []
    while left:
        first = min(left, key=lambda w: turn_key(w, running=counts.get(w.team, 0)))
        left.remove(first)
        counts[first.team] = counts.get(first.team, 0) + 1
        one_by_one.append(first)
    assert order(queue, running=running) == one_by_one
