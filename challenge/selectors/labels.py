"""What the desk's page of labels shows: the key, each phase's labels, the label jobs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone

from challenge.errors import refuse
from challenge.models import Challenge, LabelJob, LabelKey, Phase
from scoring.engine.truth import sealing_keys

JOBS_SHOWN = 20
# The worker says every minute that it is there.
SEEN_WITHIN = timedelta(minutes=5)


@dataclass(frozen=True)
class ShownKey:
    """The labels worker's public key; ``is_seen``: the worker said lately that it is there."""

    public_key: str
    fingerprint: str
    shown: str
    seen_at: datetime
    is_seen: bool


def current_key(*, now: datetime | None = None) -> ShownKey | None:
    """Return the key that masks are sealed for, None where no worker ever was (one query)."""
    row = LabelKey.objects.order_by("-seen_at").first()
    if row is None:
        return None
    return ShownKey(
        public_key=row.public_key,
        fingerprint=row.fingerprint,
        shown=sealing_keys.shown_fingerprint(row.fingerprint),
        seen_at=row.seen_at,
        is_seen=row.seen_at > (now or timezone.now()) - SEEN_WITHIN,
    )


def phases_of(challenge: Challenge) -> list[Phase]:
    """Return the challenge's phases with the labels that count (one query)."""
    rows = challenge.phases.select_related("ground_truth")
    return list(
        rows.defer("public_patches", "ground_truth__patches").order_by("sort_order", "opens_at")
    )


def jobs_of(challenge: Challenge) -> list[LabelJob]:
    """Return the challenge's newest label jobs (one query)."""
    rows = LabelJob.objects.filter(phase__challenge=challenge)
    rows = rows.select_related("phase", "created_by", "ground_truth")
    return list(rows.defer("phase__public_patches", "ground_truth__patches")[:JOBS_SHOWN])


def job(challenge: Challenge, pk: int) -> LabelJob:
    """Return one label job of the challenge. Raises NotFound."""
    found = (
        LabelJob.objects.filter(phase__challenge=challenge, pk=pk)
        .select_related("phase__challenge")
        .first()
    )
    if found is None:
        raise refuse("not-found")
    return found
