"""Bringing people and teams together: invitations and merges, until the challenge's date."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
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
from challenge.rules.mailboxes import normalise
from challenge.selectors import people, quota_lines
from challenge.services import audit, throttles
from challenge.services.leaderboard import ranks
from challenge.services.notifications import mails
from challenge.services.teams import teams

INVITATION_AGE = timedelta(days=14)
DAY = timedelta(days=1)


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
        try:
            validate_email(email)
        except ValidationError:
            raise refuse("email-invalid", email=email[:100]) from None
    throttles.check_invitations(actor.pk)
    token = secrets.token_urlsafe(24)
    with transaction.atomic():
        if email:
            Team.objects.select_for_update().get(pk=team.pk)  # two at once would both find none
            _check_recipient(email, team=team, now=now)
        invitation = Invitation.objects.create(
            team=team,
            email=email,
            digest=_digest(token),
            mail_token=token if email else "",
            created_by=actor,
            expires_at=now + INVITATION_AGE,
        )
        if email:
            mails.notify_workers_on_commit()
    return invitation, token


def _check_recipient(email: str, *, team: Team, now: datetime) -> None:
    """Refuse a second open invitation of the team, and more mails a day than anybody shall get.

    The mails of all senders to one mailbox count, however its address is written; they are counted
    apart from the rows, too, which go with the sender's account.
    """
    open_one = team.invitations.filter(
        email__iexact=email, accepted_at=None, revoked_at=None, expires_at__gt=now
    ).first()
    if open_one is not None:
        raise refuse("invitation-open", email=email, expires_at=open_one.expires_at.isoformat())
    mailbox = normalise(email)
    recent = Invitation.objects.filter(
        email__istartswith=mailbox[0], created_at__gt=now - DAY
    ).values_list("email", flat=True)
    limit = int(settings.INVITATIONS_PER_RECIPIENT)
    if sum(normalise(address) == mailbox for address in recent) >= limit or (
        throttles.count_request(
            f"invited:{_digest(mailbox)}", limit=limit, window_s=int(DAY.total_seconds())
        )
    ):
        raise refuse("invited-often", email=email)


def find_invitation(*, token: str, now: datetime | None = None) -> Invitation:
    """Return the open invitation of a token. Raises Gone ``invitation-over``."""
    now = now or timezone.now()
    invitation = (
        Invitation.objects.select_related("team__challenge")
        .filter(
            digest=_digest(token),
            accepted_at__isnull=True,
            revoked_at__isnull=True,
            expires_at__gt=now,
            team__merged_into__isnull=True,
        )
        .first()
    )
    if invitation is None:
        raise refuse("invitation-over")
    return invitation


def accept(*, token: str, user: User, now: datetime | None = None) -> Team:
    """Join the team of an invitation, once; a team of one without submissions is left behind.

    The person is registered to the challenge first. Raises ``invitation-over``,
    ``invitation-for-another``, ``not-registered``, ``team-full``, ``already-in-team``,
    ``team-has-submitted``, ``teams-frozen``, ``merge-quota``.
    """
    now = now or timezone.now()
    with transaction.atomic():
        invitation = find_invitation(token=token, now=now)
        team = (
            Team.objects.select_for_update().select_related("challenge").get(pk=invitation.team_id)
        )
        invitation = find_invitation(token=token, now=now)
        if invitation.email and invitation.email.casefold() != user.email.casefold():
            raise refuse("invitation-for-another")
        teams.check_not_frozen(team.challenge, now=now)
        if people.registration_of(user, team.challenge) is None:
            raise refuse("not-registered", challenge=team.challenge.slug)
        if team.memberships.filter(user=user).exists():
            raise refuse("already-in-team")
        teams.leave_own_team(user=user, challenge=team.challenge, now=now)
        teams.add_member(team=team, user=user)
        # The person's mailbox may have used a part of the quota under an account that is deleted.
        for phase in team.challenge.phases.all():
            _check_quota([team.pk], phase, now=now)
        invitation.accepted_by = user
        invitation.accepted_at = now
        invitation.save(update_fields=["accepted_by", "accepted_at"])
    return team


def revoke(*, invitation: Invitation, actor: User, now: datetime | None = None) -> None:
    """Withdraw an open invitation (captain)."""
    teams.check_captain(invitation.team, actor)
    Invitation.objects.filter(
        pk=invitation.pk, accepted_at__isnull=True, revoked_at__isnull=True
    ).update(revoked_at=now or timezone.now(), mail_token="")


def ask(
    *, from_team: Team, to_team: Team, actor: User, now: datetime | None = None
) -> MergeRequest:
    """Ask another team to merge (captain of ``from_team``), before the challenge's date.

    Raises ``not-captain``, ``teams-frozen``, ``merge-same-team``, ``wrong-challenge``,
    ``merge-asked``, ``team-full``.
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
    source.memberships.update(team=target, role="member")
    FormerMembership.objects.filter(team=source).update(team=target)
    Invitation.objects.filter(
        team=source, accepted_at__isnull=True, revoked_at__isnull=True
    ).update(revoked_at=now, mail_token="")
    source.merged_into = target
    source.name = f"{source.name[:40]} (merged {source.pk})"
    source.save(update_fields=["merged_into", "name"])


def _check_quota(team_ids: list[int], phase: Phase, *, now: datetime) -> None:
    """Raise Conflict ``merge-quota`` where teams used more than a phase allows one."""
    ledger = quota_lines.of_teams(team_ids, phase=phase)
    used = quota_rule.add_up(ledger, today=quota_rule.utc_day(now)).total
    if phase.total_limit is not None and used > phase.total_limit:
        raise refuse("merge-quota", used=used, limit=phase.total_limit)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
