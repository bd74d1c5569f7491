"""Disqualifying a whole team, and lifting it again.

Which scores count is asked of :mod:`challenge.selectors.disqualifications` alone. While a team is
disqualified it neither submits nor merges, and nobody joins or leaves it; what it has queued is
scored and does not count.
"""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.utils import timezone

from challenge.errors import refuse
from challenge.models import Entry, Phase, RankLine, Team, TeamDisqualification, User
from challenge.rules.roles import Act
from challenge.selectors import disqualifications, roles
from challenge.services import audit, phase_lock
from challenge.services.leaderboard import ranks
from challenge.services.notifications import decision_mails


def check(team: Team) -> None:
    """Raise NotAllowed ``team-disqualified`` where a team may not compete (one query)."""
    found = disqualifications.of_team(team)
    if found is not None:
        raise refuse("team-disqualified", team=found.team.name, reason=found.reason)


def disqualify(
    *, team: Team, actor: User, reason: str, now: datetime | None = None
) -> TeamDisqualification:
    """Take a team off the leaderboards (``Act.VERDICTS``) and mail its members the reason.

    Raises what `roles.require` raises, Refusal ``reason-missing``, Conflict
    ``team-already-disqualified``, NotFound for a merged team and for the platform's own.
    """
    now = now or timezone.now()
    roles.require(actor, Act.VERDICTS, team.challenge)
    with transaction.atomic():
        made = write(team=team, actor=actor, reason=reason, now=now)
    rank_anew(team, now=now)
    return made


def write(*, team: Team, actor: User, reason: str, now: datetime) -> TeamDisqualification:
    """Disqualify in the caller's transaction, who asked for the right and then calls `rank_anew`.

    Raises what :func:`disqualify` does but for roles.
    """
    reason = reason.strip()
    if not reason:
        raise refuse("reason-missing")
    locked = _lock(team)
    if disqualifications.in_force().filter(team=locked).exists():
        raise refuse("team-already-disqualified", team=locked.name)
    made = TeamDisqualification.objects.create(
        team=locked, reason=reason, disqualified_at=now, disqualified_by=actor
    )
    audit.record(
        "team.disqualify",
        actor=actor,
        challenge=team.challenge,
        target=locked.name,
        now=now,
        team=locked.pk,
        reason=reason,
        before={"disqualified": False, "ranks": _ranks(locked)},
        after={"disqualified": True, "ranks": {}},
    )
    decision_mails.team_disqualified(locked, reason=reason, now=now)
    return made


def lift(*, team: Team, actor: User, reason: str = "", now: datetime | None = None) -> None:
    """Let a disqualified team compete again (``Act.VERDICTS``) and mail its members.

    Raises what `roles.require` raises, Conflict ``team-not-disqualified``.
    """
    now = now or timezone.now()
    roles.require(actor, Act.VERDICTS, team.challenge)
    with transaction.atomic():
        locked = _lock(team)
        found = disqualifications.in_force().filter(team=locked).first()
        if found is None:
            raise refuse("team-not-disqualified", team=locked.name)
        found.lifted_at, found.lifted_by, found.lifted_reason = now, actor, reason.strip()
        found.save(update_fields=["lifted_at", "lifted_by", "lifted_reason"])
    rank_anew(locked, now=now)
    with transaction.atomic():
        audit.record(
            "team.reinstate",
            actor=actor,
            challenge=team.challenge,
            target=locked.name,
            now=now,
            team=locked.pk,
            reason=reason.strip(),
            before={"disqualified": True, "reason": found.reason, "ranks": {}},
            after={"disqualified": False, "ranks": _ranks(locked)},
        )
        decision_mails.team_reinstated(locked, reason=reason.strip(), now=now)


def rank_anew(team: Team, *, now: datetime) -> None:
    """Recompute the ranks of every phase in which a team has an entry."""
    for phase in Phase.objects.filter(entries__team=team).order_by("pk"):
        ranks.recompute(phase=phase, now=now)


def _lock(team: Team) -> Team:
    """Lock a team and its entries, its phases shared.

    A submission that holds an entry's lock is in before or refused; a signature is made before the
    verdict, or of the lines that it leaves.
    """
    phase_lock.share_all(Entry.objects.filter(team=team).values_list("phase", flat=True))
    locked = Team.objects.select_for_update(of=("self",)).select_related("challenge")
    found = locked.filter(pk=team.pk, merged_into=None, is_platform=False).first()
    if found is None:
        raise refuse("not-found")
    list(Entry.objects.select_for_update(of=("self",)).filter(team=found).order_by("pk"))
    return found


def _ranks(team: Team) -> dict[str, int | None]:
    """Return the rank in each phase where a team stands on the leaderboard."""
    lines = RankLine.objects.filter(entry__team=team, submission__is_baseline=False)
    return {
        f"{challenge}/{phase}": rank
        for challenge, phase, rank in lines.order_by("phase").values_list(
            "phase__challenge__slug", "phase__slug", "rank"
        )
    }
