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
from challenge.services.training.seeds import SEEDS_LIMIT
from challenge.templatetags.flair import percent, text

KEY = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)*")
SEED_LIMIT = 2**31 - 1


class PhaseField(forms.ModelChoiceField):  # type: ignore[type-arg]  # no generic at run time
    """A phase, by its name in the page's language."""

    def label_from_instance(self, obj: Any) -> str:
        phase: Phase = obj
        return text(phase.name)


class StartForm(forms.Form):
    """A recipe with one or more seeds on a data set that a worker has."""

    recipe = forms.ChoiceField(label=_("Recipe"))
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
        help_text=_("Runs of one name make one line. Empty: the recipe's title."),
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
        self.titles: dict[str, str] = {name: recipe["title"] for name, recipe in recipes.items()}
        roots = sorted({root for worker in workers for root in worker.data_roots})
        self.fields["recipe"].choices = [  # type: ignore[attr-defined]
            (name, _recipe_label(recipe)) for name, recipe in sorted(recipes.items())
        ]
        self.fields["data_root"].choices = [(root, root) for root in roots]  # type: ignore[attr-defined]
        fitting = (root for root in roots if root.startswith(challenge.slug))
        self.fields["data_root"].initial = next(fitting, None)
        self.fields["phase"].queryset = training.target_phases(challenge)  # type: ignore[attr-defined]

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

    def name(self) -> str:
        """Return the method's name on the board."""
        given: str = self.cleaned_data["group"]
        return given or self.titles[self.cleaned_data["recipe"]]

    def add_refusal(self, refusal: Refusal) -> None:
        """Show a refusal above the form."""
        self.add_error(None, str(refusal))


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
