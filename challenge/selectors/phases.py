"""What a phase expects of a submission, and which labels it is scored with."""

from __future__ import annotations

from django.db.models import Exists, OuterRef, Q

from challenge.models import Evaluation, GroundTruth, Phase


def expected_patches(phase: Phase) -> list[list[str]]:
    """Return [patch id, domain, zone] of every patch to predict, for page, API and command alike.

    Those of the phase's ground truth; before there is one, those announced, else those that the
    task names itself. Two queries at most.
    """
    if phase.ground_truth is not None:
        return list(phase.ground_truth.patches)
    if phase.public_patches:
        return list(phase.public_patches)
    expected = phase.task_spec.data.get("expected") if phase.task_spec else None
    return [[patch, domain, zone] for domain, zone, patch in expected or []]


def label_versions(phase: Phase) -> list[GroundTruth]:
    """Return the phase's present labels and those its submissions were scored with (one query)."""
    scored = Evaluation.objects.filter(submission__entry__phase=phase, ground_truth=OuterRef("pk"))
    return list(
        GroundTruth.objects.filter(Q(pk=phase.ground_truth_id) | Exists(scored))
        .select_related("challenge")
        .defer("patches")
        .order_by("name", "version")
    )
