"""Who a person is to a challenge, a phase, a submission."""

from __future__ import annotations

from django.contrib.auth.models import AnonymousUser

from challenge.models import Challenge, Membership, Phase, Registration, Submission, Team, User
from challenge.rules.disclosure import Viewer

Person = User | AnonymousUser | None


def is_organiser(user: Person, challenge: Challenge) -> bool:
    """Say whether a person organises a challenge; superusers organise every challenge.

    ``is_staff`` alone opens the admin and nothing more. At most one query, remembered on the
    user object for the length of a request.
    """
    if user is None or not user.is_authenticated or not user.is_active:
        return False
    if user.is_superuser:
        return True
    known: dict[int, bool] = user.__dict__.setdefault("_organises", {})
    if challenge.pk not in known:
        known[challenge.pk] = challenge.organisers.filter(pk=user.pk).exists()
    return known[challenge.pk]


def organised_by(user: User) -> list[Challenge]:
    """Return the challenges that a person organises, all for a superuser (one query)."""
    found = Challenge.objects.order_by("sort_order", "pk")
    return list(found if user.is_superuser else found.filter(organisers=user.pk))


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
    """Return a person's team in a phase's challenge (no query where ``phase`` was looked up for
    this person, else one)."""
    if user is None or not user.is_authenticated:
        return None
    if hasattr(phase, "my_team_id"):
        known: int | None = phase.my_team_id
        return known
    mine = Membership.objects.filter(challenge=phase.challenge_id, user=user.pk)
    return mine.values_list("team", flat=True).first()


def registration_of(user: Person, challenge: Challenge) -> Registration | None:
    """Return a person's registration to a challenge (one query)."""
    if user is None or not user.is_authenticated:
        return None
    return Registration.objects.filter(user=user, challenge=challenge).first()


def is_registered(user: Person, challenge: Challenge) -> bool:
    """Say whether a person takes part and is approved (one query)."""
    registration = registration_of(user, challenge)
    return registration is not None and registration.state == Registration.State.APPROVED


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
    mine = team_id_in(user, submission.entry.phase)
    return Viewer.OWNER if mine == submission.entry.team_id else None
