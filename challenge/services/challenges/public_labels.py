"""Public and hidden labels of one challenge have no patch in common.

A phase whose labels are public shows every value at any time, which would teach the labels of a
hidden phase that has any of the same patches.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import Q

from challenge.models import GroundTruth, Phase

_SHOWN_IDS = 5


def describe_shared(phase: Phase, patch_ids: Iterable[str], *, labels_public: bool) -> str:
    """Say which patches a phase would share with phases of the other kind; "" where none.

    ``patch_ids`` are those that the phase expects or its ground truth has, ``labels_public`` what
    they are to be. A hidden phase's patches are those it lists, those of its ground truth and those
    of any version that was installed for it.
    """
    wanted = set(patch_ids)
    others = (
        Phase.objects.filter(challenge=phase.challenge, labels_public=not labels_public)
        .exclude(pk=phase.pk)
        .order_by("sort_order", "pk")
    )
    for other in others:
        shared = sorted(wanted & _patch_ids(other))
        if shared:
            shown = ", ".join(shared[:_SHOWN_IDS]) + (" …" if len(shared) > _SHOWN_IDS else "")
            public, hidden = (phase, other) if labels_public else (other, phase)
            return (
                f"{_count(len(shared))} of phase {public.slug}, whose labels are public, belong to "
                f"phase {hidden.slug}, whose labels are hidden: {shown}. A phase with public "
                f"labels shows every value at once, which would teach the hidden ones; take other "
                f"patches for {public.slug}, or leave its labels hidden (labels_public = false)"
            )
    return ""


def _count(patches: int) -> str:
    return "1 patch" if patches == 1 else f"{patches} patches"


def _patch_ids(phase: Phase) -> set[str]:
    ids = {row[0] for row in phase.public_patches}
    truths = GroundTruth.objects.filter(
        Q(phases=phase) | Q(challenge=phase.challenge, name=phase.slug),
        labels_public=phase.labels_public,
    )
    for truth in truths.distinct():
        ids.update(row[0] for row in truth.patches)
    return ids
