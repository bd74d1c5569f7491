"""The table of legal moves is the whole truth: what it lacks is refused."""

from __future__ import annotations

from itertools import product

import pytest

from challenge.rules.lifecycle import (
    RUN_TRANSITIONS,
    TRANSITIONS,
    QuotaMove,
    RunState,
    State,
    after_lost_lease,
    may_move,
    may_run_move,
)

LEGAL = {
    ("queued", "scoring"): None,
    ("queued", "cancelled"): "refunded",
    ("scoring", "scored"): "consumed",
    ("scoring", "rejected"): "refunded",
    ("scoring", "failed"): "refunded",
    ("scoring", "queued"): None,
    ("failed", "queued"): "reserved",
}


@pytest.mark.parametrize(("old", "new"), list(product(State, State)))
def test_only_the_designs_moves_are_legal(old: State, new: State) -> None:
    assert may_move(old, new) == ((old.value, new.value) in LEGAL)


def test_each_move_does_to_the_quota_what_the_design_says() -> None:
    found = {(o.value, n.value): m.quota and m.quota.value for (o, n), m in TRANSITIONS.items()}
    assert found == LEGAL
    assert {m.quota for m in TRANSITIONS.values()} <= {None, *QuotaMove}


@pytest.mark.parametrize(("old", "new"), list(product(RunState, RunState)))
def test_runs_move_like_evaluations(old: RunState, new: RunState) -> None:
    legal = {
        ("queued", "running"),
        ("queued", "cancelled"),
        ("running", "succeeded"),
        ("running", "failed"),
        ("running", "cancelled"),
        ("running", "queued"),
        ("failed", "queued"),
    }
    assert may_run_move(old, new) == ((old.value, new.value) in legal)
    assert len(RUN_TRANSITIONS) == len(legal)


def test_three_attempts_then_failed() -> None:
    assert [after_lost_lease(n) for n in (1, 2, 3, 4)] == ["queued", "queued", "failed", "failed"]
