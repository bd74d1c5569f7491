"""Public and private zones of hidden labels: chosen when labels are installed, read by workers.

The list of public zones and its nonce are a file in LABELS_DIR (:mod:`scoring.engine.truth.split`);
the database has how many they are and the commitment to them, until the reveal.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings
from django.db.models import Exists, F, OuterRef, Q, Value
from django.db.models.functions import Concat, Left
from django.db.models.lookups import In

from challenge.models import Evaluation, GroundTruth, Phase
from scoring.engine.task.specification import TaskSpec
from scoring.engine.truth import split as split_files
from scoring.engine.truth.split import CountedZones, Split, SplitError, SplitFile
from scoring.engine.truth.store import PackedTruth, StoreInfo


@dataclass(frozen=True)
class SplitRequest:
    """What the organiser asks: a share (with a seed or at random), a file of public zones, none.

    With nothing asked the split of the phase's earlier labels, if they have one, is carried over,
    else that of another phase's labels of the same zones.
    """

    public_share: float | None = None
    seed: str | None = None
    public_zones: Path | None = None
    none: bool = False

    def __post_init__(self) -> None:
        if (self.public_share is not None) + (self.public_zones is not None) + self.none > 1:
            raise SplitError(
                "found more than one of --public-share, --public-zones and --no-split; "
                "allowed is one of them"
            )
        if self.seed is not None and self.public_share is None:
            raise SplitError("found --split-seed without --public-share, which it belongs to")


def decide(phase: Phase, info: StoreInfo, request: SplitRequest, *, folder: Path) -> Split | None:
    """Return the split of labels that are being installed, None for one set of zones.

    A list that is that of the phase's earlier labels keeps their nonce. With nothing asked and no
    earlier labels, labels of the zones of another phase's take the sides that patches have there:
    no other split would be taken (:func:`check_sides`). Raises SplitError.
    """
    if request.none:
        return None
    carried = _carried(phase, folder=folder)
    domain_of = split_files.domains_by_zone(info.zones, info.domains)
    if request.public_share is not None:
        split = split_files.draw(domain_of, share=request.public_share, seed=request.seed)
    elif request.public_zones is not None:
        split = split_files.chosen(domain_of, _read_zones(request.public_zones))
    elif carried is None:
        return _of_another_phase(phase, set(domain_of), folder=folder)
    else:
        truth, split = carried
        if set(domain_of) != _zones_of(truth):
            raise SplitError(
                f"the split of {truth} cannot be carried over: these labels have other zones "
                f"({len(domain_of)}, not {truth.zone_count}, or of other names). Give the public "
                "ones with --public-zones"
            )
    if carried is not None and carried[1].public_zones == split.public_zones:
        return carried[1]
    return split


def check_sides(phase: Phase, info: StoreInfo, split: Split | None, *, folder: Path) -> None:
    """Check that a patch is on the same side in all hidden labels of the challenge that count.

    Those count that another phase has or that something was scored with; labels without a split
    are public as a whole. Values of a patch on both sides would tell private values by
    subtraction. Raises SplitError, which names no zone.
    """
    scored = Evaluation.objects.filter(ground_truth=OuterRef("pk"))
    others = (
        GroundTruth.objects.filter(challenge=phase.challenge, labels_public=False)
        .filter(Exists(scored) | Q(phases__in=Phase.objects.exclude(pk=phase.pk)))
        .distinct()
    )
    private = _private_ids(info.zones, split)
    for truth in others:
        if split is None and not truth.is_split:
            continue
        zone_of = {patch: zone_name(domain, zone) for patch, domain, zone in truth.patches}
        theirs = _private_ids(zone_of, load(truth, folder=folder) if truth.is_split else None)
        differing = sum(
            (patch in private) is not (patch in theirs) for patch in set(info.zones) & set(zone_of)
        )
        if differing:
            raise SplitError(
                f"{differing} patches of these labels would be private here and public in {truth}, "
                "or the other way round: the values of both would tell private values by "
                "subtraction. "
                + (
                    "Leave the split as it is, which is carried over without being asked for"
                    if truth.name == phase.slug and truth.is_split
                    else "Take other patches, or the same public zones (--public-zones)"
                )
            )


def columns(info: StoreInfo, split: Split | None, spec: TaskSpec) -> dict[str, Any]:
    """Return what the database stores of a split: how much is public, and the commitment."""
    zones = len(set(info.zones.values()))
    if split is None:
        return {
            "split_commitment": "",
            "zone_count": zones,
            "public_zone_count": 0,
            "public_patch_count": 0,
            "public_pixels": 0,
        }
    patches = len(split.ids(info.zones, zones=CountedZones.PUBLIC))
    return {
        "split_commitment": split.commitment,
        "zone_count": zones,
        "public_zone_count": len(split.public_zones),
        "public_patch_count": patches,
        "public_pixels": patches * spec.patch_pixels,
    }


def label_pixels(packed: Path, info: StoreInfo, split: Split | None) -> Mapping[int, int]:
    """Return the pixels of each label that values of these labels can be about while hidden."""
    if split is None:
        return info.label_pixels
    with PackedTruth.open(packed) as truth:
        pixels = np.zeros(len(truth.label_values), dtype=np.int64)
        for patch in split.ids(truth.zone_of, zones=CountedZones.PUBLIC):
            pixels += np.bincount(truth.read_indices(patch).ravel(), minlength=len(pixels))
        return dict(zip(truth.label_values, pixels.tolist(), strict=True))


def load(truth: GroundTruth, *, folder: Path | None = None) -> Split:
    """Return the split of a ground truth that has one, from LABELS_DIR.

    Raises SplitError, which says what to copy where, FileNotFoundError without LABELS_DIR.
    """
    file = file_of(truth.split_commitment, zones=CountedZones.ALL, folder=folder)
    if not file.path.is_file():
        raise SplitError(
            f"the split of {truth} is not in this LABELS_DIR: copy {file.path.name} there from the "
            "machine on which the labels were installed"
        )
    return file.load()


def counted_zones(truth: GroundTruth | None, *, phase: Phase) -> CountedZones:
    """Return which zones of a truth, the phase's or one to come, a score in the phase counts."""
    if truth is None or not truth.is_split:
        return CountedZones.ALL
    return CountedZones.PUBLIC if phase.revealed_at is None else CountedZones.PRIVATE


def file_of(committed: str, *, zones: CountedZones, folder: Path | None = None) -> SplitFile:
    """Return where a split's file is. Raises FileNotFoundError without LABELS_DIR."""
    folder = folder or settings.LABELS_DIR
    if folder is None:
        raise FileNotFoundError("LABELS_DIR is not set: run this on a worker's machine")
    return SplitFile(Path(folder) / split_files.file_name(committed), committed, zones)


def scorable_with(label_files: Collection[str]) -> Q:
    """Return the condition on evaluations whose labels, and their split's file, are among names.

    ``label_files`` are the names of the files in a worker's LABELS_DIR. Labels whose split was
    revealed ask for its file too: it is never taken away from beside the labels.
    """
    commitment = F("ground_truth__split_commitment")
    split_file = Concat(Left(commitment, split_files.NAME_LENGTH), Value(split_files.SUFFIX))
    return Q(ground_truth__store_name__in=label_files) & (
        Q(ground_truth__split_commitment="") | Q(In(split_file, list(label_files)))
    )


def zone_name(domain: str, zone: str) -> str:
    """Return a zone's name as splits have it: ``domain/zone``, unique in a set of labels."""
    return f"{domain}/{zone}" if domain else zone


def _carried(phase: Phase, *, folder: Path) -> tuple[GroundTruth, Split] | None:
    truth = phase.ground_truth
    if truth is None or not truth.is_split:
        return None
    return truth, load(truth, folder=folder)


def _of_another_phase(phase: Phase, zones: set[str], *, folder: Path) -> Split | None:
    """Return the sides of another phase's labels of the same zones, under a nonce of its own."""
    others = GroundTruth.objects.filter(
        challenge=phase.challenge,
        labels_public=False,
        phases__in=Phase.objects.exclude(pk=phase.pk),
    ).exclude(split_commitment="")
    for truth in others.order_by("pk").distinct():
        if _zones_of(truth) == zones:
            return Split.of(load(truth, folder=folder).public_zones)
    return None


def _zones_of(truth: GroundTruth) -> set[str]:
    return {zone_name(domain, zone) for _patch, domain, zone in truth.patches}


def _private_ids(zone_of: Mapping[str, str], split: Split | None) -> Collection[str]:
    return set() if split is None else set(split.ids(zone_of, zones=CountedZones.PRIVATE))


def _read_zones(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SplitError(f"--public-zones {path.name} cannot be read: {error}") from error
    return [line.strip() for line in text.splitlines() if line.strip()]
