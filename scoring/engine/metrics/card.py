"""The type of the score card: the document with every number of a score.

The card is JSON from the scorer to the site's templates, so its type is a set of TypedDicts: the
documented keys (docs/scoring.md) are the type, nothing is converted on the way, and mypy checks
whoever reads a card. Matrices are lists of rows, rows are truth, columns the prediction; a ratio
that is undefined (0/0) is null.
"""

from __future__ import annotations

from typing import TypedDict

from scoring.engine import typed_json
from scoring.engine.problems.problems import ProblemDocument
from scoring.engine.typed_json import TypedJsonError

Matrix = list[list[int]]
Interval = list[float]  # [low, high], of 95 %


class ClassScore(TypedDict):
    """One class: its ratios (0..1, null where undefined) and its pixels."""

    id: int
    name: str
    key: str
    iou: float | None
    precision: float | None
    recall: float | None
    f1: float | None
    truth_pixels: int
    predicted_pixels: int
    scored: bool


class DomainScore(TypedDict):
    """One domain; ``ious`` in the order of the classes."""

    patches: int
    pixels: int
    miou: float | None
    ious: list[float | None]
    confusion: Matrix


class ZoneScore(TypedDict):
    """One zone: what comparisons and re-sampling need."""

    domain: str
    patches: int
    pixels: int
    miou: float | None
    confusion: Matrix


class _IntervalMethod(TypedDict, total=False):
    method: str


class ScoreIntervals(_IntervalMethod):
    """95 % intervals of the mIoU and of each class's IoU; null where the zones are too few.

    ``method`` names how they were computed, with its version; cards of engine 1.0.0 lack it (they
    have the estimate ± t × the bootstrap's standard deviation).
    """

    miou: Interval | None
    classes: list[Interval | None]


class CardZones(TypedDict):
    """The keys of a card that a comparison reads: its task and its zones by name."""

    spec: str
    spec_digest: str
    zones: dict[str, ZoneScore]


class ScoreCard(CardZones):
    """Everything that is said about one score. Digests are sha256 in hexadecimal."""

    engine_version: str
    truth_digest: str
    content_digest: str
    patches: int
    pixels: int
    miou: float | None
    overall_accuracy: float | None
    mean_f1: float | None
    classes: list[ClassScore]
    confusion: Matrix
    predicted_frequencies: list[float]
    domains: dict[str, DomainScore]
    intervals: ScoreIntervals
    seconds: float
    notes: list[ProblemDocument]


class CardError(ValueError):
    """A document that is no score card; the message names the key."""


def from_json(document: object) -> ScoreCard:
    """The score card in a JSON document. Raises `CardError` if it is none."""
    try:
        return typed_json.check(document, ScoreCard)
    except TypedJsonError as error:
        raise CardError(f"not a score card: {error}") from error
