"""A run's folder: the frozen recipe, checkpoints that are whole or absent, the log of events."""

from __future__ import annotations

import csv
import json
import os
import platform
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from baselines.train import recipe as recipes
from baselines.train.recipe import Recipe

LAST, BEST, RUN = "last.ckpt", "best.ckpt", "run.json"
_VERSIONS = ("torch", "lightning", "segmentation-models-pytorch", "numpy", "rasterio")


def open_folder(folder: Path, *, recipe: Recipe, seed: int, resume: bool) -> dict[str, Any] | None:
    """Make a run's folder, or give the state to go on from; None to start from nothing.

    Raises ValueError when the folder holds another run, or any run without `resume`.
    """
    about = folder / RUN
    if about.exists():
        found = look_into(folder, recipe=recipe, seed=seed)
        if not resume:
            raise ValueError(f"{folder} holds this run already; resume it or give another folder")
        return found
    folder.mkdir(parents=True, exist_ok=True)
    document = {
        "recipe": recipe.to_json(),
        "recipe_digest": recipe.digest,
        "seed": seed,
        "versions": {name: metadata.version(name) for name in _VERSIONS},
        "python": platform.python_version(),
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    _replace(about, json.dumps(document, indent=1).encode())
    return None


def look_into(folder: Path, *, recipe: Recipe, seed: int) -> dict[str, Any] | None:
    """Give the state to go on from without writing, or None; for processes beside the first.

    Raises ValueError when the folder holds another run.
    """
    about, last = folder / RUN, folder / LAST
    if not about.exists():  # the first process is about to make it
        return None
    try:
        frozen = json.loads(about.read_text())
    except ValueError as wrong:
        raise ValueError(f"{about} is damaged ({wrong}); train anew into another folder") from wrong
    if (frozen["recipe_digest"], frozen["seed"]) != (recipe.digest, seed):
        raise ValueError(
            f"{folder} holds a run of recipe {frozen['recipe']['name']!r} with seed "
            f"{frozen['seed']}; give its recipe and seed, or another folder"
        )
    return load(last) if last.exists() else None


def save(path: Path, state: dict[str, Any]) -> None:
    """Save a checkpoint so that a kill at any moment leaves the old one or the new one."""
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as target:
        torch.save(state, target)
        target.flush()
        os.fsync(target.fileno())
    part.replace(path)


def load(path: Path) -> dict[str, Any]:
    """Load a checkpoint onto the CPU; tensors and plain values only, never code.

    Raises ValueError when it is none of ours, or not whole.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as wrong:  # its readers raise all kinds, by what they stumble over
        raise ValueError(
            f"{path} is no whole checkpoint; train anew into another folder"
        ) from wrong
    if not isinstance(state, dict):
        raise ValueError(f"{path} is no checkpoint of `python -m baselines train`")
    return state


def load_best(folder: Path) -> tuple[Recipe, dict[str, Any]]:
    """Give the recipe and the best epoch's state of a run's folder.

    Raises FileNotFoundError when the run has not finished an epoch, ValueError as `load`.
    """
    best = folder / BEST
    if not best.is_file():
        raise FileNotFoundError(f"{folder} holds no {BEST}; train at least one epoch")
    state = load(best)
    if not {"recipe", "network", "patch_px"} <= set(state):
        raise ValueError(f"{best} is no checkpoint of `python -m baselines train`")
    return recipes.parse(state["recipe"]), state


def log_epoch(folder: Path, row: dict[str, Any]) -> None:
    """Append an epoch to metrics.csv, dropping rows of it or later ones from before a kill."""
    path = folder / "metrics.csv"
    rows: list[dict[str, Any]] = []
    if path.exists():
        with path.open(newline="") as source:
            rows = [old for old in csv.DictReader(source) if int(old["epoch"]) < row["epoch"]]
    flat = {key: value for key, value in row.items() if not isinstance(value, list | dict)}
    lines = [*rows, flat]
    part = path.with_name(f".{path.name}.part")
    with part.open("w", newline="") as target:
        writer = csv.DictWriter(target, fieldnames=list(flat), extrasaction="ignore")
        writer.writeheader()
        writer.writerows(lines)
    part.replace(path)


def _replace(path: Path, content: bytes) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content)
    part.replace(path)
