"""What the demo submits: a synthetic world, a pixel classifier's predictions, three made ones.

The world and the classifier come from ``python -m baselines``, run as the separate program that
it is. The made predictions are the truth, bent: borders wander and patches of ground are taken
for a class that looks like it, more of both for a weaker method.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile

from scoring.engine.task.specification import SHIPPED, TaskSpec
from scoring.engine.truth import store

SEED = 2022
TRAIN_PATCHES = 12
DATES = ("12", "16")  # of a zone's satellite series, fewest and most
CELL_PX = 32
# class id → what it is mistaken for, in the order of FLAIR's thirteen classes
LOOKALIKE = np.array([2, 3, 1, 1, 2, 6, 5, 9, 10, 7, 9, 3, 12], dtype=np.uint8)


class WorldError(Exception):
    """The synthetic world could not be made; the message holds what the program said."""


@dataclass(frozen=True)
class Bend:
    """How a made prediction differs from the truth.

    ``wander_px`` is how far borders are shifted, ``confused`` the share of ground taken for a
    look-alike, ``one_based`` the classical mistake of keeping the masks' own numbers.
    """

    wander_px: float
    confused: float
    one_based: bool = False


@dataclass(frozen=True)
class World:
    """A synthetic data set: its folder, the masks that are scored against, and the pixel
    classifier's predictions of them.
    """

    root: Path
    labels: Path
    pixel_zip: Path


def make_world(
    folder: Path, *, layout: str, ids_csv: Path, keep: Path | None, say: Callable[[str], None]
) -> World:
    """Make patches and masks of the ids in ``ids_csv``, and classify them pixel by pixel.

    All but the labels that are scored against is kept as the data set ``keep``, for baselines
    to be trained on.
    Takes some ten seconds; ``say`` hears of each step done. Raises `WorldError`.
    """
    root = folder / "world"
    _synth(root, layout=layout, ids_csv=ids_csv)
    if keep is not None:
        _keep(root, keep)
    say(f"{layout}: made patches and masks; a pixel classifier is being fitted")
    _baselines("pixel", str(root), "--out", str(folder / "pixel.zip"))
    say(f"{layout}: the pixel classifier has predicted every patch")
    (labels,) = root.glob("*labels_test")
    return World(root, labels, folder / "pixel.zip")


def make_dataset(keep: Path, *, layout: str, ids_csv: Path) -> None:
    """Make that data set alone, the same as `make_world` makes. Raises `WorldError`."""
    with TemporaryDirectory(prefix="flair-demo-") as name:
        _synth(Path(name) / "world", layout=layout, ids_csv=ids_csv)
        _keep(Path(name) / "world", keep)


def _synth(root: Path, *, layout: str, ids_csv: Path) -> None:
    _baselines(
        *("synth", str(root), "--layout", layout, "--ids-csv", str(ids_csv)),
        *("--train", str(TRAIN_PATCHES), "--seed", str(SEED), "--dates", *DATES),
    )


def _keep(root: Path, keep: Path) -> None:
    """Copy a tree without the labels of its test part; it is there whole or not at all."""
    part = keep.with_name(f".{keep.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(root, part, ignore=shutil.ignore_patterns("*labels_test"))
    shutil.rmtree(keep, ignore_errors=True)
    part.rename(keep)


def make_predictions(
    labels: Path,
    out: Path,
    *,
    spec: TaskSpec,
    bend: Bend,
) -> Path:
    """Write a zip of predictions, one LZW TIFF per mask below ``labels``."""
    masks = store.find_masks(labels, spec=spec)
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for patch_id, path in sorted(masks.items()):
            random = np.random.default_rng([SEED, int(patch_id), round(1000 * bend.confused)])
            truth = spec.label_table[store.read_mask(path, spec=spec)]
            classes = _bent(truth, random, bend)
            name = spec.prediction_name.replace("{id}", patch_id)
            archive.writestr(name, _tiff(classes + np.uint8(bend.one_based)))
    return out


def _bent(truth: NDArray[np.uint8], random: np.random.Generator, bend: Bend) -> NDArray[np.uint8]:
    """uint8[H, W] of class ids, bent."""
    height, width = truth.shape
    rows, columns = (
        np.clip(np.rint(where + bend.wander_px * _waves(random, height, width)), 0, side - 1)
        for where, side in zip(np.indices(truth.shape), truth.shape, strict=True)
    )
    strayed = truth[rows.astype(int), columns.astype(int)]
    field = _waves(random, height, width)
    mistaken = field < np.quantile(field, bend.confused)
    bent: NDArray[np.uint8] = np.where(mistaken, LOOKALIKE[strayed], strayed)
    return bent


def _waves(random: np.random.Generator, height: int, width: int) -> NDArray[np.float64]:
    """float64[height, width], a smooth field of mean 0 and deviation near 1."""
    knots = random.standard_normal((height // CELL_PX + 2, width // CELL_PX + 2))
    down = np.linspace(0, knots.shape[0] - 1, height)
    across = np.linspace(0, knots.shape[1] - 1, width)
    tall = np.stack([np.interp(down, range(len(c)), c) for c in knots.T], axis=1)
    return np.stack([np.interp(across, range(len(r)), r) for r in tall])


def _tiff(classes: NDArray[np.uint8]) -> bytes:
    height, width = classes.shape
    with warnings.catch_warnings(), MemoryFile() as file:
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # predictions need no place
        with file.open(
            driver="GTiff", height=height, width=width, count=1, dtype="uint8", compress="lzw"
        ) as raster:
            raster.write(classes, 1)
        return bytes(file.read())


def _baselines(*words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "baselines", *words],
        cwd=SHIPPED.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise WorldError(
            f"python -m baselines {words[0]} ended with {done.returncode}:\n{done.stderr}"
        )
