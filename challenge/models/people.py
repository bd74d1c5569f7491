"""People and what they hold: accounts, tokens."""

from __future__ import annotations

from dataclasses import dataclass, field

from django.contrib.auth.models import AbstractUser
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Lower
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from challenge.models.fields import NameKeyField


@dataclass
class RequestFacts:
    """What was read about a person during one request: roles and teams by challenge.

    ``scopes`` are those of the token that the request carries; None: a session, which has all.
    """

    roles: dict[int, str | None] = field(default_factory=dict)
    held_roles: frozenset[str] | None = None
    has_second_factor: bool | None = None
    scopes: frozenset[str] | None = None
    team_ids: dict[int, int | None] = field(default_factory=dict)


class User(AbstractUser):
    """A person. Logs in by e-mail address; the username is what others see."""

    class Theme(models.TextChoices):
        AUTO = "auto", _("As my device")
        LIGHT = "light", _("Light")
        DARK = "dark", _("Dark")

    email = models.EmailField(_("e-mail address"))
    name_key = NameKeyField(name_field="username")
    affiliation = models.CharField(_("affiliation"), max_length=200, blank=True)
    language = models.CharField(_("language"), max_length=8, default="en")
    theme = models.CharField(_("theme"), max_length=8, choices=Theme, default=Theme.AUTO)
    timezone = models.CharField(_("time zone"), max_length=64, blank=True)
    mail_on_result = models.BooleanField(_("e-mail me when a submission is scored"), default=False)
    mail_on_announcement = models.BooleanField(_("e-mail me announcements"), default=False)

    mail_on_message = models.BooleanField(
        _("e-mail me messages of organisers"), default=True, db_default=True
    )

    shows_page = models.BooleanField(
        _("a public page with my teams, their methods and ranks"), default=False, db_default=False
    )

    @cached_property
    def request_facts(self) -> RequestFacts:
        """Kept with this object, which lives as long as its request."""
        return RequestFacts()

    class Meta(AbstractUser.Meta):
        constraints = [
            models.UniqueConstraint(Lower("email"), name="user_email_once"),
            models.UniqueConstraint(Lower("username"), name="user_name_once"),
            models.UniqueConstraint(
                fields=["name_key"], condition=~models.Q(name_key=""), name="user_look_alike_once"
            ),
        ]


class ApiToken(models.Model):
    """A personal access token: only its prefix and its hash are stored."""

    class Scope(models.TextChoices):
        READ = "read", _("read")
        SUBMIT = "submit", _("submit")
        ORGANISE = "organise", _("organise")

    user = models.ForeignKey(User, models.CASCADE, related_name="api_tokens")
    name = models.CharField(_("name"), max_length=80)
    prefix = models.CharField(max_length=16, unique=True)
    digest = models.CharField(max_length=64)
    scopes = ArrayField(models.CharField(max_length=16, choices=Scope))
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"
