"""A phase's board: stored rank lines and references, as they may leave the server."""

from __future__ import annotations

import statistics
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.postgres.expressions import ArraySubquery
from django.core.cache import cache
from django.db.models import Case, OuterRef, When
from django.db.models.functions import JSONObject
from django.utils import timezone

from challenge.models import Phase, PublishedResult, RankLine, Score
from challenge.rules import disclosure
from challenge.rules.disclosure import Terms, Viewer
from challenge.rules.lifecycle import State
from challenge.rules.windows import Window, place
from challenge.selectors import people
from challenge.selectors.people import Person


@dataclass(frozen=True)
class BoardClass:
    """One column: a scored class. ``name`` is {language: text}."""

    id: int
    key: str
    name: dict[str, str]
    color: str


@dataclass(frozen=True)
class Row:
    """One line. ``rank`` None: a baseline of the platform, beside the ranks.

    Figures are fractions under the board's terms; ``class_ious`` is empty where the organiser
    shows no classes. ``group`` numbers runs of teams that cannot be told apart.
    A baseline submitted with several seeds under one method's name is one line: ``miou`` and
    ``class_ious`` are means, ``std`` the deviation of the mIoU, ``interval`` the band of the two.
    """

    rank: int | None
    team_id: int
    team: str
    affiliation: str
    method: str
    submission_id: UUID
    miou: float | None
    interval: tuple[float | None, float | None] | None
    class_ious: dict[str, float | None]
    overall_accuracy: float | None
    created_at: datetime
    submission_count: int
    group: int
    is_baseline: bool
    is_mine: bool
    is_final: bool
    code_url: str
    paper_url: str
    inference_ratio: float | None
    over_inference_limit: bool
    std: float | None = None
    seed_count: int = 1


ROWS_KEPT_S = 60
# Another version of the site may have kept rows of another shape.
KEPT_SHAPE = zlib.crc32(" ".join(one.name for one in fields(Row)).encode())


@dataclass(frozen=True)
class Reference:
    """A result published elsewhere, with its source; never ranked, never rounded further."""

    name: str
    kind: str
    miou: float
    std: float | None
    class_ious: dict[str, float]
    source: str


@dataclass(frozen=True)
class Board:
    """What a viewer sees of a phase. Not ``visible``: rows and baselines are empty.

    ``rows`` are ranked, ``baselines`` are the platform's own submissions, ``references`` were
    published elsewhere. ``version`` grows with each change of the ranks: with ``terms`` and
    ``references`` it makes an ETag.
    """

    phase: Phase
    visible: bool
    is_open: bool
    terms: Terms
    classes: list[BoardClass]
    rows: list[Row] = field(default_factory=list)
    baselines: list[Row] = field(default_factory=list)
    references: list[Reference] = field(default_factory=list)
    as_of: datetime | None = None
    version: int = 0


def terms_for(phase: Phase, *, viewer: Viewer, now: datetime | None = None) -> Terms:
    """Return the terms under which a viewer gets figures of a phase. No query."""
    return disclosure.terms(
        viewer=viewer,
        detail=phase.detail,
        opens_at=phase.opens_at,
        rounded_until=rounded_until(phase),
        now=now or timezone.now(),
    )


def rounded_until(phase: Phase) -> datetime:
    """Return when a phase's figures leave in full (``disclosure.NEVER``: not foreseen)."""
    return disclosure.rounded_until(
        closes_at=phase.closes_at,
        labels_open_until=phase.labels_open_until,
        precision=phase.precision,
    )


def is_visible(phase: Phase, *, viewer: Viewer, now: datetime | None = None) -> bool:
    """Say whether a viewer may see a phase's board. No query."""
    return disclosure.board_visible(
        visibility=phase.visibility,
        viewer=viewer,
        opens_at=phase.opens_at,
        closes_at=phase.closes_at,
        now=now or timezone.now(),
    )


def etag(phase: Phase, *, user: Person = None, now: datetime | None = None) -> str:
    """Return what changes when the board as this person sees it changes. At most one query."""
    who = user.pk if user is not None and user.is_authenticated else 0
    ranked = phase.ranked_at.timestamp() if phase.ranked_at else 0
    return f"{state(phase, user=user, now=now)}-{ranked:.0f}-{who}"


def state(phase: Phase, *, user: Person = None, now: datetime | None = None) -> str:
    """Return what changes with any line of the board under this person's terms.

    Whose line is whose is not in it, nor when the ranks were last looked at. At most one query.
    """
    now = now or timezone.now()
    viewer = people.viewer_of_phase(user, phase)
    terms = terms_for(phase, viewer=viewer, now=now)
    visible = is_visible(phase, viewer=viewer, now=now)
    return (
        f"{phase.pk}-{phase.ranks_version}-{int(visible)}-{terms.detail}-{terms.decimals}"
        f"-{phase.inference_ratio_limit}-{phase.task_spec_id}"
    )


def classes_of(phase: Phase) -> list[BoardClass]:
    """Return the scored classes of a phase's task, in order (no query once the task is loaded)."""
    if phase.task_spec is None:
        return []
    return [
        BoardClass(line["id"], line["key"], line["name"], line["color"])
        for line in phase.task_spec.data.get("classes", [])
        if line.get("scored", True)
    ]


def board(phase: Phase, *, user: Person = None, now: datetime | None = None) -> Board:
    """Return a phase's board as a person may see it.

    At most four queries whatever its length (organiser?, lines, the viewer's team, references),
    given ``phase.challenge`` and ``phase.task_spec`` loaded; lines are kept for a minute while the
    ranks stand. Visibility of the phase itself (published)
    is the caller's, who looked it up with ``pages.phase_by_slug``.
    """
    now = now or timezone.now()
    viewer = people.viewer_of_phase(user, phase)
    terms = terms_for(phase, viewer=viewer, now=now)
    window = place(now, opens_at=phase.opens_at, closes_at=phase.closes_at)
    visible = is_visible(phase, viewer=viewer, now=now)
    classes = classes_of(phase)
    references = [
        Reference(one.name, one.kind, one.miou, one.std, one.class_ious, one.source)
        for one in PublishedResult.objects.filter(
            challenge=phase.challenge_id, phase_slug=phase.slug
        )
    ]
    rows = _rows(phase, terms=terms, classes=classes) if visible else []
    mine = people.team_id_in(user, phase) if rows else None
    if mine is not None:
        rows = [replace(row, is_mine=True) if row.team_id == mine else row for row in rows]
    return Board(
        phase=phase,
        visible=visible,
        is_open=window is Window.OPEN,
        terms=terms,
        classes=classes,
        rows=[row for row in rows if row.rank is not None],
        baselines=[row for row in rows if row.rank is None],
        references=references,
        as_of=phase.ranked_at,
        version=phase.ranks_version,
    )


def _rows(phase: Phase, *, terms: Terms, classes: list[BoardClass]) -> list[Row]:
    """Return the lines as anybody under these terms sees them, made once per state of the ranks."""
    ranked = phase.ranked_at.timestamp() if phase.ranked_at else 0
    key = (
        f"rows-{KEPT_SHAPE}-{phase.pk}-{phase.ranks_version}-{ranked}-{terms.detail}"
        f"-{terms.decimals}-{phase.inference_ratio_limit}-{phase.task_spec_id}"
    )
    kept: list[Row] | None = cache.get(key)
    if kept is None:
        kept = _made_rows(phase, terms=terms, classes=classes)
        cache.set(key, kept, ROWS_KEPT_S)
    return kept


def _made_rows(phase: Phase, *, terms: Terms, classes: list[BoardClass]) -> list[Row]:
    lines = RankLine.objects.filter(phase=phase).order_by("-miou", "pk")
    lines = lines.annotate(seeds=seeds(miou="miou", ious="class_ious"))
    columns = [
        "rank",
        "group",
        "submission_count",
        "miou",
        "entry__team_id",
        "entry__team__name",
        "entry__team__affiliation",
        "submission_id",
        "submission__method_name",
        "submission__created_at",
        "submission__is_final",
        "submission__is_baseline",
        "submission__code_url",
        "submission__paper_url",
        "submission__baseline_seconds",
        "submission__method_seconds",
        "score__miou_low",
        "score__miou_high",
        "score__class_ious",
        "score__overall_accuracy",
        "seeds",
    ]
    keys = [one.key for one in classes]
    return [_row(line, phase=phase, terms=terms, keys=keys) for line in lines.values(*columns)]


def seeds(**columns: str) -> Case:
    """Return such columns of the scores of a baseline's submissions of one method, for baselines
    alone, to be read by :func:`runs_of`."""
    seed = "evaluation__submission__training_runs__seed"
    same = (
        Score.objects.filter(
            evaluation__state=State.SCORED.value,
            evaluation__ground_truth=OuterRef("phase__ground_truth"),
            evaluation__task_spec=OuterRef("phase__task_spec"),
            evaluation__submission__entry=OuterRef("entry"),
            evaluation__submission__is_baseline=True,
            evaluation__submission__disqualified_at__isnull=True,
            evaluation__submission__method_name=OuterRef("submission__method_name"),
            miou__isnull=False,
        )
        .order_by("evaluation__submission_id", "-evaluation__revision")
        .distinct("evaluation__submission_id")
        .values(
            seed=JSONObject(
                of=seed,
                submission="evaluation__submission_id",
                number="evaluation__submission__number",
                **columns,
            )
        )
    )
    return Case(When(submission__is_baseline=True, then=ArraySubquery(same)))


def runs_of(seeds: list[dict[str, Any]] | None) -> list[dict[str, Any]]:
    """Return one of :func:`seeds` for each seed: of one that was trained again, the last."""
    last: dict[object, dict[str, Any]] = {}
    for one in sorted(seeds or [], key=lambda one: one["number"]):
        last[one["submission"] if one["of"] is None else one["of"]] = one
    return list(last.values())


def _row(line: dict[str, Any], *, phase: Phase, terms: Terms, keys: list[str]) -> Row:
    low, high = line["score__miou_low"], line["score__miou_high"]
    ious, miou, std = line["score__class_ious"], line["miou"], None
    runs = runs_of(line["seeds"])
    if len(runs) > 1:
        miou = statistics.fmean(run["miou"] for run in runs)
        std = statistics.stdev(run["miou"] for run in runs)
        low, high = max(0.0, miou - std), min(1.0, miou + std)
        ious = {key: mean([run["ious"].get(key) for run in runs]) for key in keys}
    ratio = inference_ratio(
        line["submission__baseline_seconds"], line["submission__method_seconds"]
    )
    limit = phase.inference_ratio_limit
    return Row(
        rank=line["rank"],
        team_id=line["entry__team_id"],
        team=line["entry__team__name"],
        affiliation=line["entry__team__affiliation"],
        method=line["submission__method_name"],
        submission_id=line["submission_id"],
        miou=disclosure.figure(miou, terms=terms),
        interval=(
            None
            if low is None or high is None
            else (disclosure.figure(low, terms=terms), disclosure.figure(high, terms=terms))
        ),
        class_ious=(
            {key: disclosure.figure(ious.get(key), terms=terms) for key in keys}
            if terms.classes
            else {}
        ),
        overall_accuracy=(
            disclosure.figure(line["score__overall_accuracy"], terms=terms)
            if terms.classes
            else None
        ),
        created_at=line["submission__created_at"],
        submission_count=line["submission_count"],
        group=line["group"],
        is_baseline=line["submission__is_baseline"],
        is_mine=False,
        is_final=line["submission__is_final"],
        code_url=line["submission__code_url"],
        paper_url=line["submission__paper_url"],
        inference_ratio=ratio,
        over_inference_limit=ratio is not None and limit is not None and ratio > limit,
        std=disclosure.figure(std, terms=terms),
        seed_count=max(1, len(runs)),
    )


def mean(values: Sequence[float | None]) -> float | None:
    """Return the mean of what is known; None where nothing is."""
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def inference_ratio(baseline_seconds: float | None, method_seconds: float | None) -> float | None:
    """Return how many times the baseline's inference time a method takes (both self-declared)."""
    if not baseline_seconds or method_seconds is None:
        return None
    return method_seconds / baseline_seconds
