"""What a phase expects of a submission, and which labels it is scored with."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Exists, OuterRef, Q

from challenge.models import Evaluation, GroundTruth, Phase
from scoring.engine.truth.split import CountedZones


@dataclass(frozen=True)
class ZoneSplit:
    """What anyone may know of a phase's public and private zones.

    ``public_share`` is that of the patches, which all have as many pixels (0..1). Which zones are
    public, ``public_list``, and ``nonce`` are empty until the reveal.
    """

    commitment: str
    zones: int
    public_zones: int
    patches: int
    public_patches: int
    public_pixels: int
    awaits_reveal: bool
    public_list: list[str]
    nonce: str

    @property
    def public_share(self) -> float:
        return self.public_patches / self.patches

    @property
    def verify_command(self) -> str:
        """The command that checks the opened list, saved as labels.json."""
        return f"python -m scoring verify-split labels.json --commitment {self.commitment}"

    @property
    def private_zones(self) -> int:
        return self.zones - self.public_zones


def zone_split(phase: Phase) -> ZoneSplit | None:
    """Return how a phase's zones are split; None (and no query) where they are not."""
    if phase.counted_zones == CountedZones.ALL or phase.ground_truth_id is None:
        return None
    truth = GroundTruth.objects.defer("patches").get(pk=phase.ground_truth_id)
    return split_of(truth, awaits_reveal=phase.awaits_reveal)


def split_of(truth: GroundTruth, *, awaits_reveal: bool) -> ZoneSplit | None:
    """Return the split of one version of labels, None where it has none (no query)."""
    if not truth.is_split:
        return None
    return ZoneSplit(
        commitment=truth.split_commitment,
        zones=truth.zone_count,
        public_zones=truth.public_zone_count,
        patches=truth.patch_count,
        public_patches=truth.public_patch_count,
        public_pixels=truth.public_pixels,
        awaits_reveal=awaits_reveal,
        public_list=[] if awaits_reveal else truth.public_zones,
        nonce="" if awaits_reveal else truth.split_nonce,
    )


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
