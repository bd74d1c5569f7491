"""A recipe: everything that decides a training, read from one TOML file.

Published recipes lie in `baselines/recipes/`, one file a row of the papers' tables. A run freezes
the recipe it was started with into its folder. Recipes are read without torch.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tomllib
import typing
from dataclasses import field
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from pydantic_core import ErrorDetails

from baselines.data import choices, splits
from baselines.data.layout import Index, Patch
from baselines.data.nomenclature import labels_of
from baselines.data.samples import BANDS, Options
from baselines.data.sentinel import SeriesOptions
from baselines.train import recipe_task
from baselines.train.recipe_errors import RecipeError
from baselines.train.recipe_tables import (
    CONFIG,
    Data,
    Loss,
    Network,
    Optimiser,
    Published,
    Training,
)
from scoring.engine.task.specification import TaskSpec

__all__ = ["Data", "Loss", "Network", "Optimiser", "Published", "Recipe", "RecipeError", "Training"]

FOLDER = Path(__file__).resolve().parent.parent / "recipes"


@dataclass(frozen=True, config=CONFIG)
class Recipe:
    """One training, whole. `task` is a shipped challenge's name or a task document."""

    name: str
    title: str
    task: str | dict[str, Any] = recipe_task.DEFAULT
    published: Published = field(default_factory=Published)
    network: Network = field(default_factory=Network)
    data: Data = field(default_factory=Data)
    loss: Loss = field(default_factory=Loss)
    optimiser: Optimiser = field(default_factory=Optimiser)
    training: Training = field(default_factory=Training)

    @cached_property
    def spec(self) -> TaskSpec:
        """Give the task: its classes, and which values of masks they are."""
        return recipe_task.load(self.task)

    @property
    def task_id(self) -> str:
        """Give the task's name."""
        return self.spec.id

    def learns_like(self, spec: TaskSpec) -> bool:
        """Tell whether the network predicts what another task asks for."""
        return recipe_task.is_learned_alike(self.spec, spec)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Name the inputs that the network looks at."""
        return choices.inputs_of(self.network.name, metadata=self.data.metadata)

    @property
    def digest(self) -> str:
        """Give the sha256 of everything in the recipe but where it is trained."""
        document = self.to_json()
        del document["training"]["devices"]
        return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Give the recipe as JSON values; `parse` reads it back."""
        document: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        return document

    def options(self, *, masks: bool = True) -> Options:
        """Tell what of each patch must be read."""
        aerial = "aerial" in self.inputs
        series = SeriesOptions(
            crop_cells=self.data.crop_cells, filter=self.data.filter, monthly=self.data.monthly
        )
        return Options(
            bands=self.data.bands if aerial else None,
            masks=masks,
            series=series if "sentinel" in self.inputs else None,
            metadata=self.data.metadata_encoding if self.data.metadata else None,
            labels=labels_of(self.spec),
        )

    def network_options(self) -> dict[str, Any]:
        """Give the keyword options of `networks.build`."""
        options = {"n_classes": self.spec.n_classes, **self.network.options}
        if "aerial" in self.inputs:
            options["bands"] = len(self.data.bands)
        if self.data.metadata:
            options["metadata"] = True
        return {"published": self.network.published, **options}

    def split(self, index: Index) -> tuple[tuple[Patch, ...], tuple[Patch, ...]]:
        """Divide a tree's patches into train and validation, whole domains only.

        Raises ValueError when one of them is empty.
        """
        if self.data.split == "official":
            train, val = splits.official(index.domains)
        elif self.data.split == "fold":
            train, val = splits.fold(index.domains, k=self.data.folds, held_out=self.data.held_out)
        else:
            train, val = list(self.data.train_domains), list(self.data.val_domains)
        parts = index.of_domains(train), index.of_domains(val)
        for name, part in zip(("train", "validation"), parts, strict=True):
            if not part:
                raise ValueError(f"{index.root}: no patch of a {name} domain of the split")
        return parts


def names() -> tuple[str, ...]:
    """Give the names of the shipped recipes, sorted."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


def load(name_or_path: str | Path) -> Recipe:
    """Load a shipped recipe by name, or any TOML file by path.

    Raises RecipeError naming the key and what is allowed.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        path = FOLDER / f"{name_or_path}.toml"
        if not path.is_file():
            raise RecipeError(
                "recipe-not-shipped", found=repr(str(name_or_path)), allowed=", ".join(names())
            )
    try:
        document = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError) as wrong:
        raise RecipeError("file-wrong", file=path.name, said=wrong) from wrong
    return parse({"name": path.stem, **document}, folder=path.parent)


def parse(document: dict[str, Any], *, folder: Path = Path()) -> Recipe:
    """Make a recipe of a TOML or JSON document; `folder` is where the path of a task begins.

    Raises RecipeError for an unknown key, a value of the wrong kind or one that can't work.
    """
    document = _with_task(document, folder=folder)
    try:
        recipe = _READER.validate_python(document)
    except ValidationError as wrong:
        raise _error(wrong.errors(include_url=False)[0]) from wrong
    if set(recipe.data.bands) - set(BANDS) or not recipe.data.bands:
        raise RecipeError("bands-wrong", found=list(recipe.data.bands))
    training = recipe.training
    if min(training.epochs, training.batch_size, training.devices or 1) < 1:
        raise RecipeError("numbers-small")
    _check_ranges(recipe)
    _check_classes(recipe)
    if recipe.data.split == "named" and not (recipe.data.train_domains and recipe.data.val_domains):
        raise RecipeError("split-incomplete")
    return recipe


def _check_ranges(recipe: Recipe) -> None:
    """Raise RecipeError for a number that cannot work."""
    shares = {
        "data.affine": recipe.data.affine, "loss.label_smoothing": recipe.loss.label_smoothing,
        "optimiser.warmup": recipe.optimiser.warmup, "training.ema": recipe.training.ema or 0.0,
    }  # fmt: skip
    for key, value in shares.items():
        if not 0 <= value < 1 and not (key == "data.affine" and value == 1):
            raise RecipeError("share-wrong", key=key, found=value)


def _with_task(document: dict[str, Any], *, folder: Path) -> dict[str, Any]:
    """Give a document with its task read, and the losses' classes where it doesn't say them."""
    try:
        task = recipe_task.read(document.get("task", recipe_task.DEFAULT), folder=folder)
        spec = recipe_task.load(task)
    except ValueError as wrong:
        raise RecipeError("task-wrong", said=recipe_task.error_text(wrong)) from wrong
    loss = document.get("loss", {})
    if isinstance(loss, dict):
        loss = {
            "unweighted": recipe_task.unweighted(spec),
            "sentinel_unweighted": recipe_task.sentinel_unweighted(spec),
            **loss,
        }
    return {**document, "task": task, "loss": loss}


def _check_classes(recipe: Recipe) -> None:
    """Raise RecipeError where the losses or the network have other classes than the task."""
    count, weights = recipe.spec.n_classes, recipe.loss.class_weights
    of_task: dict[str, Any] = {"count": count, "task": repr(recipe.task_id)}
    for key in ("unweighted", "sentinel_unweighted"):
        unknown = set(getattr(recipe.loss, key)) - set(range(count))
        if unknown:
            raise RecipeError(
                "classes-unknown", key=f"loss.{key}", found=sorted(unknown), last=count - 1,
                **of_task,
            )  # fmt: skip
    if weights and len(weights) != count:
        raise RecipeError("class-weights-count", found=len(weights), **of_task)
    if weights and min(weights) < 0:
        raise RecipeError("class-weight-negative", found=min(weights))
    built = recipe.network.options.get("n_classes", count)
    if built != count:
        raise RecipeError("class-count-fixed", found=repr(built), **of_task)


def changed(recipe: Recipe, changes: dict[str, Any]) -> Recipe:
    """Give the recipe with some keys changed, named as `training.epochs`.

    With another `task`, classes without weight that were the old one's become the new one's.
    Raises RecipeError as `parse` does.
    """
    document = recipe.to_json()
    if "task" in changes:
        document["loss"] = _without_defaults(recipe)
    for key, value in changes.items():
        *tables, last = key.split(".")
        table = document
        for name in tables:
            table = table.setdefault(name, {})
            if not isinstance(table, dict):
                raise RecipeError("no-table", key=key, table=name)
        table[last] = value
    return parse(document)


def for_task(recipe: Recipe, task: str | dict[str, Any]) -> Recipe:
    """Give the recipe for another task; with the same classes and file names it stays as it is.

    Raises RecipeError as `parse` does, such as for class weights of another number.
    """
    if recipe_task.is_same(recipe.spec, recipe_task.load(task)):
        return recipe
    return changed(recipe, {"task": task})


def _without_defaults(recipe: Recipe) -> dict[str, Any]:
    """Give the loss's table without the classes that the task alone decides."""
    loss: dict[str, Any] = recipe.to_json()["loss"]
    decided = {
        "unweighted": recipe_task.unweighted(recipe.spec),
        "sentinel_unweighted": recipe_task.sentinel_unweighted(recipe.spec),
    }
    for key, classes in decided.items():
        if loss[key] == list(classes):
            del loss[key]
    return loss


def at_random(recipe: Recipe) -> Recipe:
    """Give the recipe with an encoder that starts at random, where weights were asked for."""
    if recipe.network.options.get("encoder_weights") is None:
        return recipe
    return changed(recipe, {"network.options.encoder_weights": choices.RANDOM})


# The code of a value of the wrong type, by pydantic's kind of error.
_NEEDED = {
    "bool_type": "needs-bool",
    "dataclass_type": "needs-table",
    "dict_type": "needs-table",
    "float_type": "needs-float",
    "int_type": "needs-int",
    "string_type": "needs-text",
    "tuple_type": "needs-list",
}


def _error(detail: ErrorDetails) -> RecipeError:
    """Say one error of pydantic: the key, what was found and what is allowed."""
    key = ".".join(str(part) for part in detail["loc"]) or "recipe"
    kind, found = detail["type"], repr(detail["input"])
    if kind == "unexpected_keyword_argument":
        allowed = ", ".join(_keys(detail["loc"][:-1]))
        return RecipeError("key-unknown", key=key, allowed=allowed)
    if kind == "missing":
        return RecipeError("key-missing", key=key)
    if kind == "literal_error":
        allowed = detail["ctx"]["expected"].replace(" or ", ", ").replace("'", "")
        return RecipeError("value-not-allowed", key=key, found=found, allowed=allowed)
    if kind in _NEEDED:
        return RecipeError(_NEEDED[kind], key=key, found=found)
    return RecipeError("value-wrong", key=key, found=found, said=detail["msg"])


def _keys(path: tuple[int | str, ...]) -> list[str]:
    """Give the keys of the table at `path`."""
    kind: Any = Recipe
    for part in path:
        kind = typing.get_type_hints(kind)[str(part)]
    return [field.name for field in dataclasses.fields(kind)]


_READER: TypeAdapter[Recipe] = TypeAdapter(Recipe)
