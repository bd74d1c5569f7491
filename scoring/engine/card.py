"""The score card: one JSON document with everything that is said about a score."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scoring.engine import bootstrap, metrics
from scoring.engine.spec import TaskSpec
from scoring.engine.version import ENGINE_VERSION

if TYPE_CHECKING:
    from scoring.engine.evidence import Evidence, ZoneMatrices


def build(
    evidence: Evidence,
    *,
    spec: TaskSpec | None = None,
    ids: Collection[str] | None = None,
    seconds: float = 0.0,
    notes: Sequence[Mapping[str, Any]] | None = None,
    resamples: int = bootstrap.RESAMPLES,
) -> dict[str, Any]:
    """The card of all patches or of ``ids``, under the evidence's specification or another.

    ``seconds`` is the time the scoring took, recorded as it is given. ``resamples`` is that of
    the bootstrap, 0 leaves the intervals out.
    """
    spec = spec or evidence.spec
    zones = evidence.zone_matrices(spec=spec, ids=ids)
    total = zones.matrices.sum(axis=0)
    measured = metrics.measure(total, spec=spec)
    pixels = int(total.sum())
    return {
        "spec": spec.id,
        "spec_digest": spec.digest,
        "engine_version": ENGINE_VERSION,
        "truth_digest": evidence.truth_digest,
        "content_digest": evidence.content_digest,
        "patches": int(zones.patches.sum()),
        "pixels": pixels,
        "miou": _number(measured.miou),
        "overall_accuracy": _number(measured.overall_accuracy),
        "mean_f1": _number(measured.mean_f1),
        "classes": _classes(total, measured, spec=spec),
        "confusion": total.tolist(),
        "predicted_frequencies": [float(v) / pixels if pixels else 0.0 for v in total.sum(axis=0)],
        "domains": _domains(zones, spec=spec),
        "zones": _zones(zones, spec=spec),
        "intervals": _intervals(zones, spec=spec, resamples=resamples),
        "seconds": seconds,
        "notes": [dict(n) for n in (evidence.notes if notes is None else notes)],
    }


def _classes(
    total: NDArray[np.int64], measured: metrics.Metrics, *, spec: TaskSpec
) -> list[dict[str, Any]]:
    return [
        {
            "id": cls.id,
            "name": cls.name["en"],
            "key": cls.key,
            "iou": _number(measured.iou[cls.id]),
            "precision": _number(measured.precision[cls.id]),
            "recall": _number(measured.recall[cls.id]),
            "f1": _number(measured.f1[cls.id]),
            "truth_pixels": int(total[cls.id].sum()),
            "predicted_pixels": int(total[:, cls.id].sum()),
            "scored": cls.scored,
        }
        for cls in spec.classes
    ]


def _domains(zones: ZoneMatrices, *, spec: TaskSpec) -> dict[str, Any]:
    cards = {}
    for domain in sorted(set(zones.domains)):
        rows = [i for i, d in enumerate(zones.domains) if d == domain]
        matrix = zones.matrices[rows].sum(axis=0)
        measured = metrics.measure(matrix, spec=spec)
        cards[domain] = {
            "patches": int(zones.patches[rows].sum()),
            "pixels": int(matrix.sum()),
            "miou": _number(measured.miou),
            "ious": [_number(v) for v in measured.iou],
            "confusion": matrix.tolist(),
        }
    return cards


def _zones(zones: ZoneMatrices, *, spec: TaskSpec) -> dict[str, Any]:
    miou = metrics.measure(zones.matrices, spec=spec).miou
    return {
        name: {
            "domain": zones.domains[i],
            "patches": int(zones.patches[i]),
            "pixels": int(zones.matrices[i].sum()),
            "miou": _number(miou[i]),
            "confusion": zones.matrices[i].tolist(),
        }
        for i, name in enumerate(zones.names)
    }


def _intervals(zones: ZoneMatrices, *, spec: TaskSpec, resamples: int) -> dict[str, Any]:
    if resamples == 0 or len(zones.names) < 2:
        return {"miou": None, "classes": [None] * spec.n_classes}
    found = bootstrap.intervals(zones.matrices, spec=spec, resamples=resamples)
    return {
        "miou": found.miou and list(found.miou),
        "classes": [interval and list(interval) for interval in found.classes],
    }


def _number(value: Any) -> float | None:
    number = float(value)
    return None if math.isnan(number) else number
