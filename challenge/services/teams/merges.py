"""Bringing people and teams together: invitations and merges, until the challenge's date."""

from __future__ import annotations

from datetime import datetime

from django.db import IntegrityError, transaction
from django.db.models import Max
from django.utils import timezone

from challenge.errors import refuse
from challenge.models import (
    Entry,
    FormerMembership,
    Invitation,
    MergeRequest,
    Phase,
    QuotaLine,
    Submission,
    Team,
    User,
)
from challenge.rules import quota as quota_rule
from challenge.selectors import people, quota_lines, roles
from challenge.services import audit, invitations, throttles
from challenge.services.leaderboard import ranks
from challenge.services.teams import disqualifications, teams


def invite(
    *, team: Team, actor: User, email: str = "", now: datetime | None = None
) -> tuple[Invitation, str]:
    """Invite to a team (captain), by link or to one address; return it and its token, shown once.

    With an address the link is mailed by a worker; without one the caller shows it. A team has one
    open invitation for an address. Raises ``not-captain``, ``teams-frozen``, ``team-full``,
    ``email-invalid``, ``invitation-open``, ``invited-often``, ``too-many-requests``.
    """
    now = now or timezone.now()
    teams.check_captain(team, actor)
    teams.check_not_frozen(team.challenge, now=now)
    limit = team.challenge.team_size_limit
    if limit is not None and team.memberships.count() >= limit:
        raise refuse("team-full", limit=limit)
    email = email.strip()
    if email:
        invitations.check_address(email)
    throttles.check_invitations(actor.pk)
    with transaction.atomic():
        if email:
            Team.objects.select_for_update().get(pk=team.pk)  # two at once would both find none
        return invitations.to_team(team, email=email, actor=actor, now=now)


def find_invitation(*, token: str, now: datetime | None = None) -> tuple[Invitation, Team]:
    """Return the open invitation of a token, and its team.

    Raises Gone ``invitation-over``, also for an invitation to a role.
    """
    invitation = invitations.find(token, now=now)
    if invitation.team is None:
        raise refuse("invitation-over")
    return invitation, invitation.team


def accept(*, token: str, user: User, now: datetime | None = None) -> Team:
    """Join the team of an invitation, once; a team of one without submissions is left behind.

    The person is registered to the challenge first. Raises ``invitation-over``,
    ``invitation-for-another``, ``not-registered``, ``team-full``, ``already-in-team``,
    ``team-has-submitted``, ``teams-frozen``, ``merge-quota``.
    """
    now = now or timezone.now()
    with transaction.atomic():
        _invitation, invited_to = find_invitation(token=token, now=now)
        team = Team.objects.select_for_update().select_related("challenge").get(pk=invited_to.pk)
        invitation, _team = find_invitation(token=token, now=now)
        invitations.accept(invitation, user=user, now=now)
        teams.check_not_frozen(team.challenge, now=now)
        disqualifications.check(team)
        if people.registration_of(user, team.challenge) is None:
            raise refuse("not-registered", challenge=team.challenge.slug)
        if team.memberships.filter(user=user).exists():
            raise refuse("already-in-team")
        teams.leave_own_team(user=user, challenge=team.challenge, now=now)
        teams.add_member(team=team, user=user)
        # The person's mailbox may have used a part of the quota under an account that is deleted.
        for phase in team.challenge.phases.all():
            _check_quota([team.pk], phase, now=now)
    _rank_anew(team, by=user, now=now)
    return team


def _rank_anew(team: Team, *, by: User, now: datetime) -> None:
    """Recompute the ranks where a team no longer ranks, because an organiser joined it."""
    if roles.ever_held(by, challenge=team.challenge):
        for phase in roles.phases_of(by, challenge=team.challenge):
            ranks.recompute(phase=phase, now=now)


def revoke(*, invitation: Invitation, actor: User, now: datetime | None = None) -> None:
    """Withdraw an open invitation (captain)."""
    if invitation.team is None:
        raise refuse("not-found")
    teams.check_captain(invitation.team, actor)
    invitations.withdraw(Invitation.objects.filter(pk=invitation.pk), now=now or timezone.now())


def ask(
    *, from_team: Team, to_team: Team, actor: User, now: datetime | None = None
) -> MergeRequest:
    """Ask another team to merge (captain of ``from_team``), before the challenge's date.

    Raises ``not-captain``, ``teams-frozen``, ``merge-same-team``, ``wrong-challenge``,
    ``merge-asked``, ``team-full``, ``team-disqualified``.
    """
    now = now or timezone.now()
    teams.check_captain(from_team, actor)
    _check_pair(from_team, to_team, now=now)
    try:
        with transaction.atomic():
            return MergeRequest.objects.create(from_team=from_team, to_team=to_team)
    except IntegrityError:
        raise refuse("merge-asked") from None


def answer(
    *, request: MergeRequest, actor: User, accepted: bool, now: datetime | None = None
) -> Team:
    """Answer a request (captain of the asked team); accepted, ``from_team`` joins ``to_team``.

    People, submissions and quota move over, so that a merged team has used what both used; raises
    Conflict ``merge-quota`` when that is more than a phase allows. Returns the asked team.
    """
    now = now or timezone.now()
    with transaction.atomic():
        # Both teams in the order of their numbers: two answers never wait for each other.
        pair = [request.from_team_id, request.to_team_id]
        locked = {
            team.pk: team
            for team in Team.objects.select_for_update().filter(pk__in=pair).order_by("pk")
        }
        source, target = locked[request.from_team_id], locked[request.to_team_id]
        teams.check_captain(target, actor)
        request.refresh_from_db()
        if request.answered_at is not None:
            raise refuse("merge-answered")
        if accepted:
            _check_pair(source, target, now=now)
            _merge(source, target, now=now)
            audit.record(
                "team.merge",
                actor=actor,
                challenge=target.challenge,
                target=target.pk,
                now=now,
                source=source.name,
                into=target.name,
            )
        request.answered_at = now
        request.accepted = accepted
        request.save(update_fields=["answered_at", "accepted"])
        phases = [entry.phase for entry in target.entries.select_related("phase")]
    if accepted:
        for phase in phases:
            ranks.recompute(phase=phase, now=now)
    return target


def _check_pair(source: Team, target: Team, *, now: datetime) -> None:
    if source.pk == target.pk:
        raise refuse("merge-same-team")
    if source.challenge_id != target.challenge_id:
        raise refuse("wrong-challenge")
    if source.merged_into_id or target.merged_into_id or target.is_platform or source.is_platform:
        raise refuse("not-found")
    teams.check_not_frozen(target.challenge, now=now)
    for team in (source, target):
        disqualifications.check(team)
    limit = target.challenge.team_size_limit
    together = source.memberships.count() + target.memberships.count()
    if limit is not None and together > limit:
        raise refuse("team-full", limit=limit)


def _merge(source: Team, target: Team, *, now: datetime) -> None:
    for old in source.entries.select_related("phase").order_by("phase"):
        new = teams.lock_entry(team=target, phase=old.phase)
        Entry.objects.select_for_update().get(pk=old.pk)
        _check_quota([source.pk, target.pk], old.phase, now=now)
        number = new.submissions.aggregate(last=Max("number"))["last"] or 0
        # Upwards from the end, so that no number is taken twice on the way.
        for submission in old.submissions.order_by("number"):
            number += 1
            Submission.objects.filter(pk=submission.pk).update(
                entry=new, number=number, is_final=False
            )
        QuotaLine.objects.filter(entry=old).update(entry=new)
        old.rank_lines.all().delete()
    source.grants.update(team=target)
    source.memberships.update(team=target, role="member")
    FormerMembership.objects.filter(team=source).update(team=target)
    invitations.withdraw(Invitation.objects.filter(team=source), now=now)
    for name in teams.SHOWN:  # a merge shows nothing that one of the two hid
        setattr(target, name, getattr(target, name) and getattr(source, name))
    target.save(update_fields=teams.SHOWN)
    source.merged_into = target
    source.name = f"{source.name[:40]} (merged {source.pk})"
    source.save(update_fields=["merged_into", "name"])


def _check_quota(team_ids: list[int], phase: Phase, *, now: datetime) -> None:
    """Raise Conflict ``merge-quota`` where teams used more than a phase allows one."""
    ledger = quota_lines.of_teams(team_ids, phase=phase)
    used = quota_rule.add_up(ledger, today=quota_rule.utc_day(now)).total
    if phase.total_limit is not None and used > phase.total_limit:
        raise refuse("merge-quota", used=used, limit=phase.total_limit)
