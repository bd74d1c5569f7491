"""What of a phase's results a viewer may see now: the disclosure rules applied to a phase."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import Count, Max, Q
from django.utils import timezone

from challenge.models import Evaluation, GroundTruth, Phase
from challenge.rules import disclosure, settlement
from challenge.rules.disclosure import DisclosurePolicy, Viewer, Visibility
from challenge.rules.lifecycle import OPEN_STATES

# What is dated with a moment may be committed a little after it.
LATE_COMMIT = timedelta(minutes=2)


def policy_for(phase: Phase, *, viewer: Viewer, now: datetime | None = None) -> DisclosurePolicy:
    """Return the policy under which a viewer gets values of a phase.

    No query, but for a phase that is closed and not recorded as settled (one).
    """
    now = now or timezone.now()
    until = rounded_until(phase)
    is_waiting = now >= until and not phase.labels_public and not is_final(phase, now=now)
    return disclosure.policy_for(
        viewer=viewer,
        detail=phase.detail,
        opens_at=phase.opens_at,
        rounded_until=disclosure.NEVER if is_waiting else until,
        now=now,
        labels_public=phase.labels_public and not phase.lacks_full_values,
        miou_step=phase.miou_step,
    )


def is_settled(phase: Phase, *, now: datetime | None = None) -> bool:
    """Say whether a phase is closed and settled (:mod:`challenge.rules.settlement`).

    Late entries that organisers granted are waited for. Submissions that were accepted before the
    close may be scored after it. Until all are and the
    grace is over, teams choose, ranks are not final and values stay rounded. Re-scores are not
    waited for. At most one query, after the grace alone, and none once the settlement is recorded.
    """
    now = now or timezone.now()
    grace = timedelta(minutes=phase.choosing_minutes)
    if phase.closes_at is None or now < phase.closes_at:
        return False
    if phase.settlement_recorded:
        return True
    last_close = phase.last_close or phase.closes_at
    if now < last_close + grace:
        return False
    live = Evaluation.objects.filter(
        submission__entry__phase=phase, priority=Evaluation.Priority.LIVE
    ).aggregate(
        waiting=Count("pk", filter=Q(state__in=OPEN_STATES)), last_verdict_at=Max("finished_at")
    )
    return settlement.is_due(now, closes_at=last_close, grace=grace, **live)


def awaits_settlement(phase: Phase, *, now: datetime | None = None) -> bool:
    """Say whether a phase is closed and not settled yet (one query at most)."""
    now = now or timezone.now()
    closed = phase.closes_at is not None and now >= phase.closes_at
    return closed and not is_settled(phase, now=now)


def is_final(phase: Phase, *, now: datetime | None = None) -> bool:
    """Say whether a closed phase is settled and its private zones, where it has some, revealed.

    Values of public zones stay rounded until then: full ones, and domains, would tell which zones
    are private before anybody knows the private values. At most one query.
    """
    return not phase.awaits_reveal and is_settled(phase, now=now)


def labels_sealed(phase: Phase, *, now: datetime | None = None) -> bool:
    """Say whether a phase's labels are hidden: their digest and the key to it must not leave.

    Until every phase on the same labels is closed and this one is final, whatever its
    ``precision`` says: a digest confirms a reconstruction of the labels as a whole.
    """
    if phase.labels_public:
        return False
    now = now or timezone.now()
    until = disclosure.rounded_until(
        closes_at=phase.last_close,
        labels_open_until=phase.labels_open_until,
        precision=disclosure.Precision.LABELS_CLOSED,
    )
    return now < until or not is_final(phase, now=now)


def labels_document(truth: GroundTruth, *, phase: Phase, now: datetime) -> dict[str, str]:
    """Return name and commitment of labels; once they are not hidden, digest and key too."""
    document = {"name": str(truth), "commitment": truth.commitment}
    if truth.digest_is_known and not labels_sealed(phase, now=now):
        document |= {"digest": truth.digest, "commitment_key": truth.commitment_key}
    return document


def rounded_until(phase: Phase) -> datetime:
    """Return from when a settled phase's values leave in full (``disclosure.NEVER``: never).

    Where full values are missing, since rounded ones were imported, never.
    """
    if phase.lacks_full_values:
        return disclosure.NEVER
    return disclosure.rounded_until(
        closes_at=phase.last_close,
        labels_open_until=phase.labels_open_until,
        precision=phase.precision,
    )


def leaderboard_visible(phase: Phase, *, viewer: Viewer, now: datetime | None = None) -> bool:
    """Say whether a viewer may see a phase's whole leaderboard.

    No query, but for one that appears at the settlement of a phase that is closed (one).
    """
    return disclosure.leaderboard_visible(
        visibility=phase.visibility, viewer=viewer, settled=_settled_for_board(phase, now=now)
    )


def score_visible(
    phase: Phase,
    *,
    viewer: Viewer,
    submitted_at: datetime | None = None,
    now: datetime | None = None,
) -> bool:
    """Say whether who may see a submission may see its score; queries as `leaderboard_visible`.

    ``submitted_at`` is the submission's; without it the question is whether any can be seen.
    """
    return disclosure.score_visible(
        visibility=phase.visibility,
        viewer=viewer,
        settled=_settled_for_board(phase, now=now),
        behind_freeze=phase.freeze_hides_own and is_after_freeze(phase, submitted_at),
    )


def is_after_freeze(phase: Phase, submitted_at: datetime | None) -> bool:
    """Say whether a submission came after the moment as of which the leaderboard is shown."""
    return None not in (phase.frozen_at, submitted_at) and submitted_at > phase.frozen_at  # type: ignore[operator]


def freezes_later(phase: Phase, *, now: datetime | None = None) -> bool:
    """Say whether the moment as of which the leaderboard will be shown is still to come."""
    return phase.frozen_at is not None and phase.frozen_at > (now or timezone.now())


def _settled_for_board(phase: Phase, *, now: datetime | None) -> bool:
    return phase.visibility == Visibility.AFTER_CLOSE and is_settled(phase, now=now)
