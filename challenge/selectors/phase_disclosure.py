"""What of a phase's results a viewer may see now: the disclosure rules applied to a phase."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils import timezone

from challenge.models import Evaluation, Phase
from challenge.rules import disclosure
from challenge.rules.disclosure import DisclosurePolicy, Viewer
from challenge.rules.lifecycle import OPEN_STATES

# What is dated with a moment may be committed a little after it.
LATE_COMMIT = timedelta(minutes=2)


def policy_for(phase: Phase, *, viewer: Viewer, now: datetime | None = None) -> DisclosurePolicy:
    """Return the policy under which a viewer gets values of a phase.

    No query, but for a phase that is closed and not ranked in full precision yet (one).
    """
    now = now or timezone.now()
    until = rounded_until(phase)
    is_waiting = now >= until and not phase.labels_public and not is_final(phase)
    return disclosure.policy_for(
        viewer=viewer,
        detail=phase.detail,
        opens_at=phase.opens_at,
        rounded_until=disclosure.NEVER if is_waiting else until,
        now=now,
        labels_public=phase.labels_public,
        miou_step=phase.miou_step,
    )


def is_settled(phase: Phase) -> bool:
    """Say whether a closed phase waits for no verdict any more.

    Submissions that were accepted before the close may be scored after it. Until all are, ranks
    are not final and values stay rounded. Re-scores are not waited for. At most one query, none
    once the phase was ranked in full precision after its close.
    """
    if phase.closes_at is None:
        return True
    ranked_since = phase.ranked_at is not None and phase.ranked_at >= phase.closes_at + LATE_COMMIT
    if ranked_since and phase.ranks_step is None:
        return True
    return not Evaluation.objects.filter(
        submission__entry__phase=phase,
        priority=Evaluation.Priority.LIVE,
        state__in=OPEN_STATES,
    ).exists()


def is_final(phase: Phase) -> bool:
    """Say whether a closed phase is settled and its private zones, where it has some, revealed.

    Values of public zones stay rounded until then: full ones, and domains, would tell which zones
    are private before anybody knows the private values. At most one query.
    """
    return not phase.awaits_reveal and is_settled(phase)


def labels_sealed(phase: Phase, *, now: datetime | None = None) -> bool:
    """Say whether a phase's labels are hidden: their digest and the key to it must not leave.

    Until every phase on the same labels is closed and this one is final, whatever its
    ``precision`` says: a digest confirms a reconstruction of the labels as a whole.
    """
    if phase.labels_public:
        return False
    now = now or timezone.now()
    until = disclosure.rounded_until(
        closes_at=phase.closes_at,
        labels_open_until=phase.labels_open_until,
        precision=disclosure.Precision.LABELS_CLOSED,
    )
    return now < until or not is_final(phase)


def rounded_until(phase: Phase) -> datetime:
    """Return from when a settled phase's values leave in full (``disclosure.NEVER``: never)."""
    return disclosure.rounded_until(
        closes_at=phase.closes_at,
        labels_open_until=phase.labels_open_until,
        precision=phase.precision,
    )


def leaderboard_visible(phase: Phase, *, viewer: Viewer, now: datetime | None = None) -> bool:
    """Say whether a viewer may see a phase's leaderboard. No query."""
    return disclosure.leaderboard_visible(
        visibility=phase.visibility,
        viewer=viewer,
        opens_at=phase.opens_at,
        closes_at=phase.closes_at,
        now=now or timezone.now(),
    )
