"""A phase: its task, its list of patches, its leaderboard, one's own quota."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from django.http import HttpRequest, HttpResponse, JsonResponse
from ninja import Router, Schema

from challenge.api import csv_answers
from challenge.api.access import ANYONE, READ, SignedInRequest
from challenge.api.endpoints.challenges import PhaseOut, phase_out
from challenge.api.types import Quota, Slug, Translated
from challenge.errors import refuse
from challenge.models import GroundTruth, Phase
from challenge.selectors import leaderboard, pages, phase_disclosure, phases
from challenge.selectors import people as people_selectors
from challenge.selectors.leaderboard import BASELINE, ORGANISER, Leaderboard, Row
from challenge.services.storage import limits
from challenge.services.submissions import quota
from challenge.services.teams import first_steps
from challenge.services.teams.first_steps import FirstStep

router = Router(tags=["phases"])

PHASE = "/challenges/{slug}/phases/{phase}"


class Task(Schema):
    """The task specification with the patches expected in this phase.

    ``task.expected`` lists [domain, zone, patch id]; ``flair check`` works from it offline.
    ``archive_limit_bytes`` limits the file, the task's own limit what it inflates to.
    """

    phase: str
    digest: str
    archive_limit_bytes: int
    task: dict[str, Any]


class BoardClassOut(Schema):
    """A scored class: a column of the board."""

    id: int
    key: str
    name: Translated
    color: str


class RowOut(Schema):
    """A line of the board. ``rank`` null: a baseline, beside the ranks.

    A baseline trained with several seeds is one line: values are means over ``seed_count``.
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
    marks: list[str] = []
    public_rank: int | None = None
    public_miou: float | None = None


class ReferenceOut(Schema):
    """A result published elsewhere; never ranked."""

    name: str
    kind: str
    miou: float
    std: float | None
    class_ious: dict[str, float]
    source: str


class SplitOut(Schema):
    """The public and private zones of a phase's labels.

    Scores count the `public_zones` of `zones` until the reveal, the others after it. `commitment`
    is the HMAC-SHA256, in hexadecimal, of the `public_list` (names in order, each with a line
    break) under the 32 bytes `nonce`. Both are null until the reveal;
    `python -m scoring verify-split` checks them.
    """

    commitment: str
    zones: int
    public_zones: int
    patches: int
    public_patches: int
    public_pixels: int
    public_list: list[str] | None
    nonce: str | None


class LabelsOut(Schema):
    """One version of a phase's labels.

    `commitment` is the HMAC-SHA256, in hexadecimal, of the text `digest` under the 32 bytes
    `commitment_key`. Both are null while the labels are hidden. Who has the labels computes the
    digest with `python -m scoring pack`.
    """

    name: str
    is_current: bool
    patch_count: int
    labels_public: bool
    commitment: str
    digest: str | None
    commitment_key: str | None
    split: SplitOut | None = None


class Labels(Schema):
    """The versions of the labels that submissions of a phase were scored with."""

    items: list[LabelsOut]


class BoardOut(Schema):
    """A leaderboard. ``visible`` false: the organiser shows it later; where each team sees its own
    line alone, ``rows`` has yours, without a rank.

    ``frozen_at``: it shows what was submitted until then. ``settled``: the phase is closed,
    everything is scored and teams have chosen; until then ranks may change.

    ``counted_zones``: ``all``; ``public`` while values count the public zones alone; ``private``
    after the reveal, with rank and mIoU by the public zones in each row.

    ``miou_step``: while labels are hidden the mIoU is a multiple of it, rounded at random to one of
    the two beside its value; ``decimals`` is how many that has. Null: full precision.
    """

    phase: str
    visible: bool
    is_open: bool
    as_of: datetime | None
    version: int
    decimals: int | None
    miou_step: float | None
    counted_zones: str = "all"
    frozen_at: datetime | None = None
    settled: bool = False
    classes: list[BoardClassOut]
    rows: list[RowOut]
    organisers: list[RowOut]
    baselines: list[RowOut]
    references: list[ReferenceOut]


@router.get(PHASE, response=PhaseOut, auth=ANYONE)
def get_phase(request: HttpRequest, slug: Slug, phase: Slug) -> PhaseOut:
    """One phase: window, limits, what is shown when."""
    return phase_out(pages.phase_by_slug(slug, phase, user=request.user))


@router.get(f"{PHASE}/task", response=Task, auth=ANYONE)
def get_task(request: HttpRequest, slug: Slug, phase: Slug) -> dict[str, Any]:
    """Everything that a check before the upload needs: classes, sizes, names, expected ids."""
    selected = pages.phase_by_slug(slug, phase, user=request.user)
    if selected.task_spec is None:
        raise refuse("phase-not-ready")
    # who asks for the task is about to check an archive with it
    first_steps.record(request.user, challenge=selected.challenge, step=FirstStep.CHECK)
    expected = [[domain, zone, patch] for patch, domain, zone in phases.expected_patches(selected)]
    return {
        "phase": str(selected),
        "digest": selected.task_spec.digest,
        "archive_limit_bytes": selected.archive_limit_bytes,
        "task": {**selected.task_spec.data, "expected": expected},
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
    selected = pages.phase_by_slug(slug, phase, user=request.user)
    first_steps.record(request.user, challenge=selected.challenge, step=FirstStep.IDS)
    patches = phases.expected_patches(selected)
    if format == "csv":
        rows = [(domain, zone, patch) for patch, domain, zone in patches]
        name = f"{slug}-{phase}-patches.csv"
        return csv_answers.respond(("domain", "zone", "patch"), rows, name=name)
    return patches


@router.get(f"{PHASE}/labels", response=Labels, auth=ANYONE)
def list_labels(request: HttpRequest, slug: Slug, phase: Slug) -> dict[str, Any]:
    """The commitments to the labels, which receipts name; after the close, what opens them."""
    selected = pages.phase_by_slug(slug, phase, user=request.user)
    sealed = phase_disclosure.labels_sealed(selected)
    return {
        "items": [
            {
                "name": str(truth),
                "is_current": truth.pk == selected.ground_truth_id,
                "patch_count": truth.patch_count,
                "labels_public": truth.labels_public,
                "commitment": truth.commitment,
                "digest": truth.digest if shows_digest else None,
                "commitment_key": truth.commitment_key if shows_digest else None,
                "split": _split_out(truth, selected),
            }
            for truth in phases.label_versions(selected)
            for shows_digest in [truth.digest_is_known and not sealed]
        ]
    }


def _split_out(truth: GroundTruth, phase: Phase) -> dict[str, Any] | None:
    split = phases.split_of(truth, awaits_reveal=phase.awaits_reveal)
    if split is None:
        return None
    return asdict(split) | {"public_list": split.public_list or None, "nonce": split.nonce or None}


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
    selected = pages.phase_by_slug(slug, phase, user=request.user)
    board = leaderboard.of_phase(selected, user=request.user)
    if format == "csv":
        return _leaderboard_csv(board, name=f"{slug}-{phase}-leaderboard.csv")
    # Not through ninja, which would build and check every row of a thousand twice over; that the
    # rows have the shape of BoardOut is what the fuzzing compares.
    own = leaderboard.own_row(selected, user=request.user)
    return JsonResponse(_leaderboard_out(board, own=own))


def _leaderboard_out(board: Leaderboard, *, own: Row | None) -> dict[str, Any]:
    rows = board.teams if board.visible or own is None else [own]
    return {
        "phase": str(board.phase),
        "visible": board.visible,
        "is_open": board.is_open,
        "as_of": board.as_of,
        "version": board.version,
        "decimals": board.policy.decimals,
        "miou_step": board.policy.miou_step,
        "counted_zones": board.phase.counted_zones,
        "frozen_at": board.phase.frozen_at,
        "settled": phase_disclosure.is_settled(board.phase),
        "classes": [vars(shown_class) for shown_class in board.classes],
        "rows": [_row_out(row, board) for row in rows],
        "organisers": [_row_out(row, board) for row in board.rows if row.kind == ORGANISER],
        "baselines": [_row_out(row, board) for row in board.baselines],
        "references": [_published_out(row) for row in board.published],
    }


def _row_out(row: Row, board: Leaderboard) -> dict[str, Any]:
    is_mine = row.team_id == board.my_team_id
    return {
        "rank": row.rank,
        "team_id": row.team_id,
        "team": row.name,
        "affiliation": row.affiliation,
        "method": row.method,
        "miou": row.miou,
        "interval": row.interval,
        "class_ious": row.class_ious,
        "overall_accuracy": row.overall_accuracy,
        "created_at": row.created_at,
        "submission_count": row.submission_count,
        "group": row.group,
        "is_baseline": row.kind == BASELINE,
        "is_mine": is_mine,
        "is_final": row.is_final,
        "code_url": row.code_url,
        "paper_url": row.paper_url,
        "inference_ratio": row.inference_ratio,
        "over_inference_limit": row.over_inference_limit,
        "std": row.std,
        "seed_count": row.seed_count,
        "marks": row.marks,
        "public_rank": row.public_rank,
        "public_miou": row.public_miou,
        # A submission's address is for those who may open it.
        "submission": row.submission_id if is_mine else None,
    }


def _published_out(row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "kind": row.published_kind,
        "miou": row.miou,
        "std": row.std,
        "class_ious": row.class_ious,
        "source": row.method,
    }


def _leaderboard_csv(board: Leaderboard, *, name: str) -> HttpResponse:
    keys = [shown_class.key for shown_class in board.classes] if board.policy.classes else []
    header = ["rank", "team", "affiliation", "method", "miou", "miou_low", "miou_high"]
    header += [f"iou_{key}" for key in keys] + ["submissions", "date", "kind"]
    header += ["public_rank", "public_miou"] if board.is_revealed else []
    rows = [
        [
            *(row.rank, row.name, row.affiliation, row.method, row.miou),
            *(row.interval or (None, None)),
            *(row.class_ious.get(key) for key in keys),
            row.submission_count,
            f"{row.created_at:%Y-%m-%dT%H:%M:%SZ}" if row.created_at else None,
            row.published_kind or row.kind,
            *((row.public_rank, row.public_miou) if board.is_revealed else ()),
        ]
        for row in board.rows
    ]
    return csv_answers.respond(header, rows, name=name)


@router.get(f"{PHASE}/quota", response=Quota, auth=READ)
def get_quota(request: SignedInRequest, slug: Slug, phase: Slug) -> dict[str, Any]:
    """What one's team used and may still submit."""
    user = request.user
    selected = pages.phase_by_slug(slug, phase, user=user)
    team = people_selectors.team_of(user, selected.challenge)
    space = limits.storage_use(team) if team is not None else None
    return {
        **asdict(quota.view(team=team, phase=selected)),
        "archives_bytes": space.used_bytes if space else 0,
        "archives_limit_bytes": selected.challenge.team_archives_bytes,
    }
