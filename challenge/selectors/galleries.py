"""Galleries of practice kits, as far as the disclosure rule lets them be seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import Exists, OuterRef

from challenge.errors import refuse
from challenge.models import Challenge, Gallery, Phase, PracticeKit
from challenge.rules import disclosure
from challenge.rules.disclosure import Pictures, Viewer
from challenge.rules.lifecycle import RunState
from challenge.selectors import pages, people, phase_disclosure
from challenge.selectors.roles import Person

LABELS = "labels"


@dataclass(frozen=True)
class ShownGallery:
    """A phase's gallery. ``rows`` are `Gallery.rows`, each with its ``number`` in them.

    Without ``with_labels`` their classes are left out, as are pictures of labels.
    """

    gallery: Gallery
    phase: Phase
    rows: list[dict[str, Any]]
    with_labels: bool

    @property
    def layers(self) -> list[str]:
        """The layers that some patch has, in the order in which they were drawn."""
        return list(dict.fromkeys(layer for row in self.rows for layer in row["layers"]))


def of_challenge(challenge: Challenge, *, user: Person) -> list[ShownGallery]:
    """Return the galleries of the phases that a viewer may know of (one query, and roles)."""
    organiser = people.is_organiser(user, challenge)
    phases = pages.visible_phases(challenge, organiser=organiser)
    found = (
        Gallery.objects.filter(
            Exists(
                PracticeKit.objects.filter(phase=OuterRef("phase"), sha256=OuterRef("kit_sha256"))
            ),
            phase__in=phases.values("pk"),
            state=RunState.SUCCEEDED.value,
        )
        .select_related("phase__challenge", "phase__task_spec", "phase__ground_truth")
        .defer("phase__public_patches", "phase__ground_truth__patches")
        .order_by("phase__sort_order", "phase__opens_at")
    )
    return [_shown(row) for row in found]


def file_of(phase: Phase, *, name: str, user: Person) -> tuple[Gallery, int, int]:
    """Return the gallery, and the first byte and the end of its picture of that name.

    Raises NotFound where there is none, or none that may be seen.
    """
    for shown in of_challenge(phase.challenge, user=user):
        place = shown.gallery.files.get(name)
        if shown.phase.pk == phase.pk and place is not None:
            number, _dash, layer = name.partition("-")
            if layer in shown.rows[int(number)]["layers"]:
                return shown.gallery, int(place[0]), int(place[1])
    raise refuse("not-found")


def _shown(row: Gallery) -> ShownGallery:
    phase = row.phase
    truth = phase.ground_truth
    allowed = disclosure.pictures_shown(
        phase_disclosure.policy_for(phase, viewer=Viewer.READER),
        images_public=True,  # as the query asks
        labels_public=truth is not None
        and phase.labels_public
        and truth.labels_public
        and row.ground_truth_id == truth.pk,
        score_visible=True,
    )
    with_labels = row.ground_truth_id is not None and allowed is Pictures.LABELS
    rows = [{**one, "number": number} for number, one in enumerate(row.rows)]
    if not with_labels:
        for one in rows:
            one["classes"] = {}
            one["layers"] = [layer for layer in one["layers"] if layer != LABELS]
    return ShownGallery(row, phase, rows, with_labels)
