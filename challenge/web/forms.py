"""Forms: text into what the services take."""

from __future__ import annotations

import zoneinfo
from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from challenge.errors import Refusal, refuse
from challenge.models import ApiToken, Challenge, Phase, Submission, Team, User, Webhook
from challenge.models.roles import ROLES
from challenge.rules.roles import Role
from challenge.selectors import languages
from challenge.services import throttles
from challenge.services.accounts import usernames
from challenge.services.submissions.submissions import MethodFacts
from challenge.services.teams import mailboxes
from challenge.templatetags.flair import text as title_of
from challenge.web import zone_text
from challenge.web.zone_time_form import ZoneTimes, time_field


class SignUp(forms.Form):
    """What a new account keeps beside allauth's fields: the language it was made in."""

    def clean(self) -> dict[str, Any]:
        """Let nobody sign up again and again with variants of one address."""
        cleaned = super().clean() or {}
        if not self.errors and cleaned.get("email"):
            try:
                throttles.check_signups(mailboxes.digest(cleaned["email"], scope="sign-up"))
            except Refusal as refusal:
                self.add_error("email", str(refusal))
        return cleaned

    def signup(self, request: HttpRequest, user: User) -> None:
        """Note the language; without it a French newcomer's next page would be in English."""
        user.language = languages.current()
        user.save(update_fields=["language"])


class JoinForm(forms.Form):
    """Acceptance of a challenge's rules."""

    accept = forms.BooleanField(
        label=_("I have read the rules and accept them."),
        error_messages={"required": _("To take part, accept the rules.")},
    )


class SubmitForm(forms.ModelForm):  # type: ignore[type-arg]
    """A method's fact sheet and its archive, by the plain file field or a finished upload."""

    archive = forms.FileField(
        label=_("Archive"),
        required=False,
        widget=forms.ClearableFileInput(attrs={"accept": ".zip,application/zip"}),
        error_messages={"empty": _("The file is empty; a zip of predictions is wanted.")},
    )
    upload = forms.UUIDField(required=False, widget=forms.HiddenInput)
    again = forms.BooleanField(label=_("Submit the same archive again"), required=False)

    class Meta:
        model = Submission
        fields = (
            "method_name",
            "method_description",
            "external_data",
            "code_url",
            "paper_url",
            "baseline_seconds",
            "method_seconds",
            "hardware",
            "mail_on_result",
        )
        labels = {"mail_on_result": _("E-mail me when it is scored")}
        help_texts = {
            "method_name": _("Shown on the leaderboard, such as “U-Net, ResNet-34, flips”."),
            "external_data": _("What else than the challenge's data it was trained on."),
        }
        widgets = {
            "method_description": forms.Textarea(attrs={"rows": 3}),
            "external_data": forms.Textarea(attrs={"rows": 2}),
            "code_url": forms.URLInput(attrs={"placeholder": "https://"}),
            "paper_url": forms.URLInput(attrs={"placeholder": "https://"}),
        }

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if not self.errors and not cleaned.get("archive") and not cleaned.get("upload"):
            self.add_error("archive", _("Choose the zip of your predictions."))
        return cleaned

    def method(self) -> MethodFacts:
        """Return the fact sheet as the service takes it."""
        data = self.cleaned_data
        return MethodFacts(
            method_name=data["method_name"],
            method_description=data["method_description"],
            external_data=data["external_data"],
            code_url=data["code_url"] or "",
            paper_url=data["paper_url"] or "",
            baseline_seconds=data["baseline_seconds"],
            method_seconds=data["method_seconds"],
            hardware=data["hardware"],
        )

    def add_refusal(self, refusal: Refusal) -> None:
        """Show a refusal at the field that it names, else above the form."""
        field = refusal.params.get("field")
        self.add_error(field if field in self.fields else None, str(refusal))


class ProfileForm(forms.ModelForm):  # type: ignore[type-arg]
    """What a person says of themselves, and what they want to be told."""

    language = forms.ChoiceField(label=_("Language"), choices=settings.LANGUAGES)
    timezone = forms.ChoiceField(label=_("Time zone"), required=False)

    class Meta:
        model = User
        fields = (
            "username",
            "affiliation",
            "language",
            "theme",
            "timezone",
            "mail_on_result",
            "mail_on_announcement",
            "mail_on_message",
            "shows_page",
        )
        help_texts = {
            "shows_page": _(
                "Only teams whose captain shows their members, in published challenges. Without it "
                "your name stands on the pages of these teams alone."
            ),
            "mail_on_message": _("Changes of the rules reach you all the same."),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        zones = sorted(zone for zone in zoneinfo.available_timezones() if "/" in zone)
        self.fields["timezone"].choices = [  # type: ignore[attr-defined]
            ("", _("As my device")),
            ("UTC", "UTC"),
            *((zone, zone.replace("_", " ")) for zone in zones),
        ]

    def clean_username(self) -> str:
        """Refuse a new name that looks like another person's, or claims a role."""
        username: str = self.cleaned_data["username"]
        if username == self.initial.get("username"):
            return username
        try:
            return usernames.check(username, user=self.instance)
        except Refusal as refusal:
            raise forms.ValidationError(str(refusal)) from refusal


class TokenForm(forms.Form):
    """A new access token; ``organises``: its person has a role in a challenge."""

    name = forms.CharField(label=_("Name"), max_length=80, help_text=_("What it is for."))
    scopes = forms.MultipleChoiceField(
        label=_("It may"),
        choices=[
            (ApiToken.Scope.READ, _("read my submissions and scores")),
            (ApiToken.Scope.SUBMIT, _("upload and submit")),
        ],
        initial=[ApiToken.Scope.READ, ApiToken.Scope.SUBMIT],
        widget=forms.CheckboxSelectMultiple,
    )
    days = forms.TypedChoiceField(
        label=_("It expires after"),
        choices=[(30, _("30 days")), (90, _("90 days")), (365, _("one year")), (0, _("never"))],
        coerce=int,
        initial=90,
    )

    def __init__(self, *args: Any, organises: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if organises:
            self.fields["scopes"].choices = [  # type: ignore[attr-defined]
                *self.fields["scopes"].choices,  # type: ignore[attr-defined]
                (ApiToken.Scope.ORGANISE, _("do on the desks of challenges what my role allows")),
            ]


class WebhookForm(forms.Form):
    """An address that is told what happened; organisers may have news of a whole challenge."""

    url = forms.URLField(
        label=_("Address"),
        max_length=500,
        assume_scheme="https",
        widget=forms.URLInput(attrs={"placeholder": "https://"}),
        help_text=_("It must be reachable from the internet."),
    )
    events = forms.MultipleChoiceField(
        label=_("It is told when"),
        choices=Webhook.Event.choices,
        initial=[value for value, _label in Webhook.Event.choices],
        widget=forms.CheckboxSelectMultiple,
    )
    challenge = forms.ChoiceField(label=_("News of"), required=False)

    def __init__(self, *args: Any, organised: Sequence[Challenge], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not organised:
            del self.fields["challenge"]
            return
        self.fields["challenge"].choices = [  # type: ignore[attr-defined]
            ("", _("my teams")),
            *((str(challenge.pk), title_of(challenge.title)) for challenge in organised),
        ]


class TeamForm(forms.ModelForm):  # type: ignore[type-arg]
    """A team's name and affiliation."""

    class Meta:
        model = Team
        fields = ("name", "affiliation")


class ShownForm(forms.ModelForm):  # type: ignore[type-arg]
    """What a team's page shows to others."""

    class Meta:
        model = Team
        fields = ("shows_members", "shows_ranks", "shows_methods", "shows_history")


class InviteForm(forms.Form):
    """An invitation, by e-mail where an address is given, else by link."""

    email = forms.EmailField(
        label=_("E-mail address"),
        required=False,
        help_text=_("Leave it empty to get a link that you pass on yourself."),
    )


class RoleForm(forms.Form):
    """A role and the last day on which it counts (in UTC; empty: without end)."""

    role = forms.ChoiceField(label=_("Role"), choices=ROLES, initial=Role.OBSERVER.value)
    expires_at = forms.DateField(
        label=_("Last day"),
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )

    @classmethod
    def of(cls, held: Any) -> RoleForm:
        """Return the form that shows a person's role, its fields' ids its own."""
        day = None
        if held.expires_at is not None:
            day = (held.expires_at - timedelta(microseconds=1)).astimezone(UTC).date()
        initial = {"role": held.role, "expires_at": day}
        return cls(initial=initial, auto_id=f"role-{held.pk}-%s")

    def clean_expires_at(self) -> datetime | None:
        """Return the moment at which the day after the last one begins."""
        day = self.cleaned_data["expires_at"]
        if day is None:
            return None
        try:
            return datetime.combine(day + timedelta(days=1), time(), tzinfo=UTC)
        except OverflowError:
            raise forms.ValidationError(_("Give an earlier day, or none.")) from None


class RoleInvitationForm(RoleForm):
    """An invitation to a role, by e-mail."""

    email = forms.EmailField(label=_("E-mail address"))
    field_order = ("email", "role", "expires_at")


class ReasonForm(forms.Form):
    """Why something is decided; the people concerned read it."""

    CHARACTERS = 2000
    reason = forms.CharField(
        label=_("Reason"),
        required=False,
        max_length=CHARACTERS,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=_("The team reads it."),
    )

    def lengths(self) -> dict[str, int]:
        """Return the length that was sent and the one that is allowed."""
        return {"length": len(self.data.get("reason", "")), "limit": self.CHARACTERS}


class ResultForm(forms.Form):
    """Sign the lines that were shown; from the second version on with a public reason."""

    digest = forms.CharField(widget=forms.HiddenInput, max_length=64, required=False)
    reason = forms.CharField(
        label=_("Why there is another version"),
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=_("Everybody reads it."),
    )

    def __init__(self, data: Any = None, *, version: int) -> None:
        super().__init__(data)
        self.fields["reason"].required = version > 1


class GrantForm(ZoneTimes, ReasonForm):
    """A late entry or extra places for one team; phases are told with their close."""

    phase = forms.ChoiceField(label=_("Phase"))
    late = forms.BooleanField(label=_("It may submit after the close"), required=False)
    extra_places = forms.IntegerField(
        label=_("Submissions beyond the limits"), required=False, min_value=0, max_value=1000
    )
    until = time_field(_("Until"), required=True)
    field_order = ("phase", "late", "extra_places", "until", "reason")

    def __init__(
        self, *args: Any, phases: Sequence[Phase], zone: zoneinfo.ZoneInfo, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.zone = zone
        self.fields["until"].help_text = self.zone_help()
        self.fields["phase"].choices = [  # type: ignore[attr-defined]
            (phase.slug, _with_close(phase, zone)) for phase in phases
        ]

    def clean(self) -> dict[str, Any]:
        """Read the time on the challenge's clocks."""
        cleaned = super().clean() or {}
        if "until" in cleaned:
            cleaned["until"] = self.moment("until", cleaned["until"])
        return cleaned


def _with_close(phase: Phase, zone: zoneinfo.ZoneInfo) -> str:
    """Return a phase's name and when it closes, in the zone and in UTC."""
    name = title_of(phase.name)
    if phase.closes_at is None:
        return name
    return gettext("%(phase)s, closes %(at)s") % {
        "phase": name, "at": zone_text.both(phase.closes_at, zone),
    }  # fmt: skip


class AdmissionForm(forms.Form):
    """A list of addresses and mail domains, typed or in a file."""

    FILE_BYTES = 500_000
    entries = forms.CharField(
        label=_("Addresses and domains"),
        required=False,
        max_length=FILE_BYTES,
        widget=forms.Textarea(attrs={"rows": 8, "spellcheck": "false"}),
        help_text=_("One a line: name@example.org, or @example.org for all of a domain."),
    )
    file = forms.FileField(
        label=_("or a CSV file"),
        required=False,
        widget=forms.FileInput(attrs={"accept": ".csv,.txt,text/csv,text/plain"}),
        help_text=_("The column “email” counts, else the first. UTF-8, at most 500 kB."),
    )

    def clean_file(self) -> Any:
        """Refuse a file that is too large to be a list."""
        file = self.cleaned_data["file"]
        if file is not None and file.size > self.FILE_BYTES:
            raise forms.ValidationError(
                _("The file has %(size)s bytes; allowed are %(limit)s."),
                params={"size": file.size, "limit": self.FILE_BYTES},
            )
        return file

    def clean(self) -> dict[str, Any]:
        """Take the file's text where there is one. A list must not be empty."""
        cleaned = super().clean() or {}
        file = cleaned.get("file")
        if file is not None:
            try:
                cleaned["entries"] = file.read().decode("utf-8-sig")
            except UnicodeDecodeError:
                self.add_error("file", str(refuse("admission-not-text")))
        if not self.errors and not cleaned.get("entries", "").strip():
            self.add_error("entries", str(refuse("admission-empty")))
        return cleaned


class DeleteForm(forms.Form):
    """Deletion of one's account, meant in earnest."""

    password = forms.CharField(
        label=_("Your password"),
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )
