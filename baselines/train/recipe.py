"""A recipe: everything that decides a training, read from one TOML file.

Published recipes lie in `baselines/recipes/`, one file a row of the papers' tables. A run freezes
the recipe it was started with into its folder.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tomllib
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from baselines import networks
from baselines.data import splits
from baselines.data.batches import Moved
from baselines.data.layout import Index, Patch
from baselines.data.metadata import Encoding
from baselines.data.nomenclature import N_CLASSES, OTHER
from baselines.data.samples import BANDS, Options
from baselines.data.sentinel import SeriesOptions

FOLDER = Path(__file__).resolve().parent.parent / "recipes"


class RecipeError(ValueError):
    """What is wrong in a recipe, with the key, what was found and what is allowed."""


@dataclass(frozen=True)
class Published:
    """What the papers report for this recipe: mean and deviation of five runs, mIoU 0..1."""

    challenge: Literal["flair-1", "flair-2"] | None = None
    miou: float | None = None
    std: float | None = None
    source: str = ""


@dataclass(frozen=True)
class Network:
    """Which network; `options` go to `networks.build`."""

    name: Literal["unet", "fpn", "deeplabv3", "utae", "utt"] = "unet"
    published: bool = False
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Data:
    """What the network sees: bands (1 R, 2 G, 3 B, 4 NIR, 5 height), FILT, AVG M, MTD, AUG."""

    bands: tuple[int, ...] = BANDS
    filter: bool = False
    monthly: bool = False
    metadata: bool = False
    metadata_encoding: Encoding = "scaled"
    augmentation: Moved = "none"
    crop_cells: int = 40
    split: Literal["official", "fold", "named"] = "official"
    folds: int = 5
    held_out: int = 0
    train_domains: tuple[str, ...] = ()
    val_domains: tuple[str, ...] = ()


@dataclass(frozen=True)
class Loss:
    """Classes whose pixels don't count in the aerial and in the satellite loss, and its factor."""

    unweighted: tuple[int, ...] = (OTHER,)
    sentinel_unweighted: tuple[int, ...] = (11, OTHER)
    sentinel_factor: float = 1.0


@dataclass(frozen=True)
class Optimiser:
    """How weights move. "plateau" halves the rate as published; "one-cycle" is for short runs."""

    name: Literal["sgd", "adamw"] = "sgd"
    lr: float = 0.02
    weight_decay: float = 0.0
    schedule: Literal["plateau", "one-cycle", "none"] = "plateau"
    plateau_factor: float = 0.5
    plateau_patience: int = 10
    plateau_cooldown: int = 4
    lr_min: float = 1e-7


@dataclass(frozen=True)
class Training:
    """Length, batches and precision. `global_batch_size` is reached by processes and steps.

    `monitor` decides early stopping and which epoch predicts. `devices` is how many at most are
    used of those that a worker or a command gives; None: all.
    """

    epochs: int = 100
    patience: int = 30
    batch_size: int = 10
    global_batch_size: int | None = None
    precision: Literal["fp32", "bf16"] = "bf16"
    channels_last: bool = True
    compiled: bool = False
    clip_norm: float | None = None
    monitor: Literal["val_loss", "val_miou"] = "val_loss"
    devices: int | None = None


@dataclass(frozen=True)
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
    recipe = _read(Recipe, document, where="")
    assert isinstance(recipe, Recipe)
    if set(recipe.data.bands) - set(BANDS) or not recipe.data.bands:
        raise RecipeError(f"data.bands {list(recipe.data.bands)}; allowed are 1 to 5")
    training = recipe.training
    if min(training.epochs, training.batch_size, training.devices or 1) < 1:
        raise RecipeError("training.epochs, .batch_size and .devices must be 1 or more")
    unknown = {*recipe.loss.unweighted, *recipe.loss.sentinel_unweighted} - set(range(N_CLASSES))
    if unknown:
        raise RecipeError(f"loss: classes {sorted(unknown)}; allowed are 0 to {N_CLASSES - 1}")
    if recipe.data.split == "named" and not (recipe.data.train_domains and recipe.data.val_domains):
        raise RecipeError("data.split 'named' needs data.train_domains and data.val_domains")
    return recipe


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


def _read(kind: Any, value: Any, *, where: str) -> Any:
    """Turn a document's value into a value of the annotated kind."""
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, dict):
            raise RecipeError(f"{where or 'recipe'}: found {value!r}; a table is needed")
        hints = typing.get_type_hints(kind)
        unknown = sorted(set(value) - set(hints))
        if unknown:
            prefix = f"{where}." if where else ""
            raise RecipeError(f"{prefix}{unknown[0]}: unknown; allowed are {', '.join(hints)}")
        given = {
            key: _read(hints[key], part, where=f"{where}.{key}" if where else key)
            for key, part in value.items()
        }
        try:
            return kind(**given)  # type: ignore[operator]
        except TypeError as wrong:
            raise RecipeError(f"{where or 'recipe'}: {wrong}") from wrong
    return _read_plain(kind, value, where=where)


def _read_plain(kind: Any, value: Any, *, where: str) -> Any:
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        (kind,) = [part for part in inner if part is not type(None)]
        return _read_plain(kind, value, where=where)
    if origin is Literal:
        if value not in inner:
            raise RecipeError(f"{where}: found {value!r}; allowed are {', '.join(map(str, inner))}")
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise RecipeError(f"{where}: found {value!r}; a list is needed")
        return tuple(_read_plain(inner[0], part, where=where) for part in value)
    if origin is dict:
        if not isinstance(value, dict):
            raise RecipeError(f"{where}: found {value!r}; a table is needed")
        return {key: tuple(part) if isinstance(part, list) else part for key, part in value.items()}
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise RecipeError(f"{where}: found {value!r}; {kind.__name__} is needed")
    return value
