"""A disclosed score card made ready for its page: rows, differences, shades, map."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from challenge.models import Phase, Submission
from challenge.selectors.comparisons import Yardstick
from challenge.selectors.leaderboard import inference_ratio
from challenge.templatetags.flair import percent
from challenge.web import geography
from challenge.web.boards import frequencies

SHADES = 10


@dataclass(frozen=True)
class ClassRow:
    """One class: its figures and the differences to other submissions (fractions)."""

    id: int
    key: str
    name: Any
    color: str
    scored: bool
    figures: Mapping[str, Any]
    to_leader: float | None
    to_baseline: float | None
    to_best: float | None
    to_other: float | None
    predicted: float | None
    published: float | None


@dataclass(frozen=True)
class DomainRow:
    """One domain: its patches, its mIoU, the difference to the other submission."""

    id: str
    name: str
    patches: int | None
    miou: float | None
    to_other: float | None


@dataclass(frozen=True)
class Cell:
    """One cell of the matrix: the share as text, its shade, the count where it may be shown."""

    text: str
    css: str
    count: int | None


@dataclass(frozen=True)
class Result:
    """What the page prints."""

    card: Mapping[str, Any]
    classes: list[ClassRow]
    domains: list[DomainRow]
    shapes: list[dict[str, Any]]
    changes: list[dict[str, Any]]
    view_box: str
    miou_range: tuple[float | None, float | None]
    matrix: list[tuple[ClassRow, list[Cell]]]
    has_counts: bool
    withheld: bool
    frequency_full: float
    to_leader: float | None
    to_baseline: float | None
    to_best: float | None
    to_other: float | None
    gains: list[ClassRow] = field(default_factory=list)
    losses: list[ClassRow] = field(default_factory=list)


def result(
    card: Mapping[str, Any],
    *,
    phase: Phase,
    yardsticks: Mapping[str, Yardstick],
    other: Mapping[str, Any] | None,
) -> Result:
    """Return a card's page under the terms that the card was disclosed with."""
    rows = class_rows(card, phase=phase, yardsticks=yardsticks, other=other)
    domains = domain_rows(card, phase=phase, other=other)
    shapes = geography.shaded({row.id: row.miou for row in domains})
    scored = [row for row in rows if row.scored and row.to_other is not None]
    changed = sorted(scored, key=lambda row: row.to_other or 0.0)
    shares = [share for row in rows for share in (row.predicted, row.published) if share]
    return Result(
        card=card,
        classes=rows,
        domains=domains,
        shapes=shapes,
        changes=geography.changed({row.id: row.to_other for row in domains}) if other else [],
        view_box=geography.VIEW_BOX,
        miou_range=_range(shapes),
        matrix=matrix(card, rows),
        has_counts="confusion" in card,
        withheld=any(row.predicted and row.figures.get("precision", 0.0) is None for row in rows),
        frequency_full=max(shares, default=1.0),
        to_leader=_difference(card.get("miou"), _miou(yardsticks.get("leader"))),
        to_baseline=_difference(card.get("miou"), _miou(yardsticks.get("baseline"))),
        to_best=_difference(card.get("miou"), _miou(yardsticks.get("best"))),
        to_other=_difference(card.get("miou"), other.get("miou") if other else None),
        gains=[row for row in reversed(changed) if (row.to_other or 0) >= 0.0005][:3],
        losses=[row for row in changed if (row.to_other or 0) <= -0.0005][:3],
    )


def class_rows(
    card: Mapping[str, Any],
    *,
    phase: Phase,
    yardsticks: Mapping[str, Yardstick],
    other: Mapping[str, Any] | None,
) -> list[ClassRow]:
    """Return the classes in the task's order; empty where the terms show none."""
    known = {one["id"]: one for one in (phase.task_spec.data if phase.task_spec else {})["classes"]}
    others = {line["id"]: line for line in (other or {}).get("classes") or []}
    predicted = card.get("predicted_frequencies") or []
    published = frequencies(phase.challenge)
    rows = []
    for line in card.get("classes") or []:
        one = known[line["id"]]
        iou = line.get("iou")
        rows.append(
            ClassRow(
                id=line["id"],
                key=one["key"],
                name=one["name"],
                color=one["color"],
                scored=line["scored"],
                figures=line,
                to_leader=_difference(iou, _iou(yardsticks.get("leader"), one["key"])),
                to_baseline=_difference(iou, _iou(yardsticks.get("baseline"), one["key"])),
                to_best=_difference(iou, _iou(yardsticks.get("best"), one["key"])),
                to_other=_difference(iou, others.get(line["id"], {}).get("iou")),
                predicted=predicted[line["id"]] if line["id"] < len(predicted) else None,
                published=published.get(one["key"]),
            )
        )
    return rows


def domain_rows(
    card: Mapping[str, Any], *, phase: Phase, other: Mapping[str, Any] | None
) -> list[DomainRow]:
    """Return the domains, best first; empty where the terms show none."""
    names = geography.domain_names(phase.challenge.facts)
    others = (other or {}).get("domains") or {}
    rows = [
        DomainRow(
            id=name,
            name=names.get(name, name),
            patches=domain.get("patches"),
            miou=domain.get("miou"),
            to_other=_difference(domain.get("miou"), others.get(name, {}).get("miou")),
        )
        for name, domain in (card.get("domains") or {}).items()
    ]
    return sorted(rows, key=lambda row: -(row.miou or 0.0))


def matrix(card: Mapping[str, Any], rows: list[ClassRow]) -> list[tuple[ClassRow, list[Cell]]]:
    """Return the matrix's rows (truth) with their cells; empty where the terms hide it."""
    shares = card.get("confusion_rows") or []
    counts = card.get("confusion") or []
    found = []
    for position, row in enumerate(rows[: len(shares)]):
        line = shares[position]
        cells = []
        for column in range(len(shares)):
            value = line[column] if line is not None else None
            css = "diagonal" if column == position else ""
            if value is not None and value > 0:
                css += f" q{min(SHADES - 1, int(value**0.5 * SHADES))}"
            cells.append(
                Cell(
                    text="" if value is None or value < 0.0005 else percent(value, 1),
                    css=css.strip(),
                    count=counts[position][column] if counts else None,
                )
            )
        found.append((row, cells))
    return found


def ratio(submission: Submission) -> dict[str, Any] | None:
    """Return the declared inference time over the baseline's, and whether that is too much."""
    value = inference_ratio(submission.baseline_seconds, submission.method_seconds)
    if value is None:
        return None
    limit = submission.entry.phase.inference_ratio_limit
    return {"value": value, "limit": limit, "over": limit is not None and value > limit}


def _difference(mine: float | None, theirs: float | None) -> float | None:
    return None if mine is None or theirs is None else mine - theirs


def _range(shapes: list[dict[str, Any]]) -> tuple[float | None, float | None]:
    mious = [shape["miou"] for shape in shapes]
    return min(mious, default=None), max(mious, default=None)


def _miou(line: Yardstick | None) -> float | None:
    return line.miou if line is not None else None


def _iou(line: Yardstick | None, key: str) -> float | None:
    return line.ious.get(key) if line is not None else None
