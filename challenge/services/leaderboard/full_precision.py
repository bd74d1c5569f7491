"""A phase whose values left in full precision does not open again on the same labels.

Whoever submits to it again would read labels off the values that are out. When values first could
leave is stored with the ground truth, so that moving dates there and back forgets nothing.
"""

from __future__ import annotations

from datetime import datetime

from challenge.errors import refuse
from challenge.models import GroundTruth, Phase
from challenge.rules.disclosure import Viewer
from challenge.rules.windows import Window, window_at
from challenge.selectors import phase_disclosure


def record(phase: Phase, *, now: datetime) -> datetime | None:
    """Store that values of a phase's hidden labels may leave in full, if they may at ``now``.

    Returns since when they could (None: they never could). Called before a phase's dates or its
    precision change, and with every recomputation of its ranks.
    """
    if phase.ground_truth_id is None or phase.labels_public:
        return None
    truths = GroundTruth.objects.filter(pk=phase.ground_truth_id)
    since = truths.values_list("full_precision_at", flat=True).get()
    if since is not None:
        return since
    if phase_disclosure.policy_for(phase, viewer=Viewer.READER, now=now).rounded:
        return None
    truths.filter(full_precision_at=None).update(full_precision_at=now)
    return now


def check_window(
    phase: Phase, *, opens_at: datetime, closes_at: datetime | None, now: datetime
) -> None:
    """Check a new window of a stored phase against what left of its labels.

    ``phase`` has its present dates. Raises Conflict ``phase-disclosed``: it is closed, values left
    in full, and it would take submissions again.
    """
    before = window_at(now, opens_at=phase.opens_at, closes_at=phase.closes_at)
    after = window_at(now, opens_at=opens_at, closes_at=closes_at)
    since = record(phase, now=now)
    if since is not None and before is Window.CLOSED and after is not Window.CLOSED:
        raise refuse("phase-disclosed", since=f"{since:%Y-%m-%d %H:%M}")
