"""States and legal transitions of evaluations, training runs and label jobs. No Django, no clock.

Every transition goes through these tables (``services.leased_jobs``); the models take their
choices from the enums, and the database refuses unknown states.
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
    """Where a training run or a pixel comparison stands."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class LabelState(StrEnum):
    """Where sealed labels stand that an owner sent."""

    QUEUED = "queued"
    INSTALLING = "installing"
    INSTALLED = "installed"
    REFUSED = "refused"
    FAILED = "failed"
    CANCELLED = "cancelled"


class RescoreState(StrEnum):
    """Where a re-score stands that an owner asked for on the desk.

    ``QUEUED`` and ``RUNNING`` lead to the preview, and once that is confirmed to the publication.
    """

    QUEUED = "queued"
    RUNNING = "running"
    PREVIEWED = "previewed"
    PUBLISHED = "published"
    FAILED = "failed"
    CANCELLED = "cancelled"


class QuotaMove(StrEnum):
    """What one line of the quota's ledger says."""

    RESERVED = "reserved"
    CONSUMED = "consumed"
    REFUNDED = "refunded"


@dataclass(frozen=True)
class Transition:
    """One legal transition and what it does to the quota (None: nothing)."""

    quota: QuotaMove | None = None


TRANSITIONS: dict[tuple[State, State], Transition] = {
    (State.QUEUED, State.SCORING): Transition(),
    (State.QUEUED, State.CANCELLED): Transition(QuotaMove.REFUNDED),
    (State.SCORING, State.SCORED): Transition(QuotaMove.CONSUMED),
    (State.SCORING, State.REJECTED): Transition(QuotaMove.REFUNDED),
    (State.SCORING, State.FAILED): Transition(QuotaMove.REFUNDED),
    (State.SCORING, State.QUEUED): Transition(),
    (State.FAILED, State.QUEUED): Transition(QuotaMove.RESERVED),
}

RUN_TRANSITIONS: frozenset[tuple[RunState, RunState]] = frozenset(
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

LABEL_TRANSITIONS: frozenset[tuple[LabelState, LabelState]] = frozenset(
    {
        (LabelState.QUEUED, LabelState.INSTALLING),
        (LabelState.QUEUED, LabelState.CANCELLED),
        (LabelState.INSTALLING, LabelState.INSTALLED),
        (LabelState.INSTALLING, LabelState.REFUSED),
        (LabelState.INSTALLING, LabelState.FAILED),
        (LabelState.INSTALLING, LabelState.QUEUED),
        (LabelState.FAILED, LabelState.QUEUED),
        (LabelState.FAILED, LabelState.CANCELLED),
    }
)

RESCORE_TRANSITIONS: frozenset[tuple[RescoreState, RescoreState]] = frozenset(
    {
        (RescoreState.QUEUED, RescoreState.RUNNING),
        (RescoreState.QUEUED, RescoreState.CANCELLED),
        (RescoreState.RUNNING, RescoreState.PREVIEWED),
        (RescoreState.RUNNING, RescoreState.PUBLISHED),
        (RescoreState.RUNNING, RescoreState.FAILED),
        (RescoreState.RUNNING, RescoreState.QUEUED),
        (RescoreState.PREVIEWED, RescoreState.QUEUED),
        (RescoreState.PREVIEWED, RescoreState.CANCELLED),
        # The operator's command publishes without a worker.
        (RescoreState.QUEUED, RescoreState.PUBLISHED),
        (RescoreState.PREVIEWED, RescoreState.PUBLISHED),
        (RescoreState.FAILED, RescoreState.PUBLISHED),
        (RescoreState.FAILED, RescoreState.QUEUED),
        (RescoreState.FAILED, RescoreState.CANCELLED),
    }
)

OPEN_STATES = frozenset({State.QUEUED, State.SCORING})
RUN_OPEN = frozenset({RunState.QUEUED, RunState.RUNNING})
RESCORE_ENDED = frozenset({RescoreState.PUBLISHED, RescoreState.CANCELLED})
FINISHED_STATES = frozenset({State.SCORED, State.REJECTED, State.FAILED})


def may_move(old: State, new: State) -> bool:
    """Say whether an evaluation may move from ``old`` to ``new``.

    >>> may_move(State.QUEUED, State.SCORING), may_move(State.SCORED, State.QUEUED)
    (True, False)
    """
    return (old, new) in TRANSITIONS


def may_run_move(old: RunState, new: RunState) -> bool:
    """Say whether a training run may move from ``old`` to ``new``."""
    return (old, new) in RUN_TRANSITIONS


def after_lost_lease(attempts: int) -> State:
    """Say where a job goes whose worker was lost in the ``attempts``-th attempt that counts.

    >>> after_lost_lease(1), after_lost_lease(3)
    (<State.QUEUED: 'queued'>, <State.FAILED: 'failed'>)
    """
    return State.QUEUED if attempts < MAX_ATTEMPTS else State.FAILED
