"""The form of a message to participants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.conf import settings
from django.utils.translation import gettext_lazy as _

from challenge.models import Phase, Registration
from challenge.selectors.messages import Audience
from challenge.services.notifications.messages import BODY_CHARACTERS, SUBJECT_CHARACTERS
from challenge.templatetags.flair import text as title_of


class MessageForm(forms.Form):
    """To whom, and the text in each language of the site; ``expected`` is set by the preview."""

    state = forms.ChoiceField(
        label=_("Registrations"),
        choices=Registration.State.choices,
        initial=Registration.State.APPROVED,
    )
    phase = forms.ChoiceField(label=_("Phase"), required=False)
    submitted = forms.ChoiceField(
        label=_("In this phase"),
        required=False,
        choices=[
            ("", _("whether they submitted or not")),
            ("yes", _("who submitted")),
            ("no", _("who did not submit")),
        ],
    )
    rank_to = forms.IntegerField(
        label=_("Teams up to rank"), required=False, min_value=1, max_value=100_000
    )
    about_rules = forms.BooleanField(
        label=_("It tells a change of the rules: also to who wants no messages"), required=False
    )
    expected = forms.IntegerField(required=False, min_value=0, widget=forms.HiddenInput)

    def __init__(self, *args: Any, phases: Sequence[Phase], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["phase"].choices = [  # type: ignore[attr-defined]
            ("", _("any")),
            *((phase.slug, title_of(phase.name)) for phase in phases),
        ]
        for language, name in settings.LANGUAGES:
            self.fields[f"subject_{language}"] = forms.CharField(
                label=_("Subject (%(language)s)") % {"language": name},
                required=False,
                max_length=SUBJECT_CHARACTERS,
                widget=forms.TextInput(attrs={"lang": language}),
            )
            self.fields[f"body_{language}"] = forms.CharField(
                label=_("Text (%(language)s)") % {"language": name},
                required=False,
                max_length=BODY_CHARACTERS,
                widget=forms.Textarea(attrs={"rows": 8, "lang": language}),
            )

    def subject(self) -> dict[str, str]:
        """Return the subjects by language, empty ones among them."""
        return self._texts("subject")

    def body(self) -> dict[str, str]:
        """Return the texts by language, empty ones among them."""
        return self._texts("body")

    def audience(self) -> Audience:
        """Return whom the message is for."""
        data = self.cleaned_data
        return Audience(
            state=data["state"],
            phase=data["phase"],
            submitted=data["submitted"],
            rank_to=data["rank_to"],
        )

    def _texts(self, name: str) -> dict[str, str]:
        return {
            language: self.cleaned_data[f"{name}_{language}"] for language, _l in settings.LANGUAGES
        }
