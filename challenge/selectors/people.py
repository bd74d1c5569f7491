"""Who a person is to a challenge, a phase, a submission."""

from __future__ import annotations

from typing import Any

from django.db.models import OuterRef, Subquery

from challenge.models import Challenge, Membership, Phase, Registration, Submission, Team, User
from challenge.rules.disclosure import Viewer
from challenge.rules.roles import Act
from challenge.selectors import roles
from challenge.selectors.roles import Person


def is_organiser(user: Person, challenge: Challenge) -> bool:
    """Say whether a person has a role in a challenge, whichever: all of them may read.

    At most one query in a request.
    """
    return roles.may(user, Act.READ, challenge)


def team_of(user: Person, challenge: Challenge) -> Team | None:
    """Return a person's team in a challenge (one query)."""
    membership = membership_of(user, challenge)
    return membership.team if membership else None


def membership_of(user: Person, challenge: Challenge) -> Membership | None:
    """Return a person's membership in a challenge, with its team (one query)."""
    if user is None or not user.is_authenticated:
        return None
    return Membership.objects.select_related("team").filter(user=user, challenge=challenge).first()


def team_id_in(user: Person, phase: Phase) -> int | None:
    """Return a person's team in a phase's challenge.

    No query where the phase or one of its submissions was looked up for this person, else one.
    """
    if user is None or not user.is_authenticated:
        return None
    if phase.challenge_id in user.request_facts.team_ids:
        return user.request_facts.team_ids[phase.challenge_id]
    mine = Membership.objects.filter(challenge=phase.challenge_id, user=user.pk)
    return mine.values_list("team", flat=True).first()


def facts_about(user: User, *, challenge: str) -> dict[str, Any]:
    """Return annotations that tell what a person is to a challenge.

    ``challenge`` is the path to it; :func:`store_facts` keeps what they found.
    """
    memberships = Membership.objects.filter(challenge=OuterRef(challenge), user=user.pk)
    return {
        "viewer_team_id": Subquery(memberships.values("team")[:1]),
        "viewer_role": roles.role_column(user, challenge=challenge),
    }


def store_facts(user: User, *, challenge: Challenge, annotated: Phase | Submission) -> None:
    """Keep for this request what the annotations of :func:`facts_about` found."""
    user.request_facts.team_ids[challenge.pk] = getattr(annotated, "viewer_team_id", None)
    roles.store_role(user, challenge=challenge, role=getattr(annotated, "viewer_role", None))


def registration_of(user: Person, challenge: Challenge) -> Registration | None:
    """Return a person's registration to a challenge (one query)."""
    if user is None or not user.is_authenticated:
        return None
    return Registration.objects.filter(user=user, challenge=challenge).first()


def is_registered(user: Person, challenge: Challenge) -> bool:
    """Say whether a person takes part and is approved (one query)."""
    registration = registration_of(user, challenge)
    return registration is not None and registration.state == Registration.State.APPROVED


def is_of_team(user: Person, submission: Submission) -> bool:
    """Say whether a person is in the team of a submission (one query, as for `team_id_in`)."""
    return team_id_in(user, submission.entry.phase) == submission.entry.team_id


def viewer_of_phase(user: Person, phase: Phase) -> Viewer:
    """Return in which role a person looks at a whole phase."""
    return Viewer.ORGANISER if is_organiser(user, phase.challenge) else Viewer.READER


def viewer_of_submission(user: Person, submission: Submission) -> Viewer | None:
    """Return in which role a person may look at a submission's page; None: not at all.

    Needs ``submission.entry.phase.challenge`` loaded to stay within two queries; none is needed
    where the phase was looked up for this person.
    """
    if is_organiser(user, submission.entry.phase.challenge):
        return Viewer.ORGANISER
    return Viewer.OWNER if is_of_team(user, submission) else None
