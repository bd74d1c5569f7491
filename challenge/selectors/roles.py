"""May this person do this act here: the one place that answers it.

Nothing else reads roles, ``is_staff`` or ``is_superuser`` to decide what somebody may do (a test
searches for them). Superusers operate the site: every challenge is theirs as an owner's is.
``is_staff`` opens nothing.
"""

from __future__ import annotations

from datetime import datetime

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.utils import timezone

from challenge.errors import refuse
from challenge.models import ApiToken, Challenge, ChallengeRole, Entry, Invitation, Phase, User
from challenge.models.roles import ROLES
from challenge.rules import roles as rule
from challenge.rules.roles import Act, Role

Person = User | AnonymousUser | None
LABELS = dict(ROLES)


def may(user: Person, act: Act, challenge: Challenge) -> bool:
    """Say whether a person may do an act on a challenge's desk.

    Through a token, reading asks for its scope ``read`` or ``organise`` and every other act for
    ``organise``. The second factor is not asked for here but by :func:`require`. At most one query
    in a request.
    """
    if not isinstance(user, User) or not _token_allows(user, act):
        return False
    return rule.allows(role_of(user, challenge), act)


def require(user: Person, act: Act, challenge: Challenge) -> None:
    """Raise NotAllowed for whoever may not do an act, or may not do it yet.

    ``not-organiser`` without a role, ``role-missing`` with one that does not allow it,
    ``token-scope-missing`` for a token, ``second-factor-missing`` for owners and judges who have
    none (decision 347).
    """
    role = role_of(user, challenge)
    if role is None:
        raise refuse("not-organiser", challenge=challenge.slug)
    assert isinstance(user, User)
    if not rule.allows(role, act):
        wanted = ", ".join(str(LABELS[one.value]) for one in rule.roles_that_allow(act))
        raise refuse(
            "role-missing", challenge=challenge.slug, role=str(LABELS[role.value]), allowed=wanted
        )
    if not _token_allows(user, act):
        raise refuse("token-scope-missing", scope=ApiToken.Scope.ORGANISE.value)
    if lacks_second_factor(user, role) and rule.needs_second_factor(role, act):
        raise refuse("second-factor-missing", role=str(LABELS[role.value]))


def role_of(user: Person, challenge: Challenge) -> Role | None:
    """Return a person's role in a challenge, None where it expired or there is none.

    At most one query in a request.
    """
    if not isinstance(user, User) or not user.is_active:
        return None
    if user.is_superuser:
        return Role.OWNER
    known = user.request_facts.roles
    if challenge.pk not in known:
        found = in_force().filter(challenge=challenge, user=user.pk).values_list("role", flat=True)
        known[challenge.pk] = found.first()
    role = known[challenge.pk]
    return Role(role) if role is not None else None


def is_operator(user: Person) -> bool:
    """Say whether a person operates the site: accounts, tokens, uploads. No query."""
    return isinstance(user, User) and user.is_active and user.is_superuser


def may_create(user: Person) -> bool:
    """Say whether a person may create challenges on this site (decision 396).

    The operator may, and whoever the operator gave Django's permission ``challenge.add_challenge``.
    Never through a token. Two queries in a request at most.
    """
    if not isinstance(user, User) or not user.is_active or user.request_facts.scopes is not None:
        return False
    return user.has_perm("challenge.add_challenge")


def organises_any(user: Person) -> bool:
    """Say whether a person has a role in any challenge (at most one query in a request)."""
    if is_operator(user):
        return True
    if not isinstance(user, User) or not user.is_active:
        return False
    facts = user.request_facts
    if facts.held_roles is None:
        facts.held_roles = frozenset(in_force().filter(user=user.pk).values_list("role", flat=True))
    return any(rule.allows(Role(role), Act.READ) for role in facts.held_roles)


def lacks_second_factor(user: User, role: Role | None) -> bool:
    """Say whether a person has a role that wants a second factor, and none is switched on.

    Never where the site does not ask for it. At most one query in a request.
    """
    if not settings.SECOND_FACTOR_REQUIRED or role not in rule.SECOND_FACTOR_ROLES:
        return False
    facts = user.request_facts
    if facts.has_second_factor is None:
        facts.has_second_factor = Authenticator.objects.filter(
            user=user.pk, type=Authenticator.Type.TOTP
        ).exists()
    return not facts.has_second_factor


def in_force(*, now: datetime | None = None) -> QuerySet[ChallengeRole]:
    """Return the roles that count now."""
    return ChallengeRole.objects.filter(_unexpired(now or timezone.now()))


def of_challenge(challenge: Challenge, *, now: datetime | None = None) -> list[ChallengeRole]:
    """Return the roles that count in a challenge, with their people (one query)."""
    rows = in_force(now=now).filter(challenge=challenge).select_related("user", "granted_by")
    order = list(Role)
    return sorted(rows, key=lambda row: (order.index(Role(row.role)), row.user.username.casefold()))


def lasting_owners(challenge: Challenge) -> QuerySet[ChallengeRole]:
    """Return the owners' roles without an end, of people who can log in."""
    return ChallengeRole.objects.filter(
        challenge=challenge,
        role=Role.OWNER.value,
        expires_at__isnull=True,
        user__is_active=True,
    )


def open_invitations(challenge: Challenge, *, now: datetime | None = None) -> QuerySet[Invitation]:
    """Return the invitations to roles that can still be accepted."""
    return challenge.role_invitations.filter(
        accepted_at__isnull=True, revoked_at__isnull=True, expires_at__gt=now or timezone.now()
    )


def owned_alone(user: User) -> list[Challenge]:
    """Return the challenges whose only lasting owner a person is, in order of their slugs."""
    mine = ChallengeRole.objects.filter(
        user=user.pk, role=Role.OWNER.value, expires_at__isnull=True
    )
    return [
        challenge
        for challenge in Challenge.objects.filter(pk__in=mine.values("challenge")).order_by("slug")
        if not lasting_owners(challenge).exclude(user=user.pk).exists()
    ]


def challenges_of(user: Person, act: Act = Act.READ) -> QuerySet[Challenge]:
    """Return the challenges where a person may do an act, all for who operates the site."""
    challenges = Challenge.objects.order_by("sort_order", "pk")
    if not isinstance(user, User) or not user.is_active or not _token_allows(user, act):
        return challenges.none()
    if user.is_superuser:
        return challenges
    return challenges.filter(pk__in=held_by(user, act).values("challenge"))


def organised_by(user: User) -> list[tuple[Challenge, str]]:
    """Return the challenges whose desk a person may read, each with the role's name.

    Two queries; all challenges, as an owner, for who operates the site.
    """
    held = dict(held_by(user).values_list("challenge", "role"))
    owner = Role.OWNER.value
    return [
        (challenge, str(LABELS[held.get(challenge.pk, owner)])) for challenge in challenges_of(user)
    ]


def held_by(user: User, act: Act = Act.READ) -> QuerySet[ChallengeRole]:
    """Return a person's own roles that count and allow an act."""
    allowing = [role.value for role in rule.roles_that_allow(act)]
    return in_force().filter(user=user.pk, role__in=allowing)


def role_column(user: User, *, challenge: str) -> Subquery:
    """Return an annotation: the person's role in the challenge to which a path leads.

    :func:`store_role` keeps what it found.
    """
    rows = in_force().filter(challenge=OuterRef(challenge), user=user.pk)
    return Subquery(rows.values("role")[:1])


def store_role(user: User, *, challenge: Challenge, role: str | None) -> None:
    """Keep for this request what the annotation of :func:`role_column` found."""
    user.request_facts.roles[challenge.pk] = role


def forget(user: User) -> None:
    """Drop what this request knows of a person's roles: they changed."""
    user.request_facts.roles.clear()
    user.request_facts.held_roles = None


def entries_of_organisers(phase: Phase) -> QuerySet[Entry]:
    """Return a phase's entries that do not rank.

    Those of teams with a member who has a role in the challenge, or had one: a role that ended
    counts, too (decision 346).
    """
    return Entry.objects.filter(
        phase=phase, team__memberships__user__challenge_roles__challenge=phase.challenge_id
    )


def ever_held(user: User, *, challenge: Challenge) -> bool:
    """Say whether a person has or had a role in a challenge (one query)."""
    return ChallengeRole.objects.filter(challenge=challenge, user=user.pk).exists()


def phases_of(user: User, *, challenge: Challenge) -> QuerySet[Phase]:
    """Return the phases of a challenge in which a person's team has an entry."""
    return Phase.objects.filter(
        challenge=challenge, entries__team__memberships__user=user.pk
    ).distinct()


def _unexpired(now: datetime) -> Q:
    return Q(expires_at__isnull=True) | Q(expires_at__gt=now)


def _token_allows(user: User, act: Act) -> bool:
    scopes = user.request_facts.scopes
    if scopes is None or ApiToken.Scope.ORGANISE in scopes:
        return True
    return act is Act.READ and ApiToken.Scope.READ in scopes
