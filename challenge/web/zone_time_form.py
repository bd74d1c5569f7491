"""Forms whose times are written on the challenge's own clocks."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.utils.translation import gettext

from challenge.rules import zone_times
from challenge.web import zone_text


def time_field(label: Any, *, required: bool = False) -> forms.CharField:
    """Return the field of a time."""
    widget = forms.DateTimeInput(attrs={"type": "datetime-local", "step": "1"})
    return forms.CharField(label=label, required=required, max_length=19, widget=widget)


class ZoneTimes(forms.Form):
    """A form with times on the clocks of ``zone``.

    A time that clocks skip or show twice is refused with the two moments to choose from.
    """

    zone: ZoneInfo

    def zone_help(self) -> str:
        """Say on whose clocks times are written."""
        return gettext("On the clocks of %(zone)s.") % {"zone": self.zone.key}

    def moment(self, name: str, text: str, *, stored: datetime | None = None) -> datetime | None:
        """Return the moment (UTC) that a field means, None where it has none or a mistake.

        ``stored`` is what the field showed: left as it is, it stays that very moment.
        """
        if not text:
            return None
        if stored is not None and text == zone_text.field_text(stored, self.zone):
            return stored  # as it was, whichever of two equal hours it is
        try:
            clock = datetime.fromisoformat(text)
        except ValueError:
            clock = None
        if clock is None or clock.tzinfo is not None or not 1970 <= clock.year <= 9000:
            self.add_error(name, gettext("Give day and time, such as 2026-05-04T12:00."))
            return None
        found = zone_times.moments(clock, zone=self.zone)
        if len(found) == 1:
            return found[0]
        choices = zone_times.choices(clock, zone=self.zone)
        wanted = self.data.get(f"{name}_choice", "")
        for at in choices:
            if wanted == at.isoformat():
                self._offer(name, choices)
                return at
        self._offer(name, choices)
        words = (
            gettext("At this change of clocks this hour comes twice: choose one of the two.")
            if found
            else gettext(
                "At this change of clocks this hour does not exist: choose one of the two."
            )
        )
        self.add_error(name, words)
        return None

    def _offer(self, name: str, choices: list[datetime]) -> None:
        """Add the field that asks which of two moments was meant."""
        self.fields[f"{name}_choice"] = forms.ChoiceField(
            label=gettext("Which moment?"),
            choices=[(at.isoformat(), zone_text.both(at, self.zone)) for at in choices],
            widget=forms.RadioSelect,
            required=False,
        )
