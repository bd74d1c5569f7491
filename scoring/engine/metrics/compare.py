"""Is one submission truly better than another? The inputs of the paired comparison."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray

from scoring.engine import typed_json
from scoring.engine.metrics import bootstrap, evidence, jackknife
from scoring.engine.metrics.bootstrap import Comparison, Difference
from scoring.engine.metrics.card import CardZones
from scoring.engine.task import specification as specs
from scoring.engine.task.specification import TaskSpec
from scoring.engine.typed_json import TypedJsonError


class CompareError(ValueError):
    """Two scores that cannot be compared; the message says why."""


class CompareOptions(TypedDict, total=False):
    """Options of `bootstrap.compare`: the number of resamples, the seed of the draws."""

    resamples: int
    seed: int


class DifferenceDocument(TypedDict):
    """`bootstrap.Difference` in JSON."""

    a: float | None
    b: float | None
    difference: float | None
    interval: tuple[float, float] | None
    p_value: float | None
    probability_a_better: float | None


class ClassDifference(DifferenceDocument):
    """The difference of one class's IoU."""

    id: int
    name: str
    scored: bool


class ComparisonDocument(TypedDict):
    """A against B in JSON; ``method`` is that of the intervals and p-values."""

    miou: DifferenceDocument
    classes: list[ClassDifference]
    n_zones: int
    resamples: int
    method: str


@dataclass(frozen=True, eq=False)
class Zones:
    """What a comparison needs of one score: the zones and their matrices int64[Z, n, n]."""

    spec: TaskSpec
    names: tuple[str, ...]
    matrices: NDArray[np.int64]


def read(path: str | Path, *, spec: TaskSpec | None = None) -> Zones:
    """Zones of an evidence file or of a score card in JSON.

    A card names its specification; give ``spec`` where that is not a shipped one.
    Raises `CompareError`; ValueError for what begins like JSON and is none; OSError.
    """
    data = Path(path).read_bytes()
    if data[:1] == b"{":
        return from_card(json.loads(data), spec=spec)
    try:
        counts = evidence.load(data)
        zones = counts.zone_matrices(spec=spec)
    except evidence.EvidenceError as error:
        raise CompareError(f"{path}: {error}") from error
    return Zones(spec or counts.spec, zones.names, zones.matrices)


def from_card(document: Mapping[str, object], *, spec: TaskSpec | None = None) -> Zones:
    """Zones of a score card. Raises `CompareError` if it has none or another specification."""
    if not document.get("zones"):
        raise CompareError("the score card has no zones; score again with this version")
    try:
        card = typed_json.check(document, CardZones)
    except TypedJsonError as error:
        raise CompareError(f"not a score card: {error}") from error
    spec = spec or specs.load(card["spec"])
    if card["spec_digest"] != spec.digest:
        raise CompareError(f"the score card was made under another version of {spec.id!r}")
    names = tuple(sorted(card["zones"]))
    matrices = np.array([card["zones"][name]["confusion"] for name in names], dtype=np.int64)
    return Zones(spec, names, matrices)


def compare(a: Zones, b: Zones, **options: Unpack[CompareOptions]) -> Comparison:
    """A against B. Raises `CompareError` unless both are of the same patches and task."""
    if a.spec.digest != b.spec.digest:
        raise CompareError(f"different tasks: {a.spec.id!r} and {b.spec.id!r}")
    if a.names != b.names:
        raise CompareError(f"different zones: {len(a.names)} and {len(b.names)}")
    if len(a.names) < 2:
        raise CompareError("one zone cannot be resampled; at least two are needed")
    try:
        return bootstrap.compare(a.matrices, b.matrices, spec=a.spec, **options)
    except ValueError as error:
        raise CompareError(str(error)) from error


def to_json(comparison: Comparison, *, spec: TaskSpec) -> ComparisonDocument:
    """The comparison as JSON, classes with their names."""
    return {
        "miou": _difference(comparison.miou),
        "classes": [
            {**_difference(row), "id": cls.id, "name": cls.name["en"], "scored": cls.scored}
            for cls, row in zip(spec.classes, comparison.classes, strict=True)
        ],
        "n_zones": comparison.n_zones,
        "resamples": comparison.resamples,
        "method": jackknife.METHOD,
    }


def _difference(difference: Difference) -> DifferenceDocument:
    return {
        "a": difference.a,
        "b": difference.b,
        "difference": difference.difference,
        "interval": difference.interval,
        "p_value": difference.p_value,
        "probability_a_better": difference.probability_a_better,
    }
