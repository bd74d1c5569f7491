"""Results as text for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from scoring.engine.metrics.card import ScoreCard
from scoring.engine.metrics.compare import ComparisonDocument, DifferenceDocument
from scoring.engine.problems.problems import ProblemDocument
from scoring.engine.scorer.verdicts import ValidationReport

BAR_CELLS = 20
_HEAD = (
    "  class                       IoU"
    + " " * (BAR_CELLS + 3)
    + ("prec. recall     F1   truth   pred.")
)


class PackedFacts(TypedDict):
    """What `pack` wrote: the digest of the masks, counts, and sizes before and after."""

    digest: str
    patches: int
    domains: int
    zones: int
    file_bytes: int
    raw_bytes: int


def score(card: ScoreCard) -> str:
    """A score card: the metrics, then a line per class."""
    interval = card["intervals"]["miou"]
    lines = [
        f"{card['spec']}: {card['patches']:,} patches, {card['pixels']:,} pixels",
        f"in {card['seconds']:.1f} s, engine {card['engine_version']}; values in per cent",
        "",
        f"  mIoU              {_ratio(card['miou'])}{_within(interval)}",
        f"  overall accuracy  {_ratio(card['overall_accuracy'])}",
        f"  mean F1           {_ratio(card['mean_f1'])}",
        "",
        _HEAD,
    ]
    for cls in card["classes"]:
        name = cls["name"] if cls["scored"] else f"({cls['name']})"
        lines.append(
            f"  {name:<24} {_ratio(cls['iou'])} {_bar(cls['iou']):<{BAR_CELLS}} "
            f"{_ratio(cls['precision'])} {_ratio(cls['recall'])} {_ratio(cls['f1'])} "
            f"{_share(cls['truth_pixels'], card['pixels'])} "
            f"{_share(cls['predicted_pixels'], card['pixels'])}"
        )
    if any(not cls["scored"] for cls in card["classes"]):
        lines.append("  (in brackets: not in the means)")
    return "\n".join(lines + _notes(card["notes"]))


def valid(report: ValidationReport) -> str:
    """A validation that found nothing wrong."""
    lines = [f"{report['spec']}: valid, {report['patches']:,} patches; nothing is missing."]
    return "\n".join(lines + _notes(report["notes"]))


def refused(messages: Sequence[str], *, more: int) -> str:
    """Problems, one a line, and the count of the rest."""
    lines = ["Refused:", *(f"  - {message}" for message in messages)]
    if more:
        lines.append(f"  … and {more:,} more")
    return "\n".join(lines)


def packed(facts: PackedFacts, *, out: Path) -> str:
    """What was packed."""
    share = 100 * facts["file_bytes"] / facts["raw_bytes"]
    return (
        f"{out}: {facts['patches']:,} masks of {facts['zones']} zones in {facts['domains']} "
        f"domains, {facts['file_bytes'] / 1e6:.1f} MB ({share:.1f} % of the pixels)\n"
        f"digest {facts['digest']}"
    )


def comparison(document: ComparisonDocument, *, a: str, b: str) -> str:
    """A against B: the difference of mIoU in words, then a line per class."""
    miou = document["miou"]
    lines = [
        f"A = {a}",
        f"B = {b}",
        f"paired over {document['n_zones']} zones: interval and p by the jackknife",
        f"P(A better): share of {document['resamples']:,} bootstrap resamples of the zones",
        "values and differences in per cent",
        "",
        f"  {'':<24} {'A':>6} {'B':>6} {'A - B':>8}  {'95 % interval':<19} {'p':<6} P(A better)",
        _line("mIoU", miou),
        *(
            _line(cls["name"] if cls["scored"] else f"({cls['name']})", cls)
            for cls in document["classes"]
        ),
        "",
        _conclusion(miou),
    ]
    return "\n".join(lines)


def _line(name: str, row: DifferenceDocument) -> str:
    gap = "       -" if row["difference"] is None else f"{100 * row['difference']:+8.2f}"
    interval = row["interval"]
    within = "-" if interval is None else f"{100 * interval[0]:+.2f} … {100 * interval[1]:+.2f}"
    chance = row["probability_a_better"]
    better = "-" if chance is None else f"{chance:.3f}"
    p = "-" if row["p_value"] is None else f"{row['p_value']:.4f}"
    ratios = f"{_ratio(row['a'])} {_ratio(row['b'])}"
    return f"  {name:<24} {ratios} {gap}  {within:<19} {p:<6} {better}"


def _conclusion(row: DifferenceDocument) -> str:
    interval = row["interval"]
    if interval is None:
        return "Too few zones, or a class in too few of them, to say which is better."
    if interval[0] > 0:
        return "A is better: the interval of the difference lies above 0."
    if interval[1] < 0:
        return "B is better: the interval of the difference lies below 0."
    return "No clear difference: the interval includes 0."


def _ratio(value: float | None) -> str:
    return "     -" if value is None else f"{100 * value:6.2f}"


def _within(interval: Sequence[float] | None) -> str:
    if interval is None:
        return ""
    return f"   95 % interval {100 * interval[0]:.2f} … {100 * interval[1]:.2f}"


def _bar(value: float | None) -> str:
    return "█" * round((value or 0.0) * BAR_CELLS)


def _share(pixels: int, total: int) -> str:
    return f"{100 * pixels / total:6.2f}%" if total else "      -"


def _notes(notes: Sequence[ProblemDocument]) -> list[str]:
    return ["", *(f"note: {note['message']}" for note in notes)] if notes else []
