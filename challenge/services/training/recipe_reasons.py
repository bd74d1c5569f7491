"""What is wrong in a recipe, in the viewer's language: a sentence for each code of the reader."""

from __future__ import annotations

from typing import Any

from django.utils.functional import Promise, lazy
from django.utils.translation import gettext_lazy as _

# Of `baselines.train.recipe_errors.TEXTS`, those that a site meets. Parameters are plain text.
REASONS: dict[str, Promise] = {
    "key-unknown": _("%(key)s: unknown; allowed are %(allowed)s"),
    "key-missing": _("%(key)s: is missing"),
    "value-not-allowed": _("%(key)s: found %(found)s; allowed are %(allowed)s"),
    "value-wrong": _("%(key)s: found %(found)s, which cannot be used"),
    "needs-bool": _("%(key)s: found %(found)s; true or false is needed"),
    "needs-float": _("%(key)s: found %(found)s; a number with a point is needed"),
    "needs-int": _("%(key)s: found %(found)s; a whole number is needed"),
    "needs-text": _("%(key)s: found %(found)s; a text in quotes is needed"),
    "needs-table": _("%(key)s: found %(found)s; a table is needed"),
    "needs-list": _("%(key)s: found %(found)s; a list is needed"),
    "no-table": _("%(key)s: %(table)s is no table"),
    "bands-wrong": _("data.bands: found %(found)s; allowed are 1 to 5"),
    "numbers-small": _("training.epochs, .batch_size and .devices must be 1 or more"),
    "share-wrong": _("%(key)s: found %(found)s; allowed are shares from 0 on, below 1"),
    "classes-unknown": _(
        "%(key)s: classes %(found)s; allowed are 0 to %(last)s, the %(count)s classes of task "
        "%(task)s"
    ),
    "class-weights-count": _(
        "loss.class_weights: found %(found)s; one for each of the %(count)s classes of task "
        "%(task)s is needed"
    ),
    "class-weight-negative": _(
        "loss.class_weights: found %(found)s; allowed are numbers from 0 on"
    ),
    "class-count-fixed": _(
        "network.options.n_classes: found %(found)s; the %(count)s classes of task %(task)s "
        "decide it"
    ),
    "split-incomplete": _("data.split “named” needs data.train_domains and data.val_domains"),
    "encoder-unknown": _(
        "network.options.encoder: found %(found)s, which is not known; the nearest are %(nearest)s"
    ),
    "encoder-unlike-any": _(
        "network.options.encoder: found %(found)s, which is not known; allowed are the names of "
        "segmentation-models-pytorch, and timm's behind tu-"
    ),
    "encoder-no-text": _("network.options.encoder: found %(found)s; a text in quotes is needed"),
    "text-long": _("longer than %(kib)s KiB"),
    "toml-wrong": _(
        "no TOML from column %(column)s on: a quote, a bracket or an equals sign is missing or too "
        "many, or a key stands twice"
    ),
    "toml-cut": _("no TOML: the text ends within a quote, a bracket or a value"),
    "toml-unreadable": _("no TOML that can be read: a number or a nesting is too long"),
    "date-value": _("a date or a time is no value of a recipe"),
    "task-fixed": _("task: it is the phase's and cannot be changed here"),
}


def _filled(code: str, params: dict[str, Any]) -> str:
    return str(REASONS[code]) % params


_filled_lazily = lazy(_filled, str)


def sentence(code: str, params: dict[str, Any]) -> Any:
    """Return the sentence of a code, translated when it is shown. Raises KeyError."""
    REASONS[code]
    plain = {name: str(value) for name, value in params.items()}
    return _filled_lazily(code, plain)
