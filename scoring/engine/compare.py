"""Is one submission truly better than another? The inputs of the paired comparison."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scoring.engine import bootstrap, evidence
from scoring.engine import spec as specs
from scoring.engine.spec import TaskSpec


class CompareError(ValueError):
    """Two scores that cannot be compared; the message says why."""


@dataclass(frozen=True, eq=False)
class Zones:
    """What a comparison needs of one score: the zones and their matrices int64[Z, n, n]."""

    spec: TaskSpec
    names: tuple[str, ...]
    matrices: NDArray[np.int64]


def read(path: str | Path, *, spec: TaskSpec | None = None) -> Zones:
    """Zones of an evidence file or of a score card in JSON.

    A card names its specification; give ``spec`` where that is not a shipped one.
    Raises `CompareError`.
    """
    data = Path(path).read_bytes()
    if data[:1] == b"{":
        return from_card(json.loads(data), spec=spec)
    try:
        found = evidence.load(data)
        zones = found.zone_matrices(spec=spec)
    except evidence.EvidenceError as error:
        raise CompareError(f"{path}: {error}") from error
    return Zones(spec or found.spec, zones.names, zones.matrices)


def from_card(card: Mapping[str, Any], *, spec: TaskSpec | None = None) -> Zones:
    """Zones of a score card. Raises `CompareError` if it has none or another specification."""
    if not card.get("zones"):
        raise CompareError("the score card has no zones; score again with this version")
    spec = spec or specs.load(card["spec"])
    if card["spec_digest"] != spec.digest:
        raise CompareError(f"the score card was made under another version of {spec.id!r}")
    names = tuple(sorted(card["zones"]))
    matrices = np.array([card["zones"][n]["confusion"] for n in names], dtype=np.int64)
    return Zones(spec, names, matrices)


def compare(a: Zones, b: Zones, **options: Any) -> bootstrap.Comparison:
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


def to_json(comparison: bootstrap.Comparison, *, spec: TaskSpec) -> dict[str, Any]:
    """``{miou: {a, b, difference, interval, probability_a_better}, classes: [...], ...}``."""
    document = asdict(comparison)
    for cls, row in zip(spec.classes, document["classes"], strict=True):
        row.update(id=cls.id, name=cls.name["en"], scored=cls.scored)
    return document
