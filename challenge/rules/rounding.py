"""Random rounding of metrics of hidden labels, in steps tied to their denominators. Pure.

A metric of hidden labels leaves as a multiple of its step: of the two multiples beside it the upper
one with the probability that makes the expected value right. The choice is a keyed hash of the
predictions' digest and the metric's name, so that the same predictions always get the same values
and nobody can compute or repeat it. Plain rounding has edges, and who brings a value to an edge
reads one pixel's label off it; here one pixel moves a probability, by at most 1/`PIXELS_PER_STEP`.

A step is `PIXELS_PER_STEP` times the most that the label of one pixel can move the metric (the
smallest number of the list that is no less). Where the list has none, a class is suppressed. Steps
depend on the labels alone and are made once, when labels are installed. Decision 300 argues the
numbers.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from typing import Any, Self, TypedDict

PIXELS_PER_STEP = 400_000
MIOU_STEPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05)
CLASS_STEPS = (0.005, 0.01, 0.02, 0.05)
# An end lies 1.96 standard errors from the value, and one pixel moves the error less than the
# value: both together move an end less than three times as far.
INTERVAL_FACTOR = 5


@dataclass(frozen=True)
class Steps:
    """The steps of one ground truth; ``classes`` has those of class ids that are not suppressed.

    >>> steps = steps_for([9_000_000, 90_000_000, 5], scored=[0, 1])
    >>> steps.miou, steps.classes
    (0.05, {0: 0.05, 1: 0.005})
    """

    miou: float
    interval: float
    overall_accuracy: float
    classes: Mapping[int, float]

    def to_json(self) -> dict[str, Any]:
        """Return what the database stores."""
        return asdict(self) | {"classes": {str(key): step for key, step in self.classes.items()}}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return what `to_json` wrote."""
        classes = {int(key): float(step) for key, step in data["classes"].items()}
        return cls(data["miou"], data["interval"], data["overall_accuracy"], classes)


class RoundedClass(TypedDict):
    """One class's rounded values; all None where it is suppressed."""

    id: int
    key: str
    iou: float | None
    recall: float | None
    f1: float | None


class RoundedValues(TypedDict):
    """The metrics of a score card as they may leave while the labels are hidden."""

    miou: float | None
    miou_interval: list[float | None] | None
    overall_accuracy: float | None
    mean_f1: float | None
    classes: list[RoundedClass]
    class_ious: dict[str, float | None]


def steps_for(
    class_pixels: Sequence[int],
    *,
    scored: Collection[int],
    pixels_per_step: int = PIXELS_PER_STEP,
) -> Steps:
    """Return the steps of labels with these true pixels by class id; ``scored`` count in the mIoU.

    The mIoU is the mean over n classes; one pixel's label belongs to two of them, and moves the IoU
    of each by no more than 1 / its true pixels. It is never suppressed: where the last step is too
    small for a very rare class, blocks of that class are not protected (`is_protected`).
    """
    present = [class_pixels[index] for index in scored if class_pixels[index] > 0]
    by_miou = 2 / (len(present) * min(present)) if present else math.inf
    by_accuracy = 1 / max(1, sum(class_pixels))
    miou = _step(pixels_per_step * by_miou, MIOU_STEPS) or MIOU_STEPS[-1]
    return Steps(
        miou=miou,
        interval=min(INTERVAL_FACTOR * miou, MIOU_STEPS[-1]),
        overall_accuracy=_step(pixels_per_step * by_accuracy, MIOU_STEPS) or MIOU_STEPS[-1],
        classes={
            index: step
            for index, pixels in enumerate(class_pixels)
            if pixels > 0 and (step := _step(pixels_per_step / pixels, CLASS_STEPS)) is not None
        },
    )


def is_protected(
    class_pixels: Sequence[int],
    *,
    scored: Collection[int],
    pixels_per_step: int = PIXELS_PER_STEP,
) -> bool:
    """Say whether the last step of the mIoU is large enough for the rarest scored class."""
    present = [class_pixels[index] for index in scored if class_pixels[index] > 0]
    return bool(present) and pixels_per_step * 2 / (len(present) * min(present)) <= MIOU_STEPS[-1]


def random_rounding(
    value: float | None, *, step: float, key: bytes, digest: str, metric: str
) -> float | None:
    """Return a multiple of ``step`` beside ``value`` (a fraction); None and NaN give None.

    The upper one with the probability (value - lower) / step, by BLAKE2b under ``key`` (at most 64
    bytes) of the predictions' digest and the metric's name.

    >>> random_rounding(0.25, step=0.05, key=b"k", digest="d", metric="miou")
    0.25
    """
    if value is None or math.isnan(value):
        return None
    hashed = blake2b(f"{metric} {digest}".encode(), key=key, digest_size=8).digest()
    draw = int.from_bytes(hashed, "big") / 2**64
    return min(1.0, round(math.floor(value / step + draw) * step, 6))


def rounded_values(card: Mapping[str, Any], *, steps: Steps, key: bytes) -> RoundedValues:
    """Return the rounded values of an engine's score card.

    F1 follows from the rounded IoU (2 IoU / (1 + IoU)), so that it tells nothing more. Precision is
    not among them: its denominator is what the participant predicted.
    """

    def rounded(value: float | None, step: float | None, metric: str) -> float | None:
        if step is None:
            return None
        return random_rounding(
            value, step=step, key=key, digest=card["content_digest"], metric=metric
        )

    classes: list[RoundedClass] = []
    scored: dict[str, RoundedClass] = {}
    for line in card["classes"]:
        step, name = steps.classes.get(line["id"]), f"class {line['id']}"
        iou = rounded(line["iou"], step, f"{name} iou")
        shown: RoundedClass = {
            "id": line["id"],
            "key": line["key"],
            "iou": iou,
            "recall": rounded(line["recall"], step, f"{name} recall"),
            "f1": None if iou is None else round(2 * iou / (1 + iou), 4),
        }
        classes.append(shown)
        if line.get("scored", True):
            scored[line["key"]] = shown
    f1s = [line["f1"] for line in scored.values() if line["f1"] is not None]
    miou = rounded(card["miou"], steps.miou, "miou")
    return {
        "miou": miou,
        "miou_interval": _interval(card, miou, rounded, steps.interval),
        "overall_accuracy": rounded(
            card["overall_accuracy"], steps.overall_accuracy, "overall accuracy"
        ),
        "mean_f1": round(sum(f1s) / len(f1s), 4) if f1s and len(f1s) == len(scored) else None,
        "classes": classes,
        "class_ious": {key: line["iou"] for key, line in scored.items()},
    }


def decimals_of(step: float) -> int:
    """Return how many decimals multiples of a step have.

    >>> decimals_of(0.005), decimals_of(0.05)
    (3, 2)
    """
    return len(f"{step:.6f}".rstrip("0").partition(".")[2])


def _interval(
    card: Mapping[str, Any], miou: float | None, rounded: Any, step: float
) -> list[float | None] | None:
    ends = (card.get("intervals") or {}).get("miou")
    if ends is None or miou is None:
        return None
    low = rounded(ends[0], step, "miou low")
    high = rounded(ends[1], step, "miou high")
    return [
        None if low is None else min(low, miou),
        None if high is None else max(high, miou),
    ]


def _step(needed: float, steps: Sequence[float]) -> float | None:
    return next((step for step in steps if step >= needed), None)
