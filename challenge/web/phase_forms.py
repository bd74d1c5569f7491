"""The form of a phase: times on the challenge's own clocks, never on the device's."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from challenge.models import Phase
from challenge.rules import settlement, zone_times
from challenge.rules.languages import LANGUAGES
from challenge.web import zone_text
from challenge.web.zone_time_form import ZoneTimes, time_field

TIMES = ("opens_at", "closes_at", "frozen_at")
TEXTS = ("name", "summary")
MB = 1_000_000


def _limit(label: Any) -> forms.IntegerField:
    return forms.IntegerField(label=label, min_value=1, max_value=2**31 - 1, required=False)


class PhaseForm(ZoneTimes):
    """What editors change of a phase; ``changes`` are the fields that differ from the stored ones.

    A time that clocks skip or show twice is refused with the two moments to choose from.
    """

    name_en = forms.CharField(label=_("Name in English"), max_length=120)
    name_fr = forms.CharField(label=_("Name in French"), max_length=120)
    summary_en = forms.CharField(label=_("Summary in English"), max_length=500, required=False)
    summary_fr = forms.CharField(label=_("Summary in French"), max_length=500, required=False)
    opens_at = time_field(_("Opens"), required=True)
    closes_at = time_field(_("Closes"))
    grace_minutes = forms.IntegerField(
        label=_("Minutes of grace before the settlement"),
        min_value=settlement.SHORTEST_GRACE_MINUTES,
        max_value=settlement.LONGEST_GRACE_MINUTES,
        initial=60,
        help_text=_("where teams choose: after the close and the last verdict; until then they do"),
    )
    daily_limit = _limit(_("Submissions a day"))
    total_limit = _limit(_("Submissions in all"))
    invalid_daily_limit = _limit(_("Invalid submissions a day"))
    finals_limit = _limit(_("Submissions a team may choose"))
    archive_mb = forms.FloatField(
        label=_("Largest archive, in MB"), min_value=0.001, max_value=2**40, initial=5000
    )
    inference_ratio_limit = forms.FloatField(
        label=_("Inference time over the baseline's that is flagged"),
        required=False,
        min_value=0.01,
        max_value=1_000_000,
    )
    visibility = forms.ChoiceField(label=_("Who sees the leaderboard"), choices=Phase.VISIBILITIES)
    detail = forms.ChoiceField(
        label=_("Shown to participants before the close"), choices=Phase.DETAILS
    )
    precision = forms.ChoiceField(
        label=_("Figures in full precision once"), choices=Phase.PRECISIONS
    )
    frozen_at = time_field(_("Leaderboard as of"))
    freeze_hides_own = forms.BooleanField(
        label=_("While it is frozen, teams do not see their own later scores"), required=False
    )
    archives_kept_days = forms.IntegerField(
        label=_("Days that archives are kept after the close"),
        min_value=1,
        max_value=36_500,
        initial=90,
    )
    sort_order = forms.IntegerField(label=_("Place in the list"), initial=0, min_value=0)
    is_published = forms.BooleanField(label=_("Published: everybody sees it"), required=False)

    def __init__(
        self,
        data: Any = None,
        *,
        zone: ZoneInfo,
        phase: Phase | None = None,
        may_publish: bool = False,
        languages: Sequence[str] = LANGUAGES,
    ) -> None:
        super().__init__(data, initial=_initial(phase, zone))
        self.zone, self.phase = zone, phase
        self.moments: dict[str, datetime | None] = {}
        for code in LANGUAGES:
            self.fields[f"name_{code}"].required = code in languages
        if not may_publish:
            del self.fields["is_published"]
        for name in TIMES:
            self.fields[name].help_text = self._zone_help(name)

    @property
    def groups(self) -> list[tuple[str, list[Any]]]:
        """The fields under their headings, in order."""
        parts = (
            (gettext("Times"), ("opens_at", "closes_at", "grace_minutes")),
            (gettext("What is shown"), ("visibility", "detail", "precision", "is_published")),
            (gettext("Freeze of the leaderboard"), ("frozen_at", "freeze_hides_own")),
            (gettext("Limits of a team"),
             ("daily_limit", "total_limit", "invalid_daily_limit", "finals_limit", "archive_mb")),
            (gettext("Texts"),
             ("name_en", "name_fr", "summary_en", "summary_fr", "sort_order")),
            (gettext("Other"), ("archives_kept_days", "inference_ratio_limit")),
        )  # fmt: skip
        shown = [
            (title, [n for name in names for n in (name, f"{name}_choice") if n in self.fields])
            for title, names in parts
        ]
        return [(title, [self[name] for name in names]) for title, names in shown]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        for name in TIMES:
            if name in cleaned:
                self.moments[name] = self.moment(
                    name, cleaned[name], stored=getattr(self.phase, name, None)
                )
        return cleaned

    def values(self) -> dict[str, Any]:
        """Return all fields as the service takes them."""
        data = self.cleaned_data
        texts = {
            name: {code: data[f"{name}_{code}"].strip() for code in LANGUAGES} for name in TEXTS
        }
        if not any(texts["summary"].values()):
            texts["summary"] = {}
        renamed = {"archive_limit_bytes": round(data["archive_mb"] * MB)}
        same = {
            name: value for name, value in data.items() if name in _SAME and name in self.fields
        }
        return {**texts, **same, **renamed, **self.moments}

    def changes(self) -> dict[str, Any]:
        """Return the values of fields that whoever sent the form had changed."""
        changed = set(self.changed_data)
        of_field = {"archive_limit_bytes": ("archive_mb",)} | {
            name: tuple(f"{name}_{code}" for code in LANGUAGES) for name in TEXTS
        }
        return {
            name: value
            for name, value in self.values().items()
            if changed & {name, f"{name}_choice", *of_field.get(name, ())}
        }

    def _zone_help(self, name: str) -> str:
        stored = getattr(self.phase, name, None)
        words = self.zone_help()
        if stored is not None:
            words += " " + gettext("Saved: %(at)s.") % {"at": zone_text.both(stored, self.zone)}
        if name == "closes_at":
            words += " " + gettext("Empty: it has no end.")
        if name == "frozen_at":
            words += " " + gettext(
                "What is submitted later does not show, whenever it is scored. Empty: not frozen."
            )
        return words


_SAME = (
    "grace_minutes",
    "daily_limit",
    "total_limit",
    "invalid_daily_limit",
    "finals_limit",
    "inference_ratio_limit",
    "visibility",
    "detail",
    "precision",
    "freeze_hides_own",
    "archives_kept_days",
    "sort_order",
    "is_published",
)


class NewPhaseForm(PhaseForm):
    """A new phase: its address, too."""

    slug = forms.SlugField(
        label=_("Address"),
        max_length=50,
        help_text=_("a word in lower case, such as “final”; it does not change later"),
    )

    @property
    def groups(self) -> list[tuple[str, list[Any]]]:
        return [(gettext("Address"), [self["slug"]]), *super().groups]


class TimeZoneForm(forms.Form):
    """The zone on whose clocks a challenge's times are written."""

    time_zone = forms.ChoiceField(label=_("Time zone"))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["time_zone"].choices = [  # type: ignore[attr-defined]
            (name, name.replace("_", " ")) for name in sorted(zone_times.NAMES)
        ]


class SettleForm(forms.Form):
    """Why a phase is settled by hand."""

    reason = forms.CharField(
        label=_("Reason"), max_length=500, widget=forms.Textarea(attrs={"rows": 2})
    )


def _initial(phase: Phase | None, zone: ZoneInfo) -> dict[str, Any]:
    if phase is None:
        return {}
    initial: dict[str, Any] = {name: getattr(phase, name) for name in _SAME}
    for name in TEXTS:
        texts = getattr(phase, name)
        initial |= {f"{name}_{code}": texts.get(code, "") for code in LANGUAGES}
    initial |= {name: zone_text.field_text(getattr(phase, name), zone) for name in TIMES}
    whole, rest = divmod(phase.archive_limit_bytes, MB)
    return initial | {"archive_mb": phase.archive_limit_bytes / MB if rest else whole}
