"""A recipe: everything that decides a training, read from one TOML file.

Published recipes lie in `baselines/recipes/`, one file a row of the papers' tables. A run freezes
the recipe it was started with into its folder.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tomllib
import typing
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    ConfigDict,
    StrictBool,
    StrictFloat,
    StrictInt,
    TypeAdapter,
    ValidationError,
)
from pydantic.dataclasses import dataclass
from pydantic_core import ErrorDetails

from baselines import networks
from baselines.data import splits
from baselines.data.batches import Moved, Normalisation, Symmetries
from baselines.data.layout import Index, Patch
from baselines.data.metadata import Encoding
from baselines.data.nomenclature import N_CLASSES, OTHER
from baselines.data.samples import BANDS, Options
from baselines.data.sentinel import SeriesOptions
from baselines.networks.weights import RANDOM

# Unknown keys are mistakes; numbers and flags have exactly their type.
_CONFIG = ConfigDict(extra="forbid")

FOLDER = Path(__file__).resolve().parent.parent / "recipes"


class RecipeError(ValueError):
    """What is wrong in a recipe, with the key, what was found and what is allowed."""


def _lists_as_tuples(options: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(value) if isinstance(value, list) else value for k, value in options.items()}


@dataclass(frozen=True, config=_CONFIG)
class Published:
    """What the papers report for this recipe: mean and deviation of five runs, mIoU 0..1."""

    challenge: Literal["flair-1", "flair-2"] | None = None
    miou: StrictFloat | None = None
    std: StrictFloat | None = None
    source: str = ""


@dataclass(frozen=True, config=_CONFIG)
class Network:
    """Which network; `options` go to `networks.build`.

    `options.encoder_weights` is a name ("imagenet"), a file's path, or "random", as without it.
    """

    name: Literal[
        "unet", "unetplusplus", "fpn", "upernet", "segformer", "deeplabv3", "deeplabv3plus",
        "utae", "utt",
    ] = "unet"  # fmt: skip
    published: StrictBool = False
    options: Annotated[dict[str, Any], AfterValidator(_lists_as_tuples)] = field(
        default_factory=dict
    )


@dataclass(frozen=True, config=_CONFIG)
class Data:
    """What the network sees: bands (1 R, 2 G, 3 B, 4 NIR, 5 height), FILT, AVG M, MTD, AUG.

    `symmetries` is how often AUG draws each: "uniform" (ours) or "coins" (the reference code's).
    `normalisation` "imagenet" takes ImageNet's mean and deviation of red, green and blue from
    bands 1 to 3, and of red and green from 4 and 5, as their first weights are copies of those.
    With `affine` a share of the patches is turned by up to ±30°, scaled by 0.8 to 1.25 and moved
    by up to a fifth of its side, series and labels with it; what comes in from outside is "other".
    """

    bands: tuple[StrictInt, ...] = BANDS
    filter: StrictBool = False
    monthly: StrictBool = False
    metadata: StrictBool = False
    metadata_encoding: Encoding = "scaled"
    augmentation: Moved = "none"
    symmetries: Symmetries = "uniform"
    normalisation: Normalisation = "unit"
    affine: StrictFloat = 0.0
    crop_cells: StrictInt = 40
    split: Literal["official", "fold", "named"] = "official"
    folds: StrictInt = 5
    held_out: StrictInt = 0
    train_domains: tuple[str, ...] = ()
    val_domains: tuple[str, ...] = ()


@dataclass(frozen=True, config=_CONFIG)
class Loss:
    """What is minimised: weighted cross-entropy, and `beside_factor` times a loss `beside` it.

    Pixels of the classes `unweighted` don't count in the aerial, those of `sentinel_unweighted` not
    in the satellite loss (cross-entropy, times `sentinel_factor`). `class_weights` has a weight for
    each class, none for ones; `label_smoothing` is the share given to all classes alike.
    """

    unweighted: tuple[StrictInt, ...] = (OTHER,)
    sentinel_unweighted: tuple[StrictInt, ...] = (11, OTHER)
    sentinel_factor: StrictFloat = 1.0
    class_weights: tuple[StrictFloat, ...] = ()
    label_smoothing: StrictFloat = 0.0
    beside: Literal["none", "dice", "focal", "lovasz"] = "none"
    beside_factor: StrictFloat = 1.0


@dataclass(frozen=True, config=_CONFIG)
class Optimiser:
    """How weights move.

    "plateau" halves the rate, as FLAIR #1 does; "none" keeps it, as FLAIR #2 does; "one-cycle" is
    for short runs; "cosine" rises over the share `warmup` of the run and falls to 0.
    `encoder_lr_factor` is the aerial encoder's part of the rate; without `decay_norms` only
    matrices and kernels decay.
    """

    name: Literal["sgd", "adamw"] = "sgd"
    lr: StrictFloat = 0.02
    weight_decay: StrictFloat = 0.0
    momentum: StrictFloat = 0.0
    betas: tuple[StrictFloat, StrictFloat] = (0.9, 0.999)
    encoder_lr_factor: StrictFloat = 1.0
    decay_norms: StrictBool = True
    schedule: Literal["plateau", "one-cycle", "cosine", "none"] = "plateau"
    warmup: StrictFloat = 0.1
    plateau_factor: StrictFloat = 0.5
    plateau_patience: StrictInt = 10
    plateau_cooldown: StrictInt = 4
    lr_min: StrictFloat = 1e-7


@dataclass(frozen=True, config=_CONFIG)
class Training:
    """Length, batches and precision. `global_batch_size` is reached by processes and steps.

    `monitor` decides early stopping and which epoch predicts. `ema` is the decay of a moving mean
    of the weights (less in the first steps), which is validated, kept and predicts; None: the
    weights themselves. `devices`
    is how many at most are used of those that a worker or a command gives; None: all.
    """

    epochs: StrictInt = 100
    patience: StrictInt = 30
    batch_size: StrictInt = 10
    global_batch_size: StrictInt | None = None
    precision: Literal["fp32", "bf16"] = "bf16"
    channels_last: StrictBool = True
    compiled: StrictBool = False
    clip_norm: StrictFloat | None = None
    monitor: Literal["val_loss", "val_miou"] = "val_loss"
    devices: StrictInt | None = None
    ema: StrictFloat | None = None


@dataclass(frozen=True, config=_CONFIG)
class Recipe:
    """One training, whole."""

    name: str
    title: str
    task: str = "flair-2"
    published: Published = field(default_factory=Published)
    network: Network = field(default_factory=Network)
    data: Data = field(default_factory=Data)
    loss: Loss = field(default_factory=Loss)
    optimiser: Optimiser = field(default_factory=Optimiser)
    training: Training = field(default_factory=Training)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Name the inputs that the network looks at."""
        return networks.inputs_of(self.network.name, metadata=self.data.metadata)

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
        )

    def network_options(self) -> dict[str, Any]:
        """Give the keyword options of `networks.build`."""
        options = {"n_classes": N_CLASSES, **self.network.options}
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
            raise RecipeError(f"recipe {str(name_or_path)!r}; shipped are {', '.join(names())}")
    try:
        document = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError) as wrong:
        raise RecipeError(f"{path.name}: {wrong}") from wrong
    return parse({"name": path.stem, **document})


def parse(document: dict[str, Any]) -> Recipe:
    """Make a recipe of a TOML or JSON document.

    Raises RecipeError for an unknown key, a value of the wrong kind or one that can't work.
    """
    try:
        recipe = _READER.validate_python(document)
    except ValidationError as wrong:
        raise RecipeError(_message(wrong.errors(include_url=False)[0])) from wrong
    if set(recipe.data.bands) - set(BANDS) or not recipe.data.bands:
        raise RecipeError(f"data.bands {list(recipe.data.bands)}; allowed are 1 to 5")
    training = recipe.training
    if min(training.epochs, training.batch_size, training.devices or 1) < 1:
        raise RecipeError("training.epochs, .batch_size and .devices must be 1 or more")
    unknown = {*recipe.loss.unweighted, *recipe.loss.sentinel_unweighted} - set(range(N_CLASSES))
    if unknown:
        raise RecipeError(f"loss: classes {sorted(unknown)}; allowed are 0 to {N_CLASSES - 1}")
    _check_ranges(recipe)
    if recipe.data.split == "named" and not (recipe.data.train_domains and recipe.data.val_domains):
        raise RecipeError("data.split 'named' needs data.train_domains and data.val_domains")
    return recipe


def _check_ranges(recipe: Recipe) -> None:
    """Raise RecipeError for a number that cannot work."""
    shares = {
        "data.affine": recipe.data.affine, "loss.label_smoothing": recipe.loss.label_smoothing,
        "optimiser.warmup": recipe.optimiser.warmup, "training.ema": recipe.training.ema or 0.0,
    }  # fmt: skip
    for key, value in shares.items():
        if not 0 <= value < 1 and not (key == "data.affine" and value == 1):
            raise RecipeError(f"{key}: found {value}; allowed are shares from 0 on, below 1")
    if recipe.loss.class_weights and len(recipe.loss.class_weights) != N_CLASSES:
        raise RecipeError(
            f"loss.class_weights: found {len(recipe.loss.class_weights)}; one for each of the "
            f"{N_CLASSES} classes is needed"
        )


def changed(recipe: Recipe, changes: dict[str, Any]) -> Recipe:
    """Give the recipe with some keys changed, named as `training.epochs`.

    Raises RecipeError as `parse` does.
    """
    document = recipe.to_json()
    for key, value in changes.items():
        *tables, last = key.split(".")
        table = document
        for name in tables:
            table = table.setdefault(name, {})
            if not isinstance(table, dict):
                raise RecipeError(f"{key}: {name} is no table")
        table[last] = value
    return parse(document)


def at_random(recipe: Recipe) -> Recipe:
    """Give the recipe with an encoder that starts at random, where weights were asked for."""
    if recipe.network.options.get("encoder_weights") is None:
        return recipe
    return changed(recipe, {"network.options.encoder_weights": RANDOM})


# What a value of the wrong type is told to be, by pydantic's kind of error.
_NEEDED = {
    "bool_type": "bool",
    "dataclass_type": "a table",
    "dict_type": "a table",
    "float_type": "float",
    "int_type": "int",
    "string_type": "str",
    "tuple_type": "a list",
}


def _message(detail: ErrorDetails) -> str:
    """Say one error of pydantic: the key, what was found and what is allowed."""
    key = ".".join(str(part) for part in detail["loc"]) or "recipe"
    kind = detail["type"]
    if kind == "unexpected_keyword_argument":
        return f"{key}: unknown; allowed are {', '.join(_keys(detail['loc'][:-1]))}"
    if kind == "missing":
        return f"{key}: is missing"
    if kind == "literal_error":
        allowed = detail["ctx"]["expected"].replace(" or ", ", ").replace("'", "")
        return f"{key}: found {detail['input']!r}; allowed are {allowed}"
    if kind in _NEEDED:
        return f"{key}: found {detail['input']!r}; {_NEEDED[kind]} is needed"
    return f"{key}: found {detail['input']!r}; {detail['msg']}"


def _keys(path: tuple[int | str, ...]) -> list[str]:
    """Give the keys of the table at `path`."""
    kind: Any = Recipe
    for part in path:
        kind = typing.get_type_hints(kind)[str(part)]
    return [field.name for field in dataclasses.fields(kind)]


_READER: TypeAdapter[Recipe] = TypeAdapter(Recipe)
