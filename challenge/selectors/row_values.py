"""The disclosed metrics of one row of a leaderboard."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Case, OuterRef, Q, When
from django.db.models.functions import JSONObject

from challenge.rules.disclosure import DisclosurePolicy, disclose_class_ious, disclose_value
from challenge.selectors import scores


@dataclass(frozen=True)
class RowValues:
    """The disclosed metrics of one score, or their means over a baseline's seeds."""

    miou: float | None
    interval: tuple[float | None, float | None] | None
    overall_accuracy: float | None
    class_ious: dict[str, float | None]
    domain_mious: dict[str, float | None]
    std: float | None = None


def disclosed(
    line: dict[str, Any], runs: Sequence[dict[str, Any]], *, policy: DisclosurePolicy
) -> RowValues:
    """Return a line's values: disclosed first, then averaged over the seeds.

    Means of rounded values have four decimals.
    """
    if len(runs) < 2:
        return _of_score(line, policy=policy)
    each = [_of_score(run, policy=policy) for run in runs]
    mious = [values.miou for values in each if values.miou is not None]
    miou = _mean(mious)
    std = statistics.stdev(mious) if len(mious) > 1 else None

    def short(value: float | None) -> float | None:
        return round(value, 4) if value is not None and policy.rounded else value

    return RowValues(
        miou=short(miou),
        interval=(
            None
            if miou is None or std is None
            else (short(max(0.0, miou - std)), short(min(1.0, miou + std)))
        ),
        overall_accuracy=short(_mean([values.overall_accuracy for values in each])),
        class_ious={
            name: short(value)
            for name, value in _means([values.class_ious for values in each]).items()
        },
        domain_mious=_means([values.domain_mious for values in each]),
        std=short(std),
    )


def marks(line: dict[str, Any], *, closes_at: datetime | None) -> list[str]:
    """Return what a row is marked with: "late" (after the close), "extra-places"."""
    late = closes_at is not None and line["created_at"] >= closes_at and not line["is_baseline"]
    return ["late"] * late + ["extra-places"] * bool(line["extra_places"])


def seeds_column() -> Case:
    """Return an annotation of rank lines, for `runs_of`.

    For baselines alone: the scores of all submissions of the row's method.
    """
    same = (
        scores.on_board_in("phase")
        .filter(
            # an imported score of hidden labels has its rounded value alone
            Q(miou__isnull=False) | Q(rounded_miou__isnull=False),
            evaluation__submission__entry=OuterRef("entry"),
            evaluation__submission__is_baseline=True,
            evaluation__submission__method_name=OuterRef("submission__method_name"),
        )
        .order_by("evaluation__submission_id", "-evaluation__revision")
        .distinct("evaluation__submission_id")
        .values(
            seed=JSONObject(
                of="evaluation__submission__training_runs__seed",
                submission="evaluation__submission_id",
                number="evaluation__submission__number",
                miou="miou",
                overall_accuracy="overall_accuracy",
                class_ious="class_ious",
                domain_mious="domain_mious",
                rounded="rounded",
            )
        )
    )
    return Case(When(submission__is_baseline=True, then=ArraySubquery(same)))


def runs_of(line: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a baseline's scores, one for each seed: of one that was trained again, the last."""
    last: dict[object, dict[str, Any]] = {}
    for run in sorted(line["seeds"] or [], key=lambda run: run["number"]):
        last[run["submission"] if run["of"] is None else run["of"]] = run
    return list(last.values())


def domains_of(lines: Iterable[dict[str, Any]]) -> list[str]:
    """Return the names of all domains that were scored, in order."""
    scored = [score for line in lines for score in (line, *runs_of(line))]
    return sorted({domain for score in scored for domain in score["domain_mious"]})


def _of_score(score: dict[str, Any], *, policy: DisclosurePolicy) -> RowValues:
    """Return a score's values as they may leave; the one place where a row's pass the policy."""
    rounded = score["rounded"] or {}
    low, high = score.get("low"), score.get("high")
    interval = rounded.get("miou_interval") if policy.rounded else (low, high)
    return RowValues(
        miou=disclose_value(score["miou"], rounded.get("miou"), policy=policy),
        interval=None if interval is None or None in interval else (interval[0], interval[1]),
        overall_accuracy=disclose_value(
            score["overall_accuracy"], rounded.get("overall_accuracy"), policy=policy
        ),
        class_ious=disclose_class_ious(score["class_ious"], rounded, policy=policy),
        domain_mious=score["domain_mious"] if policy.domains else {},
    )


def _means(values: Sequence[dict[str, float | None]]) -> dict[str, float | None]:
    names = dict.fromkeys(name for each in values for name in each)
    return {name: _mean([each.get(name) for each in values]) for name in names}


def _mean(values: Sequence[float | None]) -> float | None:
    """Return the mean of what is known; None where nothing is."""
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None
