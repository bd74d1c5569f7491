"""A score as it is stored, from the score engine's score card."""

from __future__ import annotations

from datetime import datetime

from challenge.models import Evaluation, GroundTruth, Phase, Score
from challenge.rules import rounding
from challenge.rules.rounding import RoundedValues, Steps
from scoring.engine.metrics.card import ScoreCard
from scoring.engine.truth.split import CountedZones


def create(
    evaluation: Evaluation,
    *,
    card: ScoreCard,
    zones: CountedZones,
    evidence_name: str,
    now: datetime,
) -> Score:
    """Insert the score of an evaluation from its score card. The caller changes the state.

    ``zones`` are those of the ground truth that the card counts.
    """
    truth = evaluation.ground_truth
    score = build(evaluation, truth, card=card, zones=zones, evidence_name=evidence_name, now=now)
    score.save(force_insert=True)
    return score


def build(
    evaluation: Evaluation | None,
    truth: GroundTruth,
    *,
    card: ScoreCard,
    zones: CountedZones,
    evidence_name: str,
    now: datetime,
) -> Score:
    """Return the score that :func:`create` inserts; ``truth`` is that of the evaluation.

    Without an evaluation it is one to be staged.
    """
    rounded = round_card(truth, card)
    low, high = card["intervals"]["miou"] or (None, None)
    return Score(
        **({} if evaluation is None else {"evaluation": evaluation}),
        miou=card["miou"],
        overall_accuracy=card["overall_accuracy"],
        mean_f1=card["mean_f1"],
        miou_low=low,
        miou_high=high,
        class_ious={line["key"]: line["iou"] for line in card["classes"] if line["scored"]},
        domain_mious={name: domain["miou"] for name, domain in card["domains"].items()},
        rounded_miou=rounded["miou"],
        rounded=rounded,
        counted_zones=zones.value,
        card=dict(card),
        engine_version=card["engine_version"],
        content_digest=card["content_digest"],
        evidence_name=evidence_name,
        seconds=card["seconds"],
        created_at=now,
    )


def round_card(truth: GroundTruth, card: ScoreCard) -> RoundedValues:
    """Return the values of a card that leave while its labels are hidden.

    A ground truth that was installed before steps were made gets them here, from the card's true
    pixels: they are the labels' own, whatever was submitted.
    """
    if not truth.steps:
        steps = rounding.steps_for(
            [line["truth_pixels"] for line in card["classes"]],
            scored=[line["id"] for line in card["classes"] if line["scored"]],
        )
        truth.steps = steps.to_json()
        GroundTruth.objects.filter(pk=truth.pk, steps={}).update(steps=truth.steps)
        Phase.objects.filter(ground_truth=truth).update(miou_step=steps.miou)
    return rounding.rounded_values(
        card, steps=Steps.from_json(truth.steps), key=bytes.fromhex(truth.rounding_key)
    )
