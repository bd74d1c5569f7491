"""A disclosed score card made ready for its page: rows, differences, shades, map."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from challenge.models import Phase, Submission
from challenge.rules import ranking
from challenge.rules.disclosure import DisclosedCard, DisclosedClass
from challenge.selectors.comparisons import ComparisonScore
from challenge.templatetags.flair import percent
from challenge.web import geography
from challenge.web.challenges.facts import class_shares, domain_names

SHADES = 10


@dataclass(frozen=True)
class ClassRow:
    """One class: its values and the differences to other submissions (fractions)."""

    id: int
    key: str
    name: Any
    color: str
    scored: bool
    values: DisclosedClass
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
class ScorePage:
    """What the page prints."""

    card: DisclosedCard
    classes: list[ClassRow]
    domains: list[DomainRow]
    shapes: list[dict[str, Any]]
    changes: list[dict[str, Any]]
    view_box: str
    miou_range: tuple[float | None, float | None]
    matrix: list[tuple[ClassRow, list[Cell]]]
    has_counts: bool
    rounded: bool
    frequency_full: float
    to_leader: float | None
    to_baseline: float | None
    to_best: float | None
    to_other: float | None
    gains: list[ClassRow] = field(default_factory=list)
    losses: list[ClassRow] = field(default_factory=list)


def build(
    card: DisclosedCard,
    *,
    phase: Phase,
    comparison_scores: Mapping[str, ComparisonScore],
    other: DisclosedCard | None,
) -> ScorePage:
    """Return a card's page under the policy that the card was disclosed with."""
    rows = class_rows(card, phase=phase, comparison_scores=comparison_scores, other=other)
    domains = domain_rows(card, phase=phase, other=other)
    shapes = geography.shaded({row.id: row.miou for row in domains})
    scored = [row for row in rows if row.scored and row.to_other is not None]
    changed = sorted(scored, key=lambda row: row.to_other or 0.0)
    shares = [share for row in rows for share in (row.predicted, row.published) if share]
    return ScorePage(
        card=card,
        classes=rows,
        domains=domains,
        shapes=shapes,
        changes=geography.changed({row.id: row.to_other for row in domains}) if other else [],
        view_box=geography.VIEW_BOX,
        miou_range=_range(shapes),
        matrix=matrix(card, rows),
        has_counts="confusion" in card,
        rounded=card["miou_step"] is not None,
        frequency_full=max(shares, default=1.0),
        to_leader=_difference(card["miou"], _miou(comparison_scores.get("leader"))),
        to_baseline=_difference(card["miou"], _miou(comparison_scores.get("baseline"))),
        to_best=_difference(card["miou"], _miou(comparison_scores.get("best"))),
        to_other=_difference(card["miou"], other["miou"] if other else None),
        gains=[row for row in reversed(changed) if (row.to_other or 0) >= 0.0005][:3],
        losses=[row for row in changed if (row.to_other or 0) <= -0.0005][:3],
    )


def class_rows(
    card: DisclosedCard,
    *,
    phase: Phase,
    comparison_scores: Mapping[str, ComparisonScore],
    other: DisclosedCard | None,
) -> list[ClassRow]:
    """Return the classes in the task's order; empty where the policy shows none."""
    known = {
        class_spec["id"]: class_spec
        for class_spec in (phase.task_spec.data if phase.task_spec else {})["classes"]
    }
    others = {line["id"]: line["iou"] for line in (other.get("classes", []) if other else [])}
    predicted = card["predicted_frequencies"] or []
    published = class_shares(phase.challenge.facts)
    rows = []
    for line in card.get("classes", []):
        class_spec = known[line["id"]]
        iou = line["iou"]
        rows.append(
            ClassRow(
                id=line["id"],
                key=class_spec["key"],
                name=class_spec["name"],
                color=class_spec["color"],
                scored=line["scored"],
                values=line,
                to_leader=_difference(
                    iou, _iou(comparison_scores.get("leader"), class_spec["key"])
                ),
                to_baseline=_difference(
                    iou, _iou(comparison_scores.get("baseline"), class_spec["key"])
                ),
                to_best=_difference(iou, _iou(comparison_scores.get("best"), class_spec["key"])),
                to_other=_difference(iou, others.get(line["id"])),
                predicted=predicted[line["id"]] if line["id"] < len(predicted) else None,
                published=published.get(class_spec["key"]),
            )
        )
    return rows


def domain_rows(
    card: DisclosedCard, *, phase: Phase, other: DisclosedCard | None
) -> list[DomainRow]:
    """Return the domains, best first; empty where the policy shows none."""
    names = domain_names(phase.challenge.facts)
    other_domains = other.get("domains", {}) if other else {}
    others = {name: domain["miou"] for name, domain in other_domains.items()}
    rows = [
        DomainRow(
            id=name,
            name=names.get(name, name),
            patches=domain["patches"],
            miou=domain["miou"],
            to_other=_difference(domain["miou"], others.get(name)),
        )
        for name, domain in card.get("domains", {}).items()
    ]
    return sorted(rows, key=lambda row: -(row.miou or 0.0))


def matrix(card: DisclosedCard, rows: list[ClassRow]) -> list[tuple[ClassRow, list[Cell]]]:
    """Return the matrix's rows (truth) with their cells; empty where the policy hide it."""
    shares = card.get("confusion_rows", [])
    counts = card.get("confusion", [])
    rows_of_cells = []
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
        rows_of_cells.append((row, cells))
    return rows_of_cells


def ratio(submission: Submission) -> dict[str, Any] | None:
    """Return the declared inference time over the baseline's, and whether that is too much."""
    value = ranking.inference_ratio(submission.baseline_seconds, submission.method_seconds)
    if value is None:
        return None
    limit = submission.entry.phase.inference_ratio_limit
    return {"value": value, "limit": limit, "over": limit is not None and value > limit}


def _difference(mine: float | None, theirs: float | None) -> float | None:
    return None if mine is None or theirs is None else mine - theirs


def _range(shapes: list[dict[str, Any]]) -> tuple[float | None, float | None]:
    mious = [shape["miou"] for shape in shapes]
    return min(mious, default=None), max(mious, default=None)


def _miou(line: ComparisonScore | None) -> float | None:
    return line.miou if line is not None else None


def _iou(line: ComparisonScore | None, key: str) -> float | None:
    return line.ious.get(key) if line is not None else None
