"""Participation: registrations, teams, entries.

A person is in at most one team per challenge (a constraint). Once a team has submitted its members
stay, because leaving and starting anew would give more quota; teams merge instead (:mod:`merges`).
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from challenge.errors import refuse
from challenge.models import (
    Challenge,
    Entry,
    Membership,
    Phase,
    Registration,
    Submission,
    Team,
    TermsAcceptance,
    User,
)
from challenge.rules import names, plain_text
from challenge.rules.roles import Act
from challenge.selectors import desk_teams, people, registrations, roles
from challenge.services import audit
from challenge.services.leaderboard import ranks
from challenge.services.notifications import decision_mails
from challenge.services.teams import disqualifications, mailboxes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NAME_CHARACTERS = 60


def register(
    *,
    user: User,
    challenge: Challenge,
    accept_terms_version: str,
    now: datetime | None = None,
) -> Registration:
    """Register a person who accepts the rules, and create a team of one named after the person.

    Where registrations need approval, those on the admission list have it at once.

    Calling again with a newer version of the rules accepts those. Raises NotFound for an
    unpublished challenge, Refusal ``terms-outdated`` when another version is in force, Conflict
    ``mailbox-registered`` when another account of the same mailbox takes part. A mailbox whose
    registration was refused under an account that was deleted is still refused.
    """
    now = now or timezone.now()
    if not challenge.is_published and not people.is_organiser(user, challenge):
        raise refuse("not-found")
    if accept_terms_version != challenge.terms_version:
        raise refuse(
            "terms-outdated", accepted=accept_terms_version, current=challenge.terms_version
        )
    pending = challenge.approval_required and not people.is_organiser(user, challenge)
    state = Registration.State.PENDING if pending else Registration.State.APPROVED
    with transaction.atomic():
        if people.registration_of(user, challenge) is None:
            mailbox = mailboxes.bind(user=user, challenge=challenge)
            state = Registration.State.REFUSED if mailbox.is_refused else state
        registration, created = Registration.objects.get_or_create(
            user=user,
            challenge=challenge,
            defaults={
                "state": state,
                "terms_version": accept_terms_version,
                "accepted_at": now,
            },
        )
        # Asked after the row is written: a list that is saved meanwhile finds the row, or this it.
        if (
            created
            and state == Registration.State.PENDING
            and registrations.is_admitted(user, challenge)
        ):
            registration.state = Registration.State.APPROVED
            registration.save(update_fields=["state"])
        if not created and registration.terms_version != accept_terms_version:
            registration.terms_version = accept_terms_version
            registration.accepted_at = now
            registration.save(update_fields=["terms_version", "accepted_at"])
        # Accepting a version again, after a later one was taken back, keeps its first moment.
        TermsAcceptance.objects.get_or_create(
            registration=registration,
            version=accept_terms_version,
            defaults={"accepted_at": now},
        )
        if people.membership_of(user, challenge) is None:
            _create_solo_team(user, challenge)
    return registration


class Lines(StrEnum):
    """What becomes of a team's lines on the leaderboards once a member is refused."""

    KEEP = "keep"
    REMOVE = "remove"


def decide_registration(
    *,
    registration: Registration,
    actor: User,
    approved: bool,
    note: str = "",
    lines: Lines | None = None,
    now: datetime | None = None,
) -> None:
    """Approve or refuse a registration (``Act.PEOPLE``); the person is mailed, with the note.

    Whoever refuses a person whose team has submitted says what becomes of its lines:
    ``Lines.REMOVE`` disqualifies the team, with the note as its reason. Raises Conflict
    ``registration-lines-undecided``, and for ``REMOVE`` what `disqualifications.disqualify` does.
    """
    now = now or timezone.now()
    challenge = registration.challenge
    roles.require(actor, Act.PEOPLE, challenge)
    note = note.strip()
    team = None if approved else people.team_of(registration.user, challenge)
    if team is not None and not desk_teams.has_submitted(team):
        team = None
    if team is not None and lines is None:
        person = registration.user.username
        raise refuse("registration-lines-undecided", team=team.name, person=person)
    removed = team if lines is Lines.REMOVE else None
    if removed is not None:
        roles.require(actor, Act.VERDICTS, challenge)
    with transaction.atomic():
        locked = Registration.objects.select_for_update().get(pk=registration.pk)
        before = locked.state
        registration.state = Registration.State.APPROVED if approved else Registration.State.REFUSED
        registration.note = note
        registration.save(update_fields=["state", "note"])
        mailboxes.mark(registration)
        audit.record(
            "registration.approve" if approved else "registration.refuse",
            actor=actor,
            challenge=challenge,
            target=registration.user.username,
            now=now,
            note=note,
            before={"state": before},
            after={"state": registration.state},
            **({"lines": lines.value} if team is not None and lines is not None else {}),
        )
        if registration.state != before:
            decision_mails.registration_decided(registration, now=now)
        if removed is not None:
            disqualifications.write(team=removed, actor=actor, reason=note, now=now)
    if removed is not None:
        disqualifications.rank_anew(removed, now=now)


def competing_team(*, user: User, phase: Phase) -> Team:
    """Return the team with which a person may submit to a phase.

    Raises NotFound for a hidden phase, NotAllowed ``not-registered``, ``registration-pending``,
    ``registration-refused``, ``team-disqualified`` or ``account-inactive``, Refusal
    ``terms-outdated``.
    """
    challenge = phase.challenge
    if not user.is_active:
        raise refuse("account-inactive")
    team = people.team_of(user, challenge)
    visible = challenge.is_published and phase.is_published
    # Baselines are submitted before the phase is published.
    is_platform = team is not None and team.is_platform
    if not (visible or is_platform or people.is_organiser(user, challenge)):
        raise refuse("not-found")
    registration = people.registration_of(user, challenge)
    if registration is None or team is None:
        raise refuse("not-registered", challenge=challenge.slug)
    if registration.state == Registration.State.PENDING:
        raise refuse("registration-pending", challenge=challenge.slug)
    if registration.state == Registration.State.REFUSED:
        raise refuse("registration-refused", challenge=challenge.slug)
    if registration.terms_version != challenge.terms_version:
        raise refuse(
            "terms-outdated", accepted=registration.terms_version, current=challenge.terms_version
        )
    disqualifications.check(team)
    return team


def ensure_entry(*, team: Team, phase: Phase) -> Entry:
    """Return the team's entry in a phase, made when it is the first time."""
    return Entry.objects.get_or_create(team=team, phase=phase)[0]


def lock_entry(*, team: Team, phase: Phase) -> Entry:
    """Return the team's entry locked until the transaction ends, its phase freshly read."""
    pk = ensure_entry(team=team, phase=phase).pk
    return (
        Entry.objects.select_for_update(of=("self",))
        .select_related("team", "phase__challenge", "phase__ground_truth", "phase__task_spec")
        .get(pk=pk)
    )


def create(*, user: User, challenge: Challenge, name: str, affiliation: str = "") -> Team:
    """Create a team as its captain, leaving a team of one that has not submitted.

    Raises Conflict ``already-in-team``, ``team-name-taken``, ``team-name-alike``,
    ``teams-frozen``, Refusal ``team-name-invalid``, ``name-reserved``.
    """
    name = clean_name(name)
    with transaction.atomic():
        _check_registered(user, challenge)
        leave_own_team(user=user, challenge=challenge)
        return _create_team(user, challenge, name, affiliation=affiliation)


def rename(*, team: Team, actor: User, name: str, affiliation: str | None = None) -> Team:
    """Rename a team (captain). Raises NotAllowed ``not-captain`` and what `create` raises."""
    check_captain(team, actor)
    if name != team.name:  # a name from before today's rules stays until it is changed
        team.name, team.name_key = clean_name(name), ""
    if affiliation is not None:
        team.affiliation = plain_text.one_line(affiliation)[:200]
    with transaction.atomic():
        _save_name(team)
        ranks.invalidate_leaderboards(team=team)
    return team


SHOWN = ("shows_members", "shows_methods", "shows_ranks", "shows_history")


def choose_shown(*, team: Team, actor: User, choices: Mapping[str, bool]) -> Team:
    """Say what the team's page shows to others (captain): names of :data:`SHOWN`, others stay.

    Raises NotAllowed ``not-captain``.
    """
    check_captain(team, actor)
    given = [name for name in SHOWN if name in choices]
    for name in given:
        setattr(team, name, choices[name])
    team.save(update_fields=given)
    return team


def leave(*, team: Team, actor: User, now: datetime | None = None) -> None:
    """Leave a team that has not submitted yet; the person gets a team of one again.

    A captain with team mates hands the role over first. Raises NotAllowed ``not-a-member``,
    Conflict ``team-has-submitted``, ``captain-must-stay`` or ``teams-frozen``.
    """
    with transaction.atomic():
        locked = Team.objects.select_for_update().select_related("challenge").get(pk=team.pk)
        membership = locked.memberships.filter(user=actor).first()
        if membership is None:
            raise refuse("not-a-member")
        _leave(locked, membership, now=now or timezone.now())
        _create_solo_team(actor, locked.challenge)


def remove_member(*, team: Team, actor: User, user: User) -> None:
    """Remove a team mate (captain), under the same rule as leaving."""
    check_captain(team, actor)
    leave(team=team, actor=user)


def transfer_captain(*, team: Team, actor: User, to: User) -> None:
    """Hand the captain's role to a team mate. Raises ``not-captain`` or ``not-a-member``."""
    with transaction.atomic():
        Team.objects.select_for_update().get(pk=team.pk)
        old = check_captain(team, actor)
        new = team.memberships.filter(user=to).first()
        if new is None:
            raise refuse("not-a-member")
        if old.pk == new.pk:
            return
        old.role = Membership.Role.MEMBER
        old.save(update_fields=["role"])
        new.role = Membership.Role.CAPTAIN
        new.save(update_fields=["role"])


def check_captain(team: Team, actor: User) -> Membership:
    """Return the actor's membership, or raise NotAllowed ``not-captain``."""
    membership = team.memberships.filter(user=actor, role=Membership.Role.CAPTAIN).first()
    if membership is None:
        raise refuse("not-captain")
    return membership


def check_not_frozen(challenge: Challenge, *, now: datetime) -> None:
    """Raise Conflict ``teams-frozen`` after the date up to which teams may change."""
    until = challenge.team_merge_until
    if until is not None and now >= until:
        raise refuse("teams-frozen", until=f"{until:%Y-%m-%d %H:%M}")


def leave_own_team(*, user: User, challenge: Challenge, now: datetime | None = None) -> None:
    """Take a person out of a team of one that has not submitted, before joining another.

    Raises Conflict ``already-in-team`` (team mates) or ``team-has-submitted``, NotAllowed
    ``team-disqualified``.
    """
    membership = people.membership_of(user, challenge)
    if membership is None:
        return
    team = Team.objects.select_for_update().get(pk=membership.team_id)
    if team.memberships.count() > 1:
        raise refuse("already-in-team")
    _leave(team, membership, now=now or timezone.now())


def add_member(*, team: Team, user: User) -> Membership:
    """Add a person to a team whose row the caller has locked. Raises Conflict ``team-full``."""
    limit = team.challenge.team_size_limit
    if limit is not None and team.memberships.count() >= limit:
        raise refuse("team-full", limit=limit)
    return Membership.objects.create(team=team, user=user, challenge=team.challenge)


def clean_name(name: str) -> str:
    """Return a team's name trimmed and normalised (NFKC).

    Raises Refusal ``team-name-invalid`` for characters that cannot be seen, a length outside 2..60,
    or nothing but punctuation; ``name-reserved`` for a name that claims a role.
    """
    cleaned = names.cleaned(name)
    if not 2 <= len(cleaned) <= NAME_CHARACTERS or not names.is_visible(cleaned):
        raise refuse("team-name-invalid", limit=NAME_CHARACTERS)
    if names.is_reserved(cleaned):
        raise refuse("name-reserved", name=cleaned)
    return cleaned


def _leave(team: Team, membership: Membership, *, now: datetime) -> None:
    check_not_frozen(team.challenge, now=now)
    disqualifications.check(team)
    if Submission.objects.filter(entry__team=team).exists():
        raise refuse("team-has-submitted")
    others = team.memberships.exclude(pk=membership.pk)
    if membership.role == Membership.Role.CAPTAIN and others.exists():
        raise refuse("captain-must-stay")
    membership.delete()
    if not others.exists():
        team.delete()


def _check_registered(user: User, challenge: Challenge) -> None:
    if people.registration_of(user, challenge) is None:
        raise refuse("not-registered", challenge=challenge.slug)


def _create_team(user: User, challenge: Challenge, name: str, *, affiliation: str = "") -> Team:
    team = Team(challenge=challenge, name=name, affiliation=plain_text.one_line(affiliation)[:200])
    _save_name(team)
    Membership.objects.create(
        team=team, user=user, challenge=challenge, role=Membership.Role.CAPTAIN
    )
    return team


def _create_solo_team(user: User, challenge: Challenge) -> Team:
    for name in _candidate_names(user):
        alike = Q(name__iexact=name) | Q(name_key=names.look_alike_key(name))
        if not Team.objects.filter(alike, challenge=challenge).exists():
            return _create_team(user, challenge, name, affiliation=user.affiliation)
    raise AssertionError("unreachable: there is always another name")


def _candidate_names(user: User) -> Iterator[str]:
    base = user.username[: NAME_CHARACTERS - 6]
    if len(base) < 2:
        base = f"{base} team"
    if names.is_reserved(base):  # an account from before names were reserved, or made by hand
        base = "Participant"
    else:
        yield base
    number = 2
    while True:
        yield f"{base} {number}"
        number += 1


def _save_name(team: Team) -> None:
    try:
        with transaction.atomic():
            team.save()
    except IntegrityError as error:
        if "team_look_alike_once" in str(error):
            raise refuse("team-name-alike", name=team.name) from error
        if "team_name_once" not in str(error):
            raise
        raise refuse("team-name-taken", name=team.name) from error
