"""The patches that a challenge's phases list, by domain: what is public of them is their names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from challenge.models import Challenge, Phase
from challenge.models.patches import Patches, Run, fold
from challenge.selectors import pages, people
from challenge.selectors.roles import Person


@dataclass
class ZonePatches:
    """Patches of one zone in one phase: runs of consecutive ids as (first, last)."""

    phase: Phase
    domain: str
    zone: str
    runs: list[tuple[str, str]] = field(default_factory=list)
    count: int = 0


def of_challenge(challenge: Challenge, *, user: Person) -> list[ZonePatches]:
    """Return the zones of the phases that a viewer may know of, in their order.

    Two queries at most. A list of patches is public with its phase, as in ``patches.csv``.
    """
    organiser = people.is_organiser(user, challenge)
    phases = pages.visible_phases(challenge, organiser=organiser)
    zones: dict[tuple[int, str, str], ZonePatches] = {}
    for phase in phases.select_related("ground_truth", "task_spec").defer(None):
        for domain, zone, first, *last in _runs(phase):
            end = last[0] if last else first
            key = (phase.pk, domain, zone)
            found = zones.setdefault(key, ZonePatches(phase, domain, zone))
            found.runs.append((first, end))
            found.count += int(end) - int(first) + 1 if last else 1
    return list(zones.values())


def _runs(phase: Phase) -> Iterable[Run]:
    """Return a phase's expected patches as runs, without unfolding what is stored so."""
    listed = phase.ground_truth.patches if phase.ground_truth else phase.public_patches
    if listed:
        return listed.runs if isinstance(listed, Patches) else fold(listed)
    expected = phase.task_spec.data.get("expected") if phase.task_spec else None
    return fold([patch, domain, zone] for domain, zone, patch in expected or [])
