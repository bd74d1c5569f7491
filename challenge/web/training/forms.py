"""The form that starts training runs."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from typing import Any

from django import forms
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from challenge.errors import Refusal
from challenge.models import Challenge, Phase
from challenge.selectors import training
from challenge.selectors.training import Worker
from challenge.services.training.recipes import MAX_BYTES, fitting
from challenge.services.training.seeds import SEEDS_LIMIT
from challenge.templatetags.flair import percent, text

KEY = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)*")
SEED_LIMIT = 2**31 - 1
OWN = "+own"  # no recipe's name begins so


class PhaseField(forms.ModelChoiceField):  # type: ignore[type-arg]  # no generic at run time
    """A phase, by its name in the page's language."""

    def label_from_instance(self, obj: Any) -> str:
        phase: Phase = obj
        return text(phase.name)


class StartForm(forms.Form):
    """A recipe, shipped or the organiser's own, with one or more seeds on a worker's data set."""

    recipe = forms.ChoiceField(
        label=_("Recipe"), help_text=_("Shipped ones that fit the challenge's task, or your own.")
    )
    own_file = forms.FileField(
        label=_("Your own recipe, as a file"),
        required=False,
        help_text=_("TOML, as those of the shipped recipes. Its classes are those of the phase."),
        widget=forms.ClearableFileInput(attrs={"accept": ".toml,text/plain"}),
    )
    own_text = forms.CharField(
        label=_("… or pasted"),
        required=False,
        strip=False,
        max_length=MAX_BYTES,
        widget=forms.Textarea(attrs={"rows": 8, "spellcheck": "false", "class": "mono"}),
    )
    own_name = forms.CharField(
        label=_("Name of your own recipe"),
        required=False,
        max_length=80,
        help_text=_(
            "Letters, digits, dots, dashes, underscores. A worker without a GPU takes those alone "
            "whose name begins with tiny-."
        ),
    )
    data_root = forms.ChoiceField(
        label=_("Data set"), help_text=_("Folders of data that a worker told us of.")
    )
    phase = PhaseField(
        label=_("Submit to"),
        queryset=Phase.objects.none(),
        empty_label=None,
        help_text=_("Its test patches are predicted with the best epoch and submitted."),
    )
    seeds = forms.CharField(
        label=_("Seeds"),
        initial="2022",
        help_text=_("One run each, such as 1 2 3 4 5; the leaderboard shows mean and deviation."),
    )
    group = forms.CharField(
        label=_("Name on the leaderboard"),
        required=False,
        max_length=80,
        help_text=_(
            "Runs of one name make one line. Empty: a shipped recipe's title, your own's name."
        ),
    )
    changes = forms.CharField(
        label=_("Changes to the recipe"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false"}),
        help_text=_("One a line, such as training.epochs = 20"),
    )

    def __init__(
        self, *args: Any, challenge: Challenge, workers: Sequence[Worker], **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        recipes = {recipe["name"]: recipe for worker in workers for recipe in worker.recipes}
        phases = training.target_phases(challenge).select_related("task_spec")
        fits = fitting(recipes, phases=phases)
        recipes = {name: recipe for name, recipe in recipes.items() if name in fits}
        self.titles: dict[str, str] = {name: recipe["title"] for name, recipe in recipes.items()}
        roots = sorted({root for worker in workers for root in worker.data_roots})
        self.fields["recipe"].choices = [  # type: ignore[attr-defined]
            *((name, _recipe_label(recipe)) for name, recipe in sorted(recipes.items())),
            (OWN, gettext("Your own recipe, below")),
        ]
        self.fields["data_root"].choices = [(root, root) for root in roots]  # type: ignore[attr-defined]
        alike = (root for root in roots if root.startswith(challenge.slug))
        self.fields["data_root"].initial = next(alike, None)
        self.fields["phase"].queryset = phases  # type: ignore[attr-defined]

    def clean_seeds(self) -> list[int]:
        words = self.cleaned_data["seeds"].replace(",", " ").split()
        wrong = [word for word in words if not word.isdecimal() or int(word) > SEED_LIMIT]
        if wrong or not words or len(words) > SEEDS_LIMIT or len(set(words)) < len(words):
            raise forms.ValidationError(
                gettext("Give 1 to %(limit)s different whole numbers."),
                params={"limit": SEEDS_LIMIT},
            )
        return [int(word) for word in words]

    def clean_changes(self) -> dict[str, Any]:
        changes: dict[str, Any] = {}
        for line in self.cleaned_data["changes"].splitlines():
            if not line.strip():
                continue
            key, _equals, value = (part.strip() for part in line.partition("="))
            if not KEY.fullmatch(key) or not value:
                raise forms.ValidationError(
                    gettext("“%(line)s”: a form like training.epochs = 20 is needed."),
                    params={"line": line.strip()[:80]},
                )
            changes[key] = _value(value)
        return changes

    def clean_own_file(self) -> str:
        """Read the file's text."""
        file = self.cleaned_data["own_file"]
        if not file:
            return ""
        if file.size > MAX_BYTES:
            raise forms.ValidationError(
                gettext("The file is larger than %(kib)s KiB."), params={"kib": MAX_BYTES // 1024}
            )
        try:
            text: str = file.read().decode("utf-8")
        except UnicodeDecodeError as error:
            raise forms.ValidationError(gettext("The file is no text in UTF-8.")) from error
        return text.removeprefix("\ufeff")

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        written = [text for name in ("own_file", "own_text") if (text := data.get(name))]
        is_own = data.get("recipe") == OWN
        if is_own and len(written) != 1 and not self.errors:
            self.add_error("own_text", gettext("Give the recipe as a file or pasted, one of both."))
        elif is_own and not data.get("own_name") and "own_name" not in self.errors:
            self.add_error("own_name", gettext("Give your recipe a name."))
        elif written and "recipe" in data and not is_own:
            self.add_error(
                "recipe",
                gettext("A recipe of your own is given below: choose it here, or empty it."),
            )
        data["text"] = written[0].replace("\r\n", "\n") if is_own and written else ""
        return data

    def recipe_name(self) -> str:
        """Return what the recipe is called."""
        chosen: str = self.cleaned_data["recipe"]
        own: str = self.cleaned_data["own_name"]
        return own if chosen == OWN else chosen

    def name(self) -> str:
        """Return the method's name on the board."""
        given: str = self.cleaned_data["group"]
        return given or self.titles.get(self.cleaned_data["recipe"], self.recipe_name())

    def add_refusal(self, refusal: Refusal) -> None:
        """Show a refusal above the form; of a recipe's own text beside it."""
        beside_text = refusal.code == "recipe-line-wrong"
        self.add_error("own_text" if beside_text else None, str(refusal))


def started(count: int) -> str:
    """Return what is said once runs are queued."""
    return ngettext("%(n)d run is queued.", "%(n)d runs are queued.", count) % {"n": count}


def _recipe_label(recipe: dict[str, Any]) -> str:
    label = f"{recipe['title']} ({recipe['name']})"
    if recipe.get("published_miou") is not None:
        label += ", " + gettext("published %(miou)s") % {"miou": percent(recipe["published_miou"])}
    return label


def _value(word: str) -> Any:
    """Read a TOML value; what is none is text."""
    try:
        value = tomllib.loads(f"value = {word}")["value"]
    except tomllib.TOMLDecodeError:
        return word
    return value if isinstance(value, bool | int | float | str | list | dict) else word
