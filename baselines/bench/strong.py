"""Do the strong recipes beat the published U-T&T at equal time? On the synthetic world, on a CPU.

Everything of a recipe but the size of its network is kept (losses, rates, augmentation, batches,
precision); the network is a small one of the same family and starts at random. Each trains on
patches of 64 px for as many epochs as fit into the same number of seconds of processor time (which
neighbours on the machine do not lengthen), by one epoch, so that its schedule runs to its end.
Measured on test domains unseen in training; the ensemble averages the strong ones. Minutes on a CPU
say nothing about days on a GPU with pre-trained weights.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from baselines import predict, train
from baselines.data import layout, rasters, synth
from baselines.data.nomenclature import reduce_labels
from baselines.train import recipe as recipes
from baselines.train.recipe import Recipe
from scoring.engine.metrics import metrics
from scoring.engine.task import specification as specs

PATCH_PX, CROP_CELLS = 64, 24
SEED = 1
PUBLISHED = "flair-2-utt-all"
_DECODER = {"decoder_channels": [64, 48, 32, 24, 16]}
_SERIES = {"widths": [16, 16, 32, 32], "heads": 8}
# What stands in for each recipe's network, on a CPU.
NETWORKS: dict[str, dict[str, Any]] = {
    PUBLISHED: {"encoder": "resnet18", **_DECODER, **_SERIES},
    "strong-utt": {
        "aerial": "unet", "encoder": "tu-convnextv2_atto", **_DECODER, **_SERIES,
        "encoder_options": {"dims": [32, 64, 96, 128], "depths": [1, 1, 2, 1]},
    },
    "strong-maxvit": {
        "encoder": "tu-maxvit_rmlp_pico_rw_256", **_DECODER,
        "encoder_options": {"embed_dim": [32, 64, 96, 128], "depths": [1, 1, 2, 1]},
    },
    "strong-swin-upernet": {
        "encoder": "tu-swin_tiny_patch4_window7_224", "decoder_channels": 64,
        "encoder_options": {"embed_dim": 32, "depths": [1, 1, 2, 1], "num_heads": [1, 2, 4, 4]},
    },
}  # fmt: skip
STRONG = tuple(name for name in NETWORKS if name != PUBLISHED)
ENSEMBLE = "ensemble"
TIME_S, QUICK_TIME_S = 600.0, 60.0


def run(
    *,
    quick: bool = False,
    on_line: Callable[[str], None],
    folder: Path | None = None,
    time_s: float | None = None,
) -> dict[str, Any]:
    """Train each recipe for `time_s` seconds of processor time; give its figures and the claims.

    `quick` takes less time for each. `folder` keeps what was made.
    """
    allowed_s = time_s or (QUICK_TIME_S if quick else TIME_S)
    with tempfile.TemporaryDirectory() as scratch:
        root = folder or Path(scratch)
        on_line("making the synthetic world")
        tree = root / "tree"
        synth.make(
            tree, patch_px=PATCH_PX, train=192, val=24, test=64, per_zone=4, dates=(12, 20),
            workers=os.cpu_count() or 1,
        )  # fmt: skip
        rows = {}
        for name in (PUBLISHED, *STRONG):
            rows[name] = _train(name, root=root, tree=tree, allowed_s=allowed_s)
            on_line(f"{name:<22} {rows[name]}")
        members = [root / name for name in STRONG]
        rows[ENSEMBLE] = {"miou": _miou(members, tree=tree, out=root / "predictions-ensemble")}
        on_line(f"{ENSEMBLE:<22} {rows[ENSEMBLE]}")
    return summarise(rows, allowed_s=allowed_s)


def summarise(rows: dict[str, dict[str, Any]], *, allowed_s: float) -> dict[str, Any]:
    """Give the rows with the claim of each strong recipe and of the ensemble."""
    published = rows[PUBLISHED]["miou"]
    claims = {
        f"{name.replace('-', '_')}_beats_the_published_utt": rows[name]["miou"] > published
        for name in (*STRONG, ENSEMBLE)
    }
    return {"seconds_each": allowed_s, "rows": rows, "claims": claims}


def _train(name: str, *, root: Path, tree: Path, allowed_s: float) -> dict[str, Any]:
    """Train one recipe for that long; give its epochs, its seconds and its mIoU."""
    options: dict[str, Any] = {
        "data_root": tree, "seed": SEED, "cache_dir": root / "cache", "accelerator": "cpu",
    }  # fmt: skip
    recipe = _small(name)
    train.run(_of_epochs(recipe, 1), out_dir=root / f"{name}-first", **options)  # fills the cache
    begun_s = time.process_time()
    train.run(_of_epochs(recipe, 1), out_dir=root / f"{name}-second", **options)
    epochs = max(1, round(allowed_s / (time.process_time() - begun_s)))
    begun_s = time.process_time()
    train.run(_of_epochs(recipe, epochs), out_dir=root / name, **options)
    seconds = time.process_time() - begun_s
    miou = _miou([root / name], tree=tree, out=root / f"predictions-{name}")
    return {"epochs": epochs, "seconds": round(seconds, 1), "miou": miou}


def _small(name: str) -> Recipe:
    changes: dict[str, Any] = {"network.options": NETWORKS[name]}
    recipe = recipes.load(name)
    if "sentinel" in recipe.inputs:
        changes["data.crop_cells"] = CROP_CELLS
    return recipes.changed(recipe, changes)


def _of_epochs(recipe: Recipe, epochs: int) -> Recipe:
    return recipes.changed(recipe, {"training.epochs": epochs, "training.patience": epochs})


def _miou(run_dirs: list[Path], *, tree: Path, out: Path) -> float:
    """Predict the test part with the mean of some runs; give its mIoU."""
    predict.run(run_dirs, data_root=tree, out_dir=out, batch_size=16, device="cpu")
    spec = specs.load("flair-2")
    matrix = np.zeros((spec.n_classes, spec.n_classes), dtype=np.int64)
    for patch in layout.index(tree, part="test").patches:
        assert patch.mask is not None  # a synthetic tree has them
        truth = reduce_labels(rasters.read(patch.mask, bands=(1,))[0]).astype(np.int64)
        joint = truth * spec.n_classes + rasters.read(out / f"PRED_{patch.id}.tif")[0]
        matrix += np.bincount(joint.ravel(), minlength=spec.n_classes**2).reshape(matrix.shape)
    return round(float(metrics.measure(matrix, spec=spec).miou), 4)
