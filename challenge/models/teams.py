"""Teams: who competes together in a challenge."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _

from challenge.models.challenges import Challenge, Phase
from challenge.models.fields import NameKeyField
from challenge.models.roles import ROLES


class Registration(models.Model):
    """A person takes part in a challenge and accepted its rules.

    ``ids_at``, ``kit_at`` and ``check_at`` are when this person first fetched a list of patches,
    fetched a kit (or a sample archive), and checked an archive: the first steps that pages tick.
    """

    class State(models.TextChoices):
        PENDING = "pending", _("waiting for approval")
        APPROVED = "approved", _("approved")
        REFUSED = "refused", _("refused")

    challenge = models.ForeignKey(Challenge, models.CASCADE, related_name="registrations")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="registrations")
    state = models.CharField(max_length=16, choices=State, default=State.APPROVED)
    terms_version = models.CharField(max_length=40)
    accepted_at = models.DateTimeField()
    note = models.TextField(blank=True)
    ids_at = models.DateTimeField(null=True, blank=True, editable=False)
    kit_at = models.DateTimeField(null=True, blank=True, editable=False)
    check_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ["-accepted_at"]
        constraints = [
            models.UniqueConstraint(fields=["challenge", "user"], name="registration_once"),
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.challenge}"


class TermsAcceptance(models.Model):
    """A participant accepted one version of the rules; the registration names the last one."""

    registration = models.ForeignKey(Registration, models.CASCADE, related_name="acceptances")
    version = models.CharField(max_length=40)
    accepted_at = models.DateTimeField()

    class Meta:
        ordering = ["accepted_at", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["registration", "version"], name="terms_version_accepted_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.registration}: {self.version}"


class AdmissionEntry(models.Model):
    """An address, or a mail domain (``@domain``), whose registrations are approved at once.

    ``key`` is what it is compared by (:func:`challenge.rules.admission.key`). It says nothing
    where registrations need no approval.
    """

    challenge = models.ForeignKey(Challenge, models.CASCADE, related_name="admission_entries")
    value = models.CharField(max_length=254)
    key = models.CharField(max_length=300)
    added_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+"
    )
    added_at = models.DateTimeField()

    class Meta:
        ordering = ["value"]
        constraints = [
            models.UniqueConstraint(fields=["challenge", "key"], name="admission_entry_once")
        ]

    def __str__(self) -> str:
        return self.value


class Team(models.Model):
    """A team in one challenge; a person alone is a team of one."""

    challenge = models.ForeignKey(Challenge, models.CASCADE, related_name="teams")
    name = models.CharField(_("name"), max_length=60)
    name_key = NameKeyField(name_field="name")
    affiliation = models.CharField(_("affiliation"), max_length=200, blank=True)
    is_platform = models.BooleanField(
        default=False,
        help_text=_("the organiser's own team, which submits the baselines"),
    )
    # What its page shows to others than its members and the organisers.
    shows_members = models.BooleanField(_("members"), default=True, db_default=True)
    shows_methods = models.BooleanField(
        _("descriptions of the methods on the leaderboard"), default=False, db_default=False
    )
    shows_ranks = models.BooleanField(
        _("rank and best score over time"), default=True, db_default=True
    )
    shows_history = models.BooleanField(
        _("every scored submission, also those below the best"), default=False, db_default=False
    )
    merged_into = models.ForeignKey(
        "self", models.PROTECT, null=True, blank=True, related_name="merged_teams"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                "challenge", Lower("name"), name="team_name_once_per_challenge"
            ),
            models.UniqueConstraint(
                fields=["challenge", "name_key"],
                condition=~Q(name_key=""),
                name="team_look_alike_once_per_challenge",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """A person in a team; one team per person and challenge."""

    class Role(models.TextChoices):
        CAPTAIN = "captain", _("captain")
        MEMBER = "member", _("member")

    team = models.ForeignKey(Team, models.CASCADE, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="memberships")
    challenge = models.ForeignKey(Challenge, models.CASCADE, related_name="+")
    role = models.CharField(max_length=16, choices=Role, default=Role.MEMBER)
    joined_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["joined_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["challenge", "user"], name="one_team_per_person_and_challenge"
            ),
            models.UniqueConstraint(
                fields=["team"],
                condition=Q(role="captain"),
                name="one_captain_per_team",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.team}"


class Invitation(models.Model):
    """An invitation to a team, by link or to one e-mail address, or to a role, to an address.

    Only the token's hash is kept. Either ``team`` is set or ``challenge`` and ``role``, which then
    counts until ``role_expires_at``. ``mail_token`` holds the token itself from the invitation
    until its mail has left.
    """

    team = models.ForeignKey(
        Team, models.CASCADE, null=True, blank=True, related_name="invitations"
    )
    challenge = models.ForeignKey(
        Challenge, models.CASCADE, null=True, blank=True, related_name="role_invitations"
    )
    role = models.CharField(max_length=16, choices=ROLES, blank=True, default="")
    role_expires_at = models.DateTimeField(null=True, blank=True)
    email = models.EmailField(blank=True)
    digest = models.CharField(max_length=64, unique=True)
    mail_token = models.CharField(
        max_length=64, blank=True, editable=False, default="", db_default=""
    )
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    accepted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
    )
    accepted_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(team__isnull=False, challenge__isnull=True, role="")
                | Q(team__isnull=True, challenge__isnull=False) & ~Q(role=""),
                name="invitation_to_a_team_or_a_role",
            )
        ]


class MergeRequest(models.Model):
    """One team asks another to merge with it; accepted by the other's captain."""

    from_team = models.ForeignKey(Team, models.CASCADE, related_name="merge_requests_sent")
    to_team = models.ForeignKey(Team, models.CASCADE, related_name="merge_requests_received")
    created_at = models.DateTimeField(auto_now_add=True)
    answered_at = models.DateTimeField(null=True, blank=True)
    accepted = models.BooleanField(null=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["from_team", "to_team"],
                condition=Q(answered_at__isnull=True),
                name="one_open_merge_request",
            ),
        ]


class Entry(models.Model):
    """A team in a phase. Its row is the lock of the quota."""

    team = models.ForeignKey(Team, models.CASCADE, related_name="entries")
    phase = models.ForeignKey(Phase, models.CASCADE, related_name="entries")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["team", "phase"], name="entry_once")]

    def __str__(self) -> str:
        return f"{self.team} in {self.phase}"
