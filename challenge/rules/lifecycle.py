"""States and legal moves of an evaluation and of a training run. Pure: no Django, no clock.

Every move of a state goes through these tables (design, section 5); the services that write the
state ask :func:`may_move` first and the database refuses unknown states.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

MAX_ATTEMPTS = 3


class State(StrEnum):
    """Where an evaluation stands."""

    QUEUED = "queued"
    SCORING = "scoring"
    SCORED = "scored"
    REJECTED = "rejected"
    FAILED = "failed"
    CANCELLED = "cancelled"


class RunState(StrEnum):
    """Where a training run stands."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class QuotaMove(StrEnum):
    """What one line of the quota's ledger says."""

    RESERVED = "reserved"
    CONSUMED = "consumed"
    REFUNDED = "refunded"


@dataclass(frozen=True)
class Move:
    """One legal move and what it does to the quota (None: nothing)."""

    quota: QuotaMove | None = None


MOVES: dict[tuple[State, State], Move] = {
    (State.QUEUED, State.SCORING): Move(),
    (State.QUEUED, State.CANCELLED): Move(QuotaMove.REFUNDED),
    (State.SCORING, State.SCORED): Move(QuotaMove.CONSUMED),
    (State.SCORING, State.REJECTED): Move(QuotaMove.REFUNDED),
    (State.SCORING, State.FAILED): Move(QuotaMove.REFUNDED),
    (State.SCORING, State.QUEUED): Move(),
    (State.FAILED, State.QUEUED): Move(QuotaMove.RESERVED),
}

RUN_MOVES: frozenset[tuple[RunState, RunState]] = frozenset(
    {
        (RunState.QUEUED, RunState.RUNNING),
        (RunState.QUEUED, RunState.CANCELLED),
        (RunState.RUNNING, RunState.SUCCEEDED),
        (RunState.RUNNING, RunState.FAILED),
        (RunState.RUNNING, RunState.CANCELLED),
        (RunState.RUNNING, RunState.QUEUED),
        (RunState.FAILED, RunState.QUEUED),
    }
)

OPEN_STATES = frozenset({State.QUEUED, State.SCORING})
FINAL_STATES = frozenset({State.SCORED, State.REJECTED, State.CANCELLED})


def may_move(old: State, new: State) -> bool:
    """Say whether an evaluation may move from ``old`` to ``new``.

    >>> may_move(State.QUEUED, State.SCORING), may_move(State.SCORED, State.QUEUED)
    (True, False)
    """
    return (old, new) in MOVES


def may_run_move(old: RunState, new: RunState) -> bool:
    """Say whether a training run may move from ``old`` to ``new``."""
    return (old, new) in RUN_MOVES


def after_lost_lease(attempt: int) -> State:
    """Say where an evaluation goes when its worker was lost in attempt ``attempt`` (1-based).

    >>> after_lost_lease(1), after_lost_lease(3)
    (<State.QUEUED: 'queued'>, <State.FAILED: 'failed'>)
    """
    return State.QUEUED if attempt < MAX_ATTEMPTS else State.FAILED
