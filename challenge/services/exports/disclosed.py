"""What of labels and scores leaves with an export: no more than organisers may see of them now.

An export is made by an owner, and owners see values of hidden labels rounded like everyone. So a
score leaves in full only where the disclosure policy shows it in full, the digest of labels only
once they are not hidden, the list of a split only once it is opened. Zones' matrices, the key of
the rounding and the names of files on workers never leave.
"""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

from challenge.models import GroundTruth, Phase
from challenge.models import Score as StoredScore
from challenge.rules import rounding
from challenge.rules.disclosure import Viewer
from challenge.selectors import phase_disclosure
from challenge.services.exports import layout
from scoring.engine.truth.split import CountedZones


def figures(phase: Phase, *, now: datetime) -> str:
    """Return "full" or "rounded": how organisers see a phase's values (one query at most)."""
    policy = phase_disclosure.policy_for(phase, viewer=Viewer.ORGANISER, now=now)
    return "rounded" if policy.rounded else "full"


def labels(truth: GroundTruth, *, phases: list[Phase], now: datetime) -> layout.Labels:
    """Return one version of labels; ``phases`` are those that use it or did (none: it is hidden).

    While they are hidden only the step of the mIoU is told, which pages show.
    """
    sealed = not truth.labels_public and (
        not phases or any(phase_disclosure.labels_sealed(phase, now=now) for phase in phases)
    )
    opened = not sealed and not any(phase.awaits_reveal for phase in phases)
    known = truth.digest_is_known and not sealed
    return layout.Labels(
        name=truth.name,
        version=truth.version,
        patches=[(patch, domain, zone) for patch, domain, zone in truth.patches],
        labels_public=truth.labels_public,
        commitment=truth.commitment,
        digest=truth.digest if known else None,
        commitment_key=truth.commitment_key if known else None,
        steps=hidden_steps(truth.steps) if sealed else truth.steps,
        full_precision_at=truth.full_precision_at,
        split_commitment=truth.split_commitment,
        zone_count=truth.zone_count,
        public_zone_count=truth.public_zone_count,
        public_patch_count=truth.public_patch_count,
        public_pixels=truth.public_pixels,
        public_zones=list(truth.public_zones) if opened else [],
        split_nonce=truth.split_nonce if opened else "",
    )


def hidden_steps(steps: dict[str, Any]) -> dict[str, Any]:
    """Return steps of which only that of the mIoU is the labels' own; no class is shown.

    >>> hidden_steps({"miou": 0.001, "interval": 0.005, "classes": {"0": 0.01}})["classes"]
    {}
    """
    if not steps:
        return {}
    last = rounding.MIOU_STEPS[-1]
    return rounding.Steps(steps["miou"], last, last, {}).to_json()


def may_leave(phase: Phase, stored: StoredScore) -> bool:
    """Say whether a score is one that organisers may see at all: private zones not before the
    reveal.
    """
    return not phase.awaits_reveal or stored.counted_zones == CountedZones.PUBLIC


def score(stored: StoredScore, card: dict[str, Any], *, full: bool) -> layout.Score:
    """Return a score in full, or with its rounded values alone; ``card`` is without zones."""
    rounded = layout.Rounded.model_validate(stored.rounded) if stored.rounded else None
    return layout.Score(
        counted_zones=stored.counted_zones,
        created_at=stored.created_at,
        rounded=rounded,
        rounded_miou=stored.rounded_miou,
        miou=stored.miou if full else None,
        overall_accuracy=stored.overall_accuracy if full else None,
        mean_f1=stored.mean_f1 if full else None,
        miou_low=stored.miou_low if full else None,
        miou_high=stored.miou_high if full else None,
        class_ious=stored.class_ious if full else dict.fromkeys(stored.class_ious),
        domain_mious=stored.domain_mious if full else {},
        card=_card(stored, card, full=full),
    )


def _card(stored: StoredScore, card: dict[str, Any], *, full: bool) -> layout.Card:
    told: dict[str, Any] = {
        "spec": card.get("spec", ""),
        "spec_digest": card.get("spec_digest", ""),
        "engine_version": stored.engine_version,
        "content_digest": stored.content_digest,
        "patches": card.get("patches", 0),
        "pixels": card.get("pixels", 0),
        "seconds": math.ceil(stored.seconds),
        "notes": list(card.get("notes") or []),
        "predicted_frequencies": card.get("predicted_frequencies"),
        "classes": [_class(line, full=full) for line in card.get("classes") or []],
    }
    if full:
        names = ("miou", "overall_accuracy", "mean_f1", "confusion", "domains")
        told |= {name: card[name] for name in names if name in card}
        intervals = card.get("intervals") or {}
        told["intervals"] = {
            name: intervals[name]
            for name in layout.CardIntervals.model_fields
            if name in intervals and intervals[name] is not None
        }
    return layout.Card.model_validate(told)


def _class(line: dict[str, Any], *, full: bool) -> dict[str, Any]:
    names = ["id", "key", "name", "scored", "predicted_pixels"]
    names += ["truth_pixels", "iou", "precision", "recall", "f1"] if full else []
    return {"scored": True, "predicted_pixels": None} | {
        name: line[name] for name in names if name in line
    }
