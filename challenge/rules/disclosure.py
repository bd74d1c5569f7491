"""What of a score may leave the server: the one place that decides it. Pure.

While any phase on hidden labels is open, their metrics leave as rounded values
(:mod:`challenge.rules.rounding`: in steps, cells too small suppressed), without matrix, without
domains and without counts of true pixels, whatever the phase's detail says and for organisers too.
Public labels have nothing to hide: they leave in full, as much of them as the organiser chose.
Page, API, CSV, e-mail and receipt all pass through :func:`disclose` or :func:`disclose_value`.

Open means: some phase on the same labels takes submissions. What one phase told in full about them
when it closed would be read by who goes on submitting to another.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum, StrEnum
from typing import Any, NotRequired, TypedDict

from challenge.rules.rounding import MIOU_STEPS, RoundedClass, decimals_of
from challenge.rules.windows import Window, window_at

# Stands for the close of a phase that has none.
NEVER = datetime(9999, 1, 1, tzinfo=UTC)


class Viewer(StrEnum):
    """Who looks at a score."""

    READER = "reader"
    OWNER = "owner"
    ORGANISER = "organiser"


class Precision(StrEnum):
    """When a phase's values leave in full: the organiser's choice."""

    LABELS_CLOSED = "labels-closed"
    PHASE_CLOSED = "phase-closed"


class Detail(IntEnum):
    """How much is shown, each step with all before it."""

    MIOU = 1
    CLASSES = 2
    DOMAINS = 3
    FULL = 4

    @property
    def word(self) -> str:
        """The step as phases and challenge files write it."""
        return self.name.lower()


class Visibility(StrEnum):
    """Who may see a phase's leaderboard, and when."""

    PUBLIC = "public"
    AFTER_CLOSE = "after-close"
    OWN_TEAM = "own-team"
    ORGANISERS = "organisers"


@dataclass(frozen=True)
class DisclosurePolicy:
    """The policy under which values leave: how much, rounded or in full, counts or not.

    ``miou_step`` is the step of the mIoU while values leave rounded, None in full precision.
    """

    detail: Detail
    miou_step: float | None
    counts: bool

    @property
    def rounded(self) -> bool:
        return self.miou_step is not None

    @property
    def decimals(self) -> int | None:
        """How many decimals a rounded mIoU has; None: full precision."""
        return None if self.miou_step is None else decimals_of(self.miou_step)

    @property
    def classes(self) -> bool:
        return self.detail >= Detail.CLASSES

    @property
    def domains(self) -> bool:
        return self.detail >= Detail.DOMAINS

    @property
    def matrix(self) -> bool:
        return self.detail >= Detail.FULL


class DisclosedClass(TypedDict):
    """One class of a disclosed card; ``truth_pixels`` only with counts."""

    id: int
    name: str | None
    iou: float | None
    iou_interval: list[float | None] | None
    precision: float | None
    recall: float | None
    f1: float | None
    predicted_pixels: int | None
    scored: bool
    truth_pixels: NotRequired[int | None]


class DisclosedDomain(TypedDict):
    """One domain of a disclosed card; ``ious`` in the order of the classes."""

    patches: int | None
    pixels: int | None
    miou: float | None
    ious: list[float | None]
    confusion: NotRequired[list[list[int]]]


class DisclosedCard(TypedDict):
    """The part of a score card that :func:`disclose` lets leave; missing keys do not.

    ``counted_zones`` is the stored score's: all, public or private.
    """

    spec: str | None
    engine_version: str | None
    patches: int | None
    pixels: int | None
    miou: float | None
    miou_interval: list[float | None] | None
    seconds: int
    notes: list[Any]
    predicted_frequencies: list[float] | None
    decimals: int | None
    miou_step: float | None
    detail: str
    counted_zones: NotRequired[str]
    overall_accuracy: NotRequired[float | None]
    mean_f1: NotRequired[float | None]
    classes: NotRequired[list[DisclosedClass]]
    domains: NotRequired[dict[str, DisclosedDomain]]
    confusion_rows: NotRequired[list[list[float] | None]]
    confusion: NotRequired[list[list[int]]]


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
    """Return the moment from which a phase's values leave in full (``NEVER``: not foreseen)."""
    own = closes_at or NEVER
    if precision == Precision.PHASE_CLOSED or labels_open_until is None:
        return own
    return max(own, labels_open_until)


def policy_for(
    *,
    viewer: Viewer,
    detail: str,
    opens_at: datetime,
    rounded_until: datetime,
    now: datetime,
    labels_public: bool = False,
    miou_step: float | None = None,
) -> DisclosurePolicy:
    """Return the policy for one viewer of one phase at one moment.

    ``detail`` is the phase's choice: full, domains, classes or miou; ``rounded_until`` is what the
    function of that name says; ``miou_step`` is that of the phase's labels (None: not known yet).
    Of hidden labels organisers see the classes, rounded like everyone: what they see may be copied
    into a mail.
    """
    is_closed = window_at(now, opens_at=opens_at, closes_at=rounded_until) is Window.CLOSED
    if is_closed or (labels_public and viewer is Viewer.ORGANISER):
        return DisclosurePolicy(Detail.FULL, None, counts=True)
    chosen = Detail[detail.upper()]
    if labels_public:
        return DisclosurePolicy(chosen, None, counts=True)
    shown = Detail.CLASSES if viewer is Viewer.ORGANISER else min(chosen, Detail.CLASSES)
    return DisclosurePolicy(shown, miou_step or MIOU_STEPS[-1], counts=False)


def leaderboard_visible(*, visibility: str, viewer: Viewer, settled: bool) -> bool:
    """Say whether the whole leaderboard may be seen. ``settled``: the phase is closed and settled.

    >>> leaderboard_visible(visibility="after-close", viewer=Viewer.READER, settled=False)
    False
    """
    if viewer is Viewer.ORGANISER or visibility == Visibility.PUBLIC:
        return True
    return visibility == Visibility.AFTER_CLOSE and settled


def score_visible(
    *, visibility: str, viewer: Viewer, settled: bool, behind_freeze: bool = False
) -> bool:
    """Say whether a score may be seen by who may see its submission.

    A team sees its own score under every visibility but ``organisers``: an unseen board with
    seen scores is a usual arrangement, a hidden phase shows nothing. ``behind_freeze``: it was
    submitted after the moment of a freeze that hides teams' own scores, too.
    """
    if behind_freeze and viewer is not Viewer.ORGANISER:
        return False
    if viewer is Viewer.OWNER and visibility != Visibility.ORGANISERS:
        return True
    return leaderboard_visible(visibility=visibility, viewer=viewer, settled=settled)


class Pictures(StrEnum):
    """What pictures of a submission's patches may show; ``LABELS``: errors and values too."""

    NONE = "none"
    PREDICTIONS = "predictions"
    LABELS = "labels"


def pictures_shown(
    policy: DisclosurePolicy, *, images_public: bool, labels_public: bool, score_visible: bool
) -> Pictures:
    """Return it for whoever may see the submission: of hidden labels nothing, at any time."""
    if not images_public:
        return Pictures.NONE
    told = labels_public and score_visible and policy.classes and not policy.rounded
    return Pictures.LABELS if told else Pictures.PREDICTIONS


def disclose_value(
    value: float | None, rounded: float | None, *, policy: DisclosurePolicy
) -> float | None:
    """Return a metric as it may leave, of its full and its rounded value; NaN gives None.

    >>> open_policy = DisclosurePolicy(Detail.CLASSES, 0.001, counts=False)
    >>> disclose_value(0.123456, 0.123, policy=open_policy)
    0.123
    """
    shown = rounded if policy.rounded else value
    return None if shown is None or math.isnan(shown) else shown


def disclose_miou(
    value: float | None, rounded: float | None, *, policy: DisclosurePolicy
) -> float | None:
    """Return a score's mIoU (``Score.miou``, ``Score.rounded_miou``) as it may leave.

    Equal values are ties for whoever sees them.
    """
    return disclose_value(value, rounded, policy=policy)


def disclose_class_ious(
    ious: Mapping[str, float | None], rounded: Mapping[str, Any], *, policy: DisclosurePolicy
) -> dict[str, float | None]:
    """Return a score's IoUs by class key (``Score.class_ious``, ``Score.rounded``) likewise.

    A suppressed class is None.
    """
    shown = (rounded.get("class_ious") or {}) if policy.rounded else ious
    return {key: _number(shown.get(key)) for key in ious}


def disclose(
    card: Mapping[str, Any], rounded: Mapping[str, Any], *, policy: DisclosurePolicy
) -> DisclosedCard:
    """Return the part of an engine's score card that may leave under ``policy``.

    ``rounded`` are the card's rounded values (`rounding.RoundedValues`; empty where there are none:
    then no metric leaves while the policy rounds).
    Always: spec, engine version, patches, pixels, miou and its interval, whole seconds (rounded
    up), notes, predicted frequencies (both tell of the upload alone). From ``classes`` on:
    overall accuracy, mean F1, per-class values; precision and the classes' intervals only in full
    precision. From ``domains`` on: per-domain mIoU and IoUs. ``full``: the row-normalised matrix
    ``confusion_rows`` (null rows: no such truth). Counts (``confusion``, ``truth_pixels``, domains'
    matrices) only with the policy's counts.
    """
    values: Mapping[str, Any] = rounded if policy.rounded else card
    intervals = card.get("intervals") or {}
    interval = rounded.get("miou_interval") if policy.rounded else intervals.get("miou")
    shown: DisclosedCard = {
        "spec": card.get("spec"),
        "engine_version": card.get("engine_version"),
        "patches": card.get("patches"),
        "pixels": card.get("pixels"),
        "miou": _number(values.get("miou")),
        "miou_interval": None if interval is None else [_number(end) for end in interval],
        "seconds": math.ceil(card.get("seconds") or 0),
        "notes": list(card.get("notes") or []),
        "predicted_frequencies": card.get("predicted_frequencies"),
        "decimals": policy.decimals,
        "miou_step": policy.miou_step,
        "detail": policy.detail.name.lower(),
    }
    if policy.classes:
        shown["overall_accuracy"] = _number(values.get("overall_accuracy"))
        shown["mean_f1"] = _number(values.get("mean_f1"))
        shown["classes"] = _classes(card, rounded, policy)
    if policy.domains:
        shown["domains"] = {
            name: _domain(domain, policy) for name, domain in (card.get("domains") or {}).items()
        }
    if policy.matrix:
        confusion = card.get("confusion") or []
        shown["confusion_rows"] = [row_shares(row) for row in confusion]
        if policy.counts:
            shown["confusion"] = confusion
    return shown


def row_shares(row: list[int]) -> list[float] | None:
    """Return a matrix row (pixels of one true class) as shares of its sum; None where empty.

    >>> row_shares([3, 1, 0])
    [0.75, 0.25, 0.0]
    """
    total = sum(row)
    return None if total == 0 else [count / total for count in row]


def _classes(
    card: Mapping[str, Any], rounded: Mapping[str, Any], policy: DisclosurePolicy
) -> list[DisclosedClass]:
    intervals = (card.get("intervals") or {}).get("classes") or []
    rounded_lines = {line["id"]: line for line in rounded.get("classes") or []}
    return [
        _rounded_class(line, rounded_lines.get(line["id"]))
        if policy.rounded
        else _full_class(line, intervals[position] if position < len(intervals) else None, policy)
        for position, line in enumerate(card.get("classes") or [])
    ]


def _rounded_class(line: Mapping[str, Any], rounded: RoundedClass | None) -> DisclosedClass:
    return {
        "id": line["id"],
        "name": line.get("name"),
        "iou": rounded["iou"] if rounded else None,
        "iou_interval": None,
        "precision": None,
        "recall": rounded["recall"] if rounded else None,
        "f1": rounded["f1"] if rounded else None,
        "predicted_pixels": line.get("predicted_pixels"),
        "scored": line.get("scored", True),
    }


def _full_class(line: Mapping[str, Any], interval: Any, policy: DisclosurePolicy) -> DisclosedClass:
    shown: DisclosedClass = {
        "id": line["id"],
        "name": line.get("name"),
        "iou": _number(line.get("iou")),
        "iou_interval": None if interval is None else [_number(end) for end in interval],
        "precision": _number(line.get("precision")),
        "recall": _number(line.get("recall")),
        "f1": _number(line.get("f1")),
        "predicted_pixels": line.get("predicted_pixels"),
        "scored": line.get("scored", True),
    }
    if policy.counts:
        shown["truth_pixels"] = line.get("truth_pixels")
    return shown


def _domain(domain: Mapping[str, Any], policy: DisclosurePolicy) -> DisclosedDomain:
    shown: DisclosedDomain = {
        "patches": domain.get("patches"),
        "pixels": domain.get("pixels"),
        "miou": _number(domain.get("miou")),
        "ious": [_number(iou) for iou in domain.get("ious") or []],
    }
    if policy.counts and "confusion" in domain:
        shown["confusion"] = domain["confusion"]
    return shown


def _number(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value
