"""Builds the score card of an evaluation from its evidence."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import SupportsFloat

import numpy as np
from numpy.typing import NDArray

from scoring.engine.metrics import jackknife, metrics
from scoring.engine.metrics.card import (
    ClassScore,
    DomainScore,
    ScoreCard,
    ScoreIntervals,
    ZoneScore,
)
from scoring.engine.metrics.evidence import Evidence, ZoneMatrices
from scoring.engine.problems.problems import ProblemDocument
from scoring.engine.task.specification import TaskSpec
from scoring.engine.truth.split import CountedZones, Split
from scoring.engine.version import ENGINE_VERSION


def build(
    evidence: Evidence,
    *,
    spec: TaskSpec | None = None,
    ids: Collection[str] | None = None,
    seconds: float = 0.0,
    notes: Sequence[ProblemDocument] | None = None,
) -> ScoreCard:
    """The card of all patches or of ``ids``, under the evidence's specification or another.

    ``seconds`` is the time the scoring took, recorded as it is given. Raises `EvidenceError` for
    an unknown id or a specification that the counts cannot be reduced by.
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
        "predicted_frequencies": [float(n) / pixels if pixels else 0.0 for n in total.sum(axis=0)],
        "domains": _domains(zones, spec=spec),
        "zones": _zones(zones, spec=spec),
        "intervals": _intervals(zones, spec=spec),
        "seconds": seconds,
        "notes": [note.copy() for note in (evidence.notes if notes is None else notes)],
    }


def build_counted(
    evidence: Evidence,
    split: Split,
    *,
    zones: CountedZones,
    spec: TaskSpec | None = None,
    seconds: float = 0.0,
) -> ScoreCard:
    """The card of a split's public or private zones, parameters as of `build`.

    The card of public zones says nothing of which zones they are: it has no zones, no domains and
    no matrix, and its predicted pixels are those of the whole upload.
    """
    zone_of = dict(zip(evidence.ids, evidence.zones, strict=True))
    ids = split.ids(zone_of, zones=zones)
    card = build(evidence, spec=spec, ids=ids, seconds=seconds)
    if zones is not CountedZones.PUBLIC:
        return card
    whole = evidence.zone_matrices(spec=spec).matrices.sum(axis=(0, 1))
    card["predicted_frequencies"] = (whole / whole.sum()).tolist()
    for line in card["classes"]:
        line["predicted_pixels"] = int(whole[line["id"]])
    card["domains"], card["zones"], card["confusion"] = {}, {}, []
    return card


def _classes(
    total: NDArray[np.int64], measured: metrics.Metrics, *, spec: TaskSpec
) -> list[ClassScore]:
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


def _domains(zones: ZoneMatrices, *, spec: TaskSpec) -> dict[str, DomainScore]:
    domains: dict[str, DomainScore] = {}
    for domain in sorted(set(zones.domains)):
        rows = [i for i, d in enumerate(zones.domains) if d == domain]
        matrix = zones.matrices[rows].sum(axis=0)
        measured = metrics.measure(matrix, spec=spec)
        domains[domain] = {
            "patches": int(zones.patches[rows].sum()),
            "pixels": int(matrix.sum()),
            "miou": _number(measured.miou),
            "ious": [_number(v) for v in measured.iou],
            "confusion": matrix.tolist(),
        }
    return domains


def _zones(zones: ZoneMatrices, *, spec: TaskSpec) -> dict[str, ZoneScore]:
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


def _intervals(zones: ZoneMatrices, *, spec: TaskSpec) -> ScoreIntervals:
    intervals = jackknife.intervals(zones.matrices, spec=spec)
    return {
        "miou": intervals.miou and list(intervals.miou),
        "classes": [interval and list(interval) for interval in intervals.classes],
        "method": jackknife.METHOD,
    }


def _number(value: SupportsFloat) -> float | None:
    number = float(value)
    return None if math.isnan(number) else number
