"""A phase: its task, its list of patches, its leaderboard, one's own quota."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from django.http import HttpRequest, HttpResponse, JsonResponse
from ninja import Router, Schema

from challenge.api import csv_answers
from challenge.api.access import ANYONE, READ, person
from challenge.api.challenges import PhaseOut, phase_out
from challenge.api.types import Quota, Slug, Translated
from challenge.errors import refuse
from challenge.models import Phase
from challenge.selectors import leaderboard as boards
from challenge.selectors import pages
from challenge.selectors import people as people_selectors
from challenge.selectors.leaderboard import Board, Row
from challenge.services import archive_space, quota

router = Router(tags=["phases"])

PHASE = "/challenges/{slug}/phases/{phase}"


class Task(Schema):
    """The task specification with the patches expected in this phase.

    ``task.expected`` lists [domain, zone, patch id]; ``flair check`` works from it offline.
    """

    phase: str
    digest: str
    task: dict[str, Any]


class BoardClassOut(Schema):
    """A scored class: a column of the board."""

    id: int
    key: str
    name: Translated
    color: str


class RowOut(Schema):
    """A line of the board. ``rank`` null: a baseline, beside the ranks.

    A baseline trained with several seeds is one line: figures are means over ``seed_count``.
    """

    rank: int | None
    team_id: int
    team: str
    affiliation: str
    method: str
    miou: float | None
    interval: list[float | None] | None
    class_ious: dict[str, float | None]
    overall_accuracy: float | None
    created_at: datetime
    submission_count: int
    group: int
    is_baseline: bool
    is_mine: bool
    is_final: bool
    submission: UUID | None
    code_url: str
    paper_url: str
    inference_ratio: float | None
    over_inference_limit: bool
    std: float | None = None
    seed_count: int = 1


class ReferenceOut(Schema):
    """A result published elsewhere; never ranked."""

    name: str
    kind: str
    miou: float
    std: float | None
    class_ious: dict[str, float]
    source: str


class BoardOut(Schema):
    """A leaderboard. ``visible`` false: the organiser shows it later."""

    phase: str
    visible: bool
    is_open: bool
    as_of: datetime | None
    version: int
    decimals: int | None
    classes: list[BoardClassOut]
    rows: list[RowOut]
    baselines: list[RowOut]
    references: list[ReferenceOut]


@router.get(PHASE, response=PhaseOut, auth=ANYONE)
def get_phase(request: HttpRequest, slug: Slug, phase: Slug) -> PhaseOut:
    """One phase: window, limits, what is shown when."""
    return phase_out(pages.phase_by_slug(slug, phase, user=request.user))


@router.get(f"{PHASE}/task", response=Task, auth=ANYONE)
def get_task(request: HttpRequest, slug: Slug, phase: Slug) -> dict[str, Any]:
    """Everything that a check before the upload needs: classes, sizes, names, expected ids."""
    found = pages.phase_by_slug(slug, phase, user=request.user)
    if found.task_spec is None:
        raise refuse("phase-not-ready")
    expected = [[domain, zone, patch] for patch, domain, zone in _patches(found)]
    return {
        "phase": str(found),
        "digest": found.task_spec.digest,
        "task": {**found.task_spec.data, "expected": expected},
    }


@router.get(
    f"{PHASE}/patches",
    response=list[list[str]],
    auth=ANYONE,
    openapi_extra=csv_answers.OPENAPI,
)
def list_patches(
    request: HttpRequest,
    slug: Slug,
    phase: Slug,
    format: Literal["json", "csv"] = "json",  # noqa: A002  the query parameter's name
) -> Any:
    """The patches to predict: [patch id, domain, zone]."""
    found = pages.phase_by_slug(slug, phase, user=request.user)
    patches = _patches(found)
    if format == "csv":
        rows = [(domain, zone, patch) for patch, domain, zone in patches]
        name = f"{slug}-{phase}-patches.csv"
        return csv_answers.respond(("domain", "zone", "patch"), rows, name=name)
    return patches


def _patches(phase: Phase) -> list[list[str]]:
    if phase.ground_truth is not None:
        return list(phase.ground_truth.patches)
    if phase.public_patches:
        return list(phase.public_patches)
    rows = phase.task_spec.data.get("expected", []) if phase.task_spec else []
    return [[patch, domain, zone] for domain, zone, patch in rows]


@router.get(
    f"{PHASE}/leaderboard", response=BoardOut, auth=ANYONE, openapi_extra=csv_answers.OPENAPI
)
def get_leaderboard(
    request: HttpRequest,
    slug: Slug,
    phase: Slug,
    format: Literal["json", "csv"] = "json",  # noqa: A002  the query parameter's name
) -> Any:
    """The leaderboard, as you may see it; ``format=csv`` for spreadsheets."""
    found = pages.phase_by_slug(slug, phase, user=request.user)
    board = boards.board(found, user=request.user)
    if format == "csv":
        return _board_csv(board, name=f"{slug}-{phase}-leaderboard.csv")
    # Not through ninja, which would build and check every row of a thousand twice over; that the
    # rows have the shape of BoardOut is what the fuzzing compares.
    return JsonResponse(_board_out(board))


def _board_out(board: Board) -> dict[str, Any]:
    return {
        "phase": str(board.phase),
        "visible": board.visible,
        "is_open": board.is_open,
        "as_of": board.as_of,
        "version": board.version,
        "decimals": board.terms.decimals,
        "classes": [vars(one) for one in board.classes],
        "rows": [_row_out(row) for row in board.rows],
        "baselines": [_row_out(row) for row in board.baselines],
        "references": [vars(one) for one in board.references],
    }


def _row_out(row: Row) -> dict[str, Any]:
    values = dict(vars(row))
    submission = values.pop("submission_id")
    # A submission's address is for those who may open it.
    values["submission"] = submission if row.is_mine else None
    return values


def _board_csv(board: Board, *, name: str) -> HttpResponse:
    keys = [one.key for one in board.classes] if board.terms.classes else []
    header = ["rank", "team", "affiliation", "method", "miou", "miou_low", "miou_high"]
    header += [f"iou_{key}" for key in keys] + ["submissions", "date", "kind"]
    rows: list[Sequence[object]] = []
    for row in (*board.rows, *board.baselines):
        low, high = row.interval or (None, None)
        rows.append(
            [row.rank, row.team, row.affiliation, row.method, row.miou, low, high]
            + [row.class_ious.get(key) for key in keys]
            + [row.submission_count, f"{row.created_at:%Y-%m-%dT%H:%M:%SZ}"]
            + ["baseline" if row.is_baseline else "team"]
        )
    rows.extend(
        [None, one.name, "", one.source, one.miou, None, None]
        + [one.class_ious.get(key) for key in keys]
        + [None, None, one.kind]
        for one in board.references
    )
    return csv_answers.respond(header, rows, name=name)


@router.get(f"{PHASE}/quota", response=Quota, auth=READ)
def get_quota(request: HttpRequest, slug: Slug, phase: Slug) -> dict[str, Any]:
    """What one's team used and may still submit."""
    user = person(request)
    found = pages.phase_by_slug(slug, phase, user=user)
    team = people_selectors.team_of(user, found.challenge)
    space = archive_space.of(team) if team is not None else None
    return {
        **asdict(quota.view(team=team, phase=found)),
        "archives_bytes": space.used_bytes if space else 0,
        "archives_limit_bytes": found.challenge.team_archives_bytes,
    }
