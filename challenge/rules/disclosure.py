"""What of a score may leave the server: the one place that decides it. Pure.

While a phase is open every figure about its hidden labels is rounded to four decimals and counts
of pixels are withheld (a full-precision score tells the labels of a patch to who submits two
archives that differ in it; the matrix's row sums are the label counts). The organiser chooses how
much detail participants and readers see before the close. Page, API, CSV, e-mail and receipt all
pass through :func:`disclose` or :func:`figure`.

Open means: some phase on the same labels takes submissions. What one phase told in full about them
when it closed would be read by who goes on submitting to another.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum, StrEnum
from typing import Any

from challenge.rules.windows import Window, place

OPEN_DECIMALS = 4
# Precision divides by what was predicted, which the participant chooses: of a class predicted on
# one pixel it is that pixel's label. Below this share of all pixels it waits for the close.
PRECISION_FROM_SHARE = 0.01
# Stands for the close of a phase that has none.
NEVER = datetime(9999, 1, 1, tzinfo=UTC)


class Viewer(StrEnum):
    """Who looks at a score."""

    READER = "reader"
    OWNER = "owner"
    ORGANISER = "organiser"


class Precision(StrEnum):
    """When a phase's figures leave in full: the organiser's choice."""

    LABELS_CLOSED = "labels-closed"
    PHASE_CLOSED = "phase-closed"


class Detail(IntEnum):
    """How much is shown, each step with all before it."""

    MIOU = 1
    CLASSES = 2
    DOMAINS = 3
    FULL = 4


class Visibility(StrEnum):
    """Who may see a phase's leaderboard, and when."""

    PUBLIC = "public"
    AFTER_CLOSE = "after-close"
    ORGANISERS = "organisers"


@dataclass(frozen=True)
class Terms:
    """The terms under which figures leave: how many decimals, how much, counts or not."""

    detail: Detail
    decimals: int | None
    counts: bool

    @property
    def classes(self) -> bool:
        return self.detail >= Detail.CLASSES

    @property
    def domains(self) -> bool:
        return self.detail >= Detail.DOMAINS

    @property
    def matrix(self) -> bool:
        return self.detail >= Detail.FULL


def labels_open_until(
    labels: Set[object], *, others: Iterable[tuple[Set[object], datetime | None]]
) -> datetime | None:
    """Return when the last of the other phases on any of these labels closes.

    ``others`` are (labels, close; None for a phase without an end). None: no other phase has any
    of the labels; ``NEVER``: one of those that do has no end.

    >>> labels_open_until({"p1"}, others=[({"p1", "p2"}, None), ({"p3"}, None)]) == NEVER
    True
    """
    closes = [closes_at or NEVER for theirs, closes_at in others if labels & theirs]
    return max(closes, default=None)


def rounded_until(
    *, closes_at: datetime | None, labels_open_until: datetime | None, precision: str
) -> datetime:
    """Return the moment from which a phase's figures leave in full (``NEVER``: not foreseen)."""
    own = closes_at or NEVER
    if precision == Precision.PHASE_CLOSED or labels_open_until is None:
        return own
    return max(own, labels_open_until)


def terms(
    *,
    viewer: Viewer,
    detail: str,
    opens_at: datetime,
    rounded_until: datetime,
    now: datetime,
) -> Terms:
    """Return the terms for one viewer of one phase at one moment.

    ``detail`` is the phase's choice: full, domains, classes or miou; ``rounded_until`` is what the
    function of that name says. Organisers see every part, rounded like everyone until then: what
    they see may be copied into a mail.
    """
    if place(now, opens_at=opens_at, closes_at=rounded_until) is Window.CLOSED:
        return Terms(Detail.FULL, None, counts=True)
    if viewer is Viewer.ORGANISER:
        return Terms(Detail.FULL, OPEN_DECIMALS, counts=False)
    return Terms(Detail[detail.upper()], OPEN_DECIMALS, counts=False)


def board_visible(
    *,
    visibility: str,
    viewer: Viewer,
    opens_at: datetime,
    closes_at: datetime | None,
    now: datetime,
) -> bool:
    """Say whether the leaderboard may be seen."""
    if viewer is Viewer.ORGANISER or visibility == Visibility.PUBLIC:
        return True
    closed = place(now, opens_at=opens_at, closes_at=closes_at) is Window.CLOSED
    return visibility == Visibility.AFTER_CLOSE and closed


def score_visible(
    *,
    visibility: str,
    viewer: Viewer,
    opens_at: datetime,
    closes_at: datetime | None,
    now: datetime,
) -> bool:
    """Say whether a score may be seen by who may see its submission.

    A team sees its own score under every visibility but ``organisers``: an unseen board with
    seen scores is a usual arrangement, a hidden phase shows nothing.
    """
    if viewer is Viewer.OWNER and visibility != Visibility.ORGANISERS:
        return True
    return board_visible(
        visibility=visibility,
        viewer=viewer,
        opens_at=opens_at,
        closes_at=closes_at,
        now=now,
    )


def figure(value: float | None, *, terms: Terms) -> float | None:
    """Return one figure as it may leave; NaN and None are "not measured".

    >>> figure(0.123456, terms=Terms(Detail.FULL, 4, counts=False))
    0.1235
    """
    if value is None or math.isnan(value):
        return None
    return value if terms.decimals is None else round(value, terms.decimals)


def pair(value: Any, *, terms: Terms) -> list[float | None] | None:
    """Return an interval [low, high] as it may leave."""
    if value is None:
        return None
    low, high = value
    return [figure(low, terms=terms), figure(high, terms=terms)]


def disclose(card: Mapping[str, Any], *, terms: Terms) -> dict[str, Any]:
    """Return the part of an engine's score card that may leave under ``terms``.

    Always: spec, engine version, patches, pixels, miou and its interval, whole seconds (rounded
    up), notes, predicted frequencies (both tell of the upload alone). From ``classes`` on:
    overall accuracy, mean F1, per-class figures (precision of classes that were predicted on
    more than a little). From ``domains`` on: per-domain mIoU and IoUs.
    ``full``: the row-normalised matrix ``confusion_rows`` (null rows: no such truth). Counts
    (``confusion``, ``truth_pixels``, domains' matrices) only once the phase is closed.
    """
    intervals = card.get("intervals") or {}
    shown: dict[str, Any] = {
        "spec": card.get("spec"),
        "engine_version": card.get("engine_version"),
        "patches": card.get("patches"),
        "pixels": card.get("pixels"),
        "miou": figure(card.get("miou"), terms=terms),
        "miou_interval": pair(intervals.get("miou"), terms=terms),
        "seconds": math.ceil(card.get("seconds") or 0),
        "notes": list(card.get("notes") or []),
        "predicted_frequencies": card.get("predicted_frequencies"),
        "decimals": terms.decimals,
        "detail": terms.detail.name.lower(),
    }
    if terms.classes:
        class_intervals = intervals.get("classes") or []
        shown["overall_accuracy"] = figure(card.get("overall_accuracy"), terms=terms)
        shown["mean_f1"] = figure(card.get("mean_f1"), terms=terms)
        shown["classes"] = [
            _class_line(line, class_intervals, position, terms, pixels=card.get("pixels") or 0)
            for position, line in enumerate(card.get("classes") or [])
        ]
    if terms.domains:
        shown["domains"] = {
            name: _domain(domain, terms) for name, domain in (card.get("domains") or {}).items()
        }
    if terms.matrix:
        confusion = card.get("confusion") or []
        shown["confusion_rows"] = [row_shares(row, terms=terms) for row in confusion]
        if terms.counts:
            shown["confusion"] = confusion
    return shown


def row_shares(row: list[int], *, terms: Terms) -> list[float] | None:
    """Return a matrix row (pixels of one true class) as shares of its sum; None where empty.

    >>> row_shares([3, 1, 0], terms=Terms(Detail.FULL, 4, counts=False))
    [0.75, 0.25, 0.0]
    """
    total = sum(row)
    if total == 0:
        return None
    shares = [count / total for count in row]
    return shares if terms.decimals is None else [round(s, terms.decimals) for s in shares]


def _class_line(
    line: Mapping[str, Any],
    intervals: list[Any],
    position: int,
    terms: Terms,
    *,
    pixels: int,
) -> dict[str, Any]:
    is_coarse = (line.get("predicted_pixels") or 0) >= PRECISION_FROM_SHARE * pixels
    precision = line.get("precision") if is_coarse or terms.decimals is None else None
    shown = {
        "id": line["id"],
        "name": line.get("name"),
        "iou": figure(line.get("iou"), terms=terms),
        "iou_interval": pair(
            intervals[position] if position < len(intervals) else None, terms=terms
        ),
        "precision": figure(precision, terms=terms),
        "recall": figure(line.get("recall"), terms=terms),
        "f1": figure(line.get("f1"), terms=terms),
        "predicted_pixels": line.get("predicted_pixels"),
        "scored": line.get("scored", True),
    }
    if terms.counts:
        shown["truth_pixels"] = line.get("truth_pixels")
    return shown


def _domain(domain: Mapping[str, Any], terms: Terms) -> dict[str, Any]:
    shown = {
        "patches": domain.get("patches"),
        "pixels": domain.get("pixels"),
        "miou": figure(domain.get("miou"), terms=terms),
        "ious": [figure(iou, terms=terms) for iou in domain.get("ious") or []],
    }
    if terms.counts and "confusion" in domain:
        shown["confusion"] = domain["confusion"]
    return shown
