"""How far a participant is on the way from joining to a submission that counts."""

from __future__ import annotations

from dataclasses import dataclass

from challenge.models import Challenge, Phase, PracticeKit, Registration, Submission
from challenge.selectors import pages
from challenge.selectors.roles import Person


@dataclass(frozen=True)
class Step:
    """``key``: ids, kit, check, practice or test; ``phase`` is where it is done."""

    key: str
    phase: Phase
    done: bool


def first_steps(user: Person, challenge: Challenge) -> list[Step]:
    """Return the steps in order; none for who does not take part, or where no phase is visible.

    They are ticked by facts: what was fetched and checked, and submissions of the person's team. A
    submission ticks the check as well: every archive is checked. A challenge without a phase on
    public labels has no practice step, one without another phase no test step. At most three
    queries.
    """
    if user is None or not user.is_authenticated:
        return []
    registration = Registration.objects.filter(
        user=user.pk, challenge=challenge, state=Registration.State.APPROVED
    ).first()
    phases = pages.phase_menu(challenge)
    if registration is None or not phases:
        return []
    submitted = set(
        Submission.objects.filter(
            entry__team__memberships__user=user.pk, entry__phase__challenge=challenge
        ).values_list("entry__phase", flat=True)
    )
    practice = practice_phase(phases)
    counted = [phase for phase in phases if not phase.labels_public]
    start = practice or phases[-1]
    steps = [
        Step("ids", start, registration.ids_at is not None),
        Step("kit", start, registration.kit_at is not None),
        Step("check", start, registration.check_at is not None or bool(submitted)),
    ]
    if practice is not None:
        steps.append(Step("practice", practice, practice.pk in submitted))
    if counted:
        done = any(phase.pk in submitted for phase in counted)
        steps.append(Step("test", counted[-1], done))
    return steps


def practice_phase(phases: list[Phase]) -> Phase | None:
    """Return the first phase whose labels are public, where trying costs nothing."""
    return next((phase for phase in phases if phase.labels_public), None)


def kit_of(phase: Phase) -> PracticeKit | None:
    """Return what organisers published to start from, if they did (one query)."""
    return PracticeKit.objects.filter(phase=phase).first()
