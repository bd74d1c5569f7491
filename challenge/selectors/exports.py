"""All submissions of a phase as lines for CSV and JSON, and its leaderboard as a LaTeX table.

Values are those that organisers may see under the phase's rules of disclosure.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from challenge.models import Phase
from challenge.rules import disclosure, latex
from challenge.rules.disclosure import Viewer
from challenge.rules.lifecycle import State
from challenge.selectors import disqualifications, leaderboard, phase_disclosure, submissions
from challenge.selectors.roles import Person

CHUNK = 200


def columns(phase: Phase) -> list[str]:
    """Return the names of the columns of :func:`lines`, in order."""
    keys = [shown_class.key for shown_class in leaderboard.classes_of(phase)]
    return [
        *("submission", "number", "team", "submitted_by", "created_at", "state", "method"),
        *("miou", *(f"iou_{key}" for key in keys)),
        *("archive_bytes", "archive_sha256", "is_baseline", "is_final", "disqualified_at"),
        *("disqualified_reason", "team_disqualified_at", "team_disqualified_reason"),
    ]


def lines(phase: Phase, *, user: Person) -> Iterator[dict[str, Any]]:
    """Return a line for each submission of a phase, the newest first, two hundred at a time.

    Moments are UTC, values fractions, None where there is none to show. Raises NotFound for who
    does not organise the challenge.
    """
    rows = submissions.of_challenge(phase.challenge, user=user).filter(entry__phase=phase)
    # The phase with its challenge and task is one for all: joined, each row would read it anew.
    rows = rows.select_related(None).defer(None).select_related("entry__team", "submitted_by")
    stopped = {
        one.team_id: one
        for one in disqualifications.in_force().filter(team__challenge=phase.challenge_id)
    }
    keys = [shown_class.key for shown_class in leaderboard.classes_of(phase)]
    policy = phase_disclosure.policy_for(phase, viewer=Viewer.ORGANISER)

    def read() -> Iterator[dict[str, Any]]:
        for row in rows.iterator(chunk_size=CHUNK):
            row.entry.phase = phase
            line = _line(row, keys=keys, policy=policy, stopped=stopped.get(row.entry.team_id))
            submissions.release(row)
            yield line

    return read()


def latex_table(phase: Phase, *, user: Person) -> str:
    """Return a phase's leaderboard as a LaTeX table: IoU by class, mIoU, interval, ties.

    Rows are those that the person sees; teams that cannot be told apart share a letter.
    """
    board = leaderboard.of_phase(phase, user=user)
    classes = board.classes if board.policy.classes else []
    rows = [
        latex.Row(
            rank=row.rank,
            name=row.name,
            method=row.method,
            group=row.group if row.tied else None,
            ious=[row.class_ious.get(shown_class.key) for shown_class in classes],
            miou=row.miou,
            interval=row.interval,
        )
        for row in board.best_first()
    ]
    return latex.table(
        rows,
        classes=[shown_class.name.get("en", shown_class.key) for shown_class in classes],
        label=f"tab:{phase.challenge.slug}-{phase.slug}",
        caption=f"{phase.challenge.title.get('en', phase.challenge.slug)}, "
        f"{phase.name.get('en', phase.slug)}.",
    )


def _line(row: Any, *, keys: list[str], policy: Any, stopped: Any) -> dict[str, Any]:
    evaluation = submissions.current(row)
    scored = evaluation is not None and evaluation.state == State.SCORED
    score = evaluation.score if evaluation is not None and scored else None
    ious = (
        disclosure.disclose_class_ious(score.class_ious, score.rounded, policy=policy)
        if score is not None
        else {}
    )
    return {
        "submission": str(row.pk),
        "number": row.number,
        "team": row.entry.team.name,
        "submitted_by": row.submitted_by.username if row.submitted_by else None,
        "created_at": _moment(row.created_at),
        "state": evaluation.state if evaluation else State.QUEUED.value,
        "method": row.method_name,
        "miou": submissions.shown_miou(row, viewer=Viewer.ORGANISER),
        **{f"iou_{key}": ious.get(key) for key in keys},
        "archive_bytes": row.archive_bytes,
        "archive_sha256": row.archive_sha256,
        "is_baseline": row.is_baseline,
        "is_final": row.is_final,
        "disqualified_at": _moment(row.disqualified_at),
        "disqualified_reason": row.disqualified_reason,
        "team_disqualified_at": _moment(stopped.disqualified_at) if stopped else None,
        "team_disqualified_reason": stopped.reason if stopped else "",
    }


def _moment(at: datetime | None) -> str | None:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if at is not None else None
