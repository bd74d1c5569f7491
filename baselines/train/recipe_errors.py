"""What can be wrong in a recipe: a code with parameters, and its words in English.

A site says the same in other languages: it maps each code to a sentence of its own.
"""

from __future__ import annotations

from typing import Any

# By code; the parameters in braces are plain text.
TEXTS = {
    "key-unknown": "{key}: unknown; allowed are {allowed}",
    "key-missing": "{key}: is missing",
    "value-not-allowed": "{key}: found {found}; allowed are {allowed}",
    "value-wrong": "{key}: found {found}; {said}",
    "needs-bool": "{key}: found {found}; bool is needed",
    "needs-float": "{key}: found {found}; float is needed",
    "needs-int": "{key}: found {found}; int is needed",
    "needs-text": "{key}: found {found}; str is needed",
    "needs-table": "{key}: found {found}; a table is needed",
    "needs-list": "{key}: found {found}; a list is needed",
    "no-table": "{key}: {table} is no table",
    "bands-wrong": "data.bands {found}; allowed are 1 to 5",
    "numbers-small": "training.epochs, .batch_size and .devices must be 1 or more",
    "share-wrong": "{key}: found {found}; allowed are shares from 0 on, below 1",
    "classes-unknown": "{key}: classes {found}; allowed are 0 to {last}, the {count} classes of "
    "task {task}",
    "class-weights-count": "loss.class_weights: found {found}; one for each of the {count} classes "
    "of task {task} is needed",
    "class-weight-negative": "loss.class_weights: found {found}; allowed are numbers from 0 on",
    "class-count-fixed": "network.options.n_classes: found {found}; the {count} classes of task "
    "{task} decide it",
    "split-incomplete": "data.split 'named' needs data.train_domains and data.val_domains",
    "encoder-unknown": "network.options.encoder: found {found}, which is not known; the nearest "
    "are {nearest}",
    "encoder-unlike-any": "network.options.encoder: found {found}, which is not known; allowed are "
    "segmentation-models-pytorch's names, and timm's behind tu-",
    "encoder-no-text": "network.options.encoder: found {found}; str is needed",
    "text-long": "longer than {kib} KiB",
    "toml-wrong": "no TOML: {said}",  # `column` is given as well
    "toml-cut": "no TOML: {said}",
    "toml-unreadable": "no TOML that can be read: {said}",
    "date-value": "a date or a time is no value of a recipe",
    "task-fixed": "task: it is the phase's and cannot be changed here",
    # Of the command line alone.
    "recipe-not-shipped": "recipe {found}; shipped are {allowed}",
    "file-wrong": "{file}: {said}",
    "task-wrong": "{said}",
    "line-wrong": "{said}",
}


class RecipeError(ValueError):
    """What is wrong in a recipe, with the key, what was found and what is allowed.

    `code` is one of `TEXTS`, `params` the parameters of its sentence.
    """

    def __init__(self, code: str, **params: Any) -> None:
        """Fill the code's English sentence. Raises KeyError for a code or parameter unknown."""
        super().__init__(TEXTS[code].format(**params))
        self.code, self.params = code, params
