"""Forms of the desk about people, teams and results: text into what the services take."""

from __future__ import annotations

import zoneinfo
from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Any

from django import forms
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from challenge.errors import refuse
from challenge.models import Phase
from challenge.models.roles import ROLES
from challenge.rules.roles import Role
from challenge.templatetags.flair import text as title_of
from challenge.web import zone_text
from challenge.web.zone_time_form import ZoneTimes, time_field


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
