"""Dated states of a leaderboard: what would be kept now, and what was, as it may leave.

A state tells nothing that the leaderboard did not tell at its moment, and nothing of what it must
not tell now: while it is hidden, frozen before that moment, or shows less, the state is withheld;
so are the lines of who was disqualified, or deleted their account, since.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.utils import timezone

from challenge.errors import refuse
from challenge.models import LeaderboardState, Phase, Submission
from challenge.rules.disclosure import Detail, Viewer
from challenge.selectors import disqualifications, leaderboard, phase_disclosure
from challenge.selectors.leaderboard import TEAM, Row

LAYOUT = 1
STAMP = "%Y%m%dT%H%M%SZ"
LISTED = 100


@dataclass(frozen=True)
class Draft:
    """What would be kept: the document, and the submission of each line."""

    document: dict[str, Any]
    sources: list[str | None]


@dataclass(frozen=True)
class ShownState:
    """A state as it may leave: withheld lines have their rank and their digest alone."""

    state: LeaderboardState
    document: dict[str, Any]
    withheld: int


def stamp_of(at: datetime) -> str:
    """Return a moment as the addresses of states have it: 20261130T120000Z."""
    return at.astimezone(UTC).strftime(STAMP)


def draft(phase: Phase, *, now: datetime) -> Draft:
    """Return what everybody sees of a phase's leaderboard now.

    Raises Conflict ``state-board-hidden`` where they see nothing. Queries as
    `leaderboard.of_phase`, and one.
    """
    board = leaderboard.of_phase(phase, now=now)
    is_published = phase.is_published and phase.challenge.is_published
    if not (board.visible and is_published):
        raise refuse("state-board-hidden")
    rows = board.best_first()
    document = {
        "type": "leaderboard",
        "layout": LAYOUT,
        "challenge": phase.challenge.slug,
        "phase": phase.slug,
        "kept_at": stamp_of(now),
        "ranked_at": stamp_of(phase.ranked_at) if phase.ranked_at else None,
        "frozen_at": stamp_of(phase.frozen_at) if phase.frozen_at else None,
        "settled": phase_disclosure.is_settled(phase, now=now),
        "counted_zones": phase.counted_zones,
        "detail": board.policy.detail.word,
        "miou_step": board.policy.miou_step,
        "task": phase.task_spec.digest if phase.task_spec else None,
        "classes": [
            {"key": one.key, "name": one.name}
            for one in (board.classes if board.policy.classes else [])
        ],
        "lines": [_line(row, domains=board.domains) for row in rows],
    }
    return Draft(document, [str(row.submission_id) if row.submission_id else None for row in rows])


def of_phase(phase: Phase, *, now: datetime | None = None) -> list[LeaderboardState]:
    """Return the latest :data:`LISTED` states of a phase that may leave now, without documents."""
    if not _board_visible(phase, now=now or timezone.now()):
        return []
    return list(phase.leaderboard_states.only("phase", "kept_at", "digest")[:LISTED])


def get(phase: Phase, stamp: str, *, now: datetime | None = None) -> ShownState:
    """Return a state by its moment, as it may leave (three queries at most).

    Raises NotFound, and Conflict ``state-withheld`` while the leaderboard tells less than it did.
    """
    now = now or timezone.now()
    try:
        at = datetime.strptime(stamp, STAMP).replace(tzinfo=UTC)
    except ValueError:
        raise refuse("not-found") from None
    state = phase.leaderboard_states.filter(kept_at=at).first()
    if state is None or not _board_visible(phase, now=now):
        raise refuse("not-found")
    if _tells_more_than_now(state, phase, now=now):
        raise refuse("state-withheld")
    standing = _standing(state.sources)
    lines = [
        line
        if source is None or source in standing
        else {"rank": line["rank"], "withheld": True, "sha256": digest}
        for line, source, digest in zip(
            state.document["lines"], state.sources, state.line_digests, strict=True
        )
    ]
    withheld = sum(bool(line.get("withheld")) for line in lines)
    return ShownState(state, state.document | {"lines": lines}, withheld)


def _board_visible(phase: Phase, *, now: datetime) -> bool:
    return phase_disclosure.leaderboard_visible(phase, viewer=Viewer.READER, now=now)


def _tells_more_than_now(state: LeaderboardState, phase: Phase, *, now: datetime) -> bool:
    policy = phase_disclosure.policy_for(phase, viewer=Viewer.READER, now=now)
    document = state.document
    kept_step = document["miou_step"]
    if policy.miou_step is not None and (kept_step is None or kept_step < policy.miou_step):
        return True
    if Detail[document["detail"].upper()] > policy.detail:
        return True
    if phase.frozen_at is None:
        return False
    frozen_at = stamp_of(phase.frozen_at)
    return any((line["submitted_at"] or "") > frozen_at for line in document["lines"])


def _standing(sources: list[str | None]) -> set[str]:
    """Return the submissions that are not disqualified, of teams that somebody is still in."""
    rows = disqualifications.standing(
        Submission.objects.filter(
            pk__in=[source for source in sources if source],
            entry__team__memberships__isnull=False,
        )
    )
    return {str(pk) for pk in rows.values_list("pk", flat=True).distinct()}


def _line(row: Row, *, domains: list[str]) -> dict[str, Any]:
    low, high = row.interval or (None, None)
    return {
        "kind": row.kind,
        "rank": row.rank,
        "group": row.group if row.kind == TEAM and row.tied else None,
        "team": row.name,
        "affiliation": row.affiliation,
        "method": row.method,
        "miou": row.miou,
        "low": low,
        "high": high,
        "std": row.std,
        "seeds": row.seed_count,
        "overall_accuracy": row.overall_accuracy,
        "class_ious": row.class_ious,
        "domain_mious": dict(zip(domains, row.domain_mious, strict=True))
        if row.domain_mious
        else {},
        "public_rank": row.public_rank,
        "public_miou": row.public_miou,
        "marks": row.marks,
        "submitted_at": stamp_of(row.created_at) if row.created_at else None,
        "submissions": row.submission_count,
        "code_url": row.code_url,
        "paper_url": row.paper_url,
    }
