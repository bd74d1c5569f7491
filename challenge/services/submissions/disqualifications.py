"""Disqualifying one submission, and reinstating it. A whole team: `services.teams`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from challenge.errors import refuse
from challenge.models import Submission, User
from challenge.rules.roles import Act
from challenge.selectors import roles
from challenge.services import audit, phase_lock
from challenge.services.leaderboard import ranks
from challenge.services.notifications import decision_mails


def disqualify(
    *, submission: Submission, actor: User, reason: str, now: datetime | None = None
) -> None:
    """Remove a submission from the leaderboard (``Act.VERDICTS``); score and quota stay.

    The team is mailed the reason. Raises Refusal ``reason-missing``, Conflict
    ``already-disqualified``.
    """
    now = now or timezone.now()
    roles.require(actor, Act.VERDICTS, submission.entry.phase.challenge)
    if not reason.strip():
        raise refuse("reason-missing")
    with transaction.atomic():
        phase_lock.share(submission.entry.phase_id)
        locked = Submission.objects.select_for_update().get(pk=submission.pk)
        if locked.disqualified_at is not None:
            raise refuse("already-disqualified")
        _save_disqualification(submission, at=now, reason=reason.strip(), by=actor)
        record(
            submission,
            "submission.disqualify",
            actor=actor,
            now=now,
            reason=reason.strip(),
            before={"disqualified": False},
            after={"disqualified": True},
        )
        decision_mails.submission_disqualified(submission, reason=reason.strip(), now=now)
    ranks.recompute(phase=submission.entry.phase, now=now)


def reinstate(
    *, submission: Submission, actor: User, reason: str = "", now: datetime | None = None
) -> None:
    """Undo a disqualification (``Act.VERDICTS``); the team is mailed."""
    now = now or timezone.now()
    roles.require(actor, Act.VERDICTS, submission.entry.phase.challenge)
    with transaction.atomic():
        phase_lock.share(submission.entry.phase_id)
        locked = Submission.objects.select_for_update().get(pk=submission.pk)
        if locked.disqualified_at is None:
            raise refuse("not-disqualified")
        _save_disqualification(submission, at=None, reason="", by=None)
        record(
            submission,
            "submission.reinstate",
            actor=actor,
            now=now,
            reason=reason.strip(),
            before={"disqualified": True, "reason": locked.disqualified_reason},
            after={"disqualified": False},
        )
        decision_mails.submission_reinstated(submission, reason=reason.strip(), now=now)
    ranks.recompute(phase=submission.entry.phase, now=now)


def record(
    submission: Submission,
    action: str,
    *,
    actor: User,
    now: datetime | None,
    reason: str = "",
    **data: Any,
) -> None:
    """Write an act on one submission into the trail, with its team and phase."""
    phase = submission.entry.phase
    audit.record(
        action,
        actor=actor,
        challenge=phase.challenge,
        target=submission.pk,
        now=now,
        reason=reason,
        team=submission.entry.team.name,
        phase=str(phase),
        **data,
    )


def _save_disqualification(
    submission: Submission, *, at: datetime | None, reason: str, by: User | None
) -> None:
    submission.disqualified_at = at
    submission.disqualified_reason = reason
    submission.disqualified_by = by
    submission.save(update_fields=["disqualified_at", "disqualified_reason", "disqualified_by"])
