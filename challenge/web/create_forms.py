"""The forms that make a challenge: names, task, address."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from challenge.models import Challenge, TaskSpec
from challenge.rules import class_table, zone_times
from challenge.rules.class_table import ClassTableError
from challenge.rules.languages import LANGUAGES
from challenge.services.challenges import page_templates, schema
from challenge.services.challenges.description import Description

FIRST_PHASE = {"en": "Test", "fr": "Test"}
OPENS_AFTER = timedelta(days=30)
EXAMPLE = "name_en,name_fr,color,labels,scored\nforest,forêt,#194a26,0,yes\nwater,eau,#1553ae,1,yes"


class NamesForm(forms.Form):
    """What a challenge is called, and on whose clocks its times are."""

    languages = forms.MultipleChoiceField(
        label=_("Required languages"),
        choices=settings.LANGUAGES,
        initial=LANGUAGES,
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("in which its pages and texts must be written; none chosen: all"),
    )
    title_en = forms.CharField(label=_("Name in English"), max_length=120, required=False)
    title_fr = forms.CharField(label=_("Name in French"), max_length=120, required=False)
    slug = forms.RegexField(
        label=_("Address"),
        regex=schema.SLUG,
        max_length=50,
        help_text=_("a word in lower case, such as “land-cover-2027”; it can change in a draft"),
        error_messages={
            "invalid": _("Lower-case letters and digits, with single dashes between them.")
        },
    )
    tagline_en = forms.CharField(
        label=_("In one sentence, in English"), max_length=200, required=False
    )
    tagline_fr = forms.CharField(
        label=_("In one sentence, in French"), max_length=200, required=False
    )
    organiser = forms.CharField(label=_("Who holds it"), max_length=200, required=False)
    time_zone = forms.ChoiceField(label=_("Time zone"), initial="Europe/Paris")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["time_zone"].choices = [  # type: ignore[attr-defined]
            (name, name.replace("_", " ")) for name in sorted(zone_times.NAMES)
        ]

    def clean(self) -> dict[str, Any]:
        """Ask for a name in each of the required languages."""
        cleaned = super().clean() or {}
        cleaned["languages"] = cleaned.get("languages") or list(LANGUAGES)
        for code in cleaned["languages"]:
            if not cleaned.get(f"title_{code}") and f"title_{code}" not in self.errors:
                self.add_error(f"title_{code}", gettext("Required: you chose this language."))
        return cleaned

    def description(self, *, now: datetime) -> Description:
        """Return the challenge that the form describes, with the pages that joining needs."""
        data = self.cleaned_data
        head: dict[str, Any] = {
            "slug": data["slug"],
            "title": _written(data, "title"),
            "languages": data["languages"],
            "organiser": data["organiser"],
            "time_zone": data["time_zone"],
        }
        if tagline := _written(data, "tagline"):
            head["tagline"] = tagline
        opens_at = (now + OPENS_AFTER).replace(minute=0, second=0, microsecond=0)
        phase = {"slug": "test", "name": FIRST_PHASE, "opens_at": opens_at}
        made = Description({"challenge": head, "phases": [phase]})
        page_templates.add_to(made, languages=data["languages"])
        return made


def _written(data: dict[str, Any], name: str) -> dict[str, str]:
    return {code: data[f"{name}_{code}"] for code in LANGUAGES if data[f"{name}_{code}"]}


class TaskForm(forms.Form):
    """What is predicted: classes, size of patches, names of files, ids."""

    sample = forms.FileField(
        label=_("A sample archive of predictions"),
        required=False,
        widget=forms.FileInput(attrs={"accept": ".zip,application/zip"}),
        help_text=_("Size, names and ids are read from it; no pixel of it is looked at or kept."),
    )
    classes = forms.CharField(
        label=_("Classes"),
        max_length=20_000,
        required=False,
        widget=forms.Textarea(attrs={"rows": 10, "spellcheck": "false"}),
        help_text=_(
            "A CSV with a head, one class a line, in the order of the pixel values of predictions "
            "from 0. Columns: name_en, name_fr, color, labels (values of the masks, divided by "
            "spaces), scored (yes or no), key. Only name_en is needed."
        ),
    )
    label_offset = forms.IntegerField(
        label=_("Label of the first class in the masks"), min_value=0, max_value=254, initial=0
    )
    patch_height_px = forms.IntegerField(
        label=_("Height of a patch, in pixels"), min_value=1, max_value=8192, required=False
    )
    patch_width_px = forms.IntegerField(
        label=_("Width of a patch, in pixels"), min_value=1, max_value=8192, required=False
    )
    prediction_name = forms.CharField(
        label=_("Name of a prediction"),
        max_length=200,
        required=False,
        help_text=_("with {id} for the patch: PRED_{id}.tif"),
    )
    prediction_pattern = forms.CharField(
        label=_("Pattern of names of predictions, without extension"),
        max_length=300,
        required=False,
        help_text=_("a regular expression with a group (?P&lt;id&gt;…)"),
    )
    truth_pattern = forms.CharField(
        label=_("Pattern of names of masks, without extension"),
        max_length=300,
        required=False,
        initial="MSK_(?P<id>[A-Za-z0-9][A-Za-z0-9_.-]*)",
    )
    ids = forms.CharField(
        label=_("Patches"),
        max_length=900_000,
        required=False,
        widget=forms.Textarea(attrs={"rows": 8, "spellcheck": "false"}),
        help_text=_(
            "One id a line, or a CSV with the columns domain,zone,patch; zones are needed for "
            "intervals and for a public and a private part."
        ),
    )
    absent_policy = forms.ChoiceField(
        label=_("A class in neither labels nor predictions"),
        choices=[("skip", _("is left out of the mean")), ("zero", _("counts as 0"))],
    )

    def task(self) -> dict[str, Any]:
        """Return the table ``[task]``. Raises `ClassTableError`."""
        data = self.cleaned_data
        offset = data["label_offset"]
        return {
            "patch_height_px": data["patch_height_px"],
            "patch_width_px": data["patch_width_px"],
            "label_offset": offset,
            "unscored_policy": "full-matrix",
            "absent_policy": data["absent_policy"],
            "prediction_name": data["prediction_name"],
            "prediction_pattern": data["prediction_pattern"],
            "truth_pattern": data["truth_pattern"],
            "classes": class_table.read(data["classes"], label_offset=offset),
        }

    def ids_csv(self) -> str:
        """Return the list of patches as the challenge's folder has it."""
        lines = self.cleaned_data["ids"].split()
        if lines and "," in lines[0]:
            return "\n".join(lines) + "\n"
        return "domain,zone,patch\n" + "".join(f",,{one}\n" for one in lines)


class AddressForm(forms.Form):
    """Another address for a draft."""

    slug = forms.CharField(label=_("Address"), max_length=50)


class CloneForm(forms.Form):
    """The next edition: its names, its address, and how much later it is."""

    title_en = forms.CharField(label=_("Name in English"), max_length=120)
    title_fr = forms.CharField(label=_("Name in French"), max_length=120)
    slug = forms.CharField(label=_("Address"), max_length=50)
    days = forms.IntegerField(
        label=_("Days later"),
        initial=364,
        help_text=_("364 keeps the days of the week; hours stay those of the challenge's clocks"),
    )

    def __init__(self, *args: Any, languages: Sequence[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for code in LANGUAGES:
            self.fields[f"title_{code}"].required = code in languages

    def title(self) -> dict[str, str]:
        """Return the name of the edition by language."""
        return _written(self.cleaned_data, "title")


def task_initial(challenge: Challenge) -> dict[str, Any]:
    """Return what the form shows of the task that a challenge has."""
    stored = TaskSpec.objects.filter(challenge=challenge).order_by("-version").first()
    if stored is None:
        return {"classes": EXAMPLE}
    data = stored.data
    names = (
        "patch_height_px",
        "patch_width_px",
        "label_offset",
        "prediction_name",
        "prediction_pattern",
        "truth_pattern",
        "absent_policy",
    )
    phase = challenge.phases.filter(task_spec=stored).order_by("sort_order").first()
    rows = phase.public_patches if phase is not None else []
    ids = "domain,zone,patch\n" + "".join(f"{one[1]},{one[2]},{one[0]}\n" for one in rows)
    shown = {name: data[name] for name in names}
    return shown | {"classes": class_table.write(data["classes"]), "ids": ids}


__all__ = ["AddressForm", "ClassTableError", "CloneForm", "NamesForm", "TaskForm", "task_initial"]
