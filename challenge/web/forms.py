"""Forms: text into what the services take."""

from __future__ import annotations

import zoneinfo
from collections.abc import Sequence
from typing import Any

from django import forms
from django.conf import settings
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from challenge.errors import Refusal
from challenge.models import ApiToken, Challenge, Submission, Team, User, Webhook
from challenge.selectors import languages
from challenge.services import throttles
from challenge.services.accounts import usernames
from challenge.services.submissions.submissions import MethodFacts
from challenge.services.teams import mailboxes
from challenge.templatetags.flair import text as title_of


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


class DeleteForm(forms.Form):
    """Deletion of one's account, meant in earnest."""

    password = forms.CharField(
        label=_("Your password"),
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )
