"""Whether a phase's private zones can be revealed, and what became of the last request for it.

A request is an event of the trail, and so is its failure: the reveal itself marks the phase, and
until then nothing else has to be stored (decision 420).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from challenge.errors import Refusal, refuse
from challenge.models import AuditEvent, Evaluation, Phase
from challenge.rules import disclosure
from challenge.rules.lifecycle import OPEN_STATES
from challenge.selectors import phase_disclosure
from scoring.engine.truth.split import CountedZones

REQUESTED, FAILED = "phase.reveal-request", "phase.reveal-fail"


@dataclass(frozen=True)
class Standing:
    """The reveal of a phase: ``obstacle`` keeps it from being asked for, ``pending`` was asked for.

    ``failure`` is what the worker said of the last request, where that failed.
    """

    obstacle: Refusal | None
    pending: bool
    failure: str


def standing(phase: Phase, *, now: datetime) -> Standing:
    """Return how the reveal of a phase with private zones stands (at most three queries)."""
    event = last_request(phase)
    failed = event is not None and event.action == FAILED
    return Standing(
        obstacle=obstacle(phase, now=now),
        pending=event is not None and not failed,
        failure=str(event.data.get("message", "")) if event is not None and failed else "",
    )


def obstacle(phase: Phase, *, now: datetime) -> Refusal | None:
    """Return why a phase's private zones cannot be revealed at ``now``; None where they can."""
    if phase.counted_zones == CountedZones.ALL:
        return refuse("reveal-no-private-zones")
    until = disclosure.rounded_until(
        closes_at=phase.last_close,
        labels_open_until=phase.labels_open_until,
        precision=disclosure.Precision.LABELS_CLOSED,
    )
    if until == disclosure.NEVER:
        return refuse("reveal-no-close")
    if now < until:
        return refuse("reveal-too-early", until=f"{until:%Y-%m-%d %H:%M}")
    waiting = Evaluation.objects.filter(
        submission__entry__phase=phase, state__in=OPEN_STATES
    ).count()
    if waiting:
        return refuse("reveal-waits", n=waiting)
    if not phase_disclosure.is_settled(phase, now=now):
        return refuse("reveal-not-settled", minutes=phase.choosing_minutes)
    return None


def last_request(phase: Phase) -> AuditEvent | None:
    """Return the last request of a phase's reveal, or its failure (one query)."""
    events = AuditEvent.objects.filter(
        challenge=phase.challenge_id, action__in=(REQUESTED, FAILED), data__phase=phase.pk
    )
    return events.select_related("actor").order_by("-pk").first()


def pending() -> list[tuple[Phase, AuditEvent]]:
    """Return the phases whose reveal was asked for and is neither done nor failed."""
    waiting = Phase.objects.filter(counted_zones=CountedZones.PUBLIC).select_related("challenge")
    asked = [(phase, last_request(phase)) for phase in waiting.defer("public_patches")]
    return [
        (phase, event) for phase, event in asked if event is not None and event.action == REQUESTED
    ]
