"""The disclosed metrics of one row of a leaderboard."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from challenge.rules.disclosure import DisclosurePolicy, disclose_class_ious, disclose_value


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
