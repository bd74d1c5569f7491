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

import scoring
from baselines.train import exported
from baselines.train import recipe as recipes
from baselines.train.optimiser import PLANNED
from baselines.train.recipe import Recipe

LAST, BEST, RUN = "last.ckpt", "best.ckpt", "run.json"
_VERSIONS = ("torch", "lightning", "segmentation-models-pytorch", "timm", "numpy", "rasterio")


def open_folder(folder: Path, *, recipe: Recipe, seed: int, resume: bool) -> dict[str, Any] | None:
    """Make a run's folder, or give the state to go on from; None to start from nothing.

    Raises ValueError when the folder holds another run, or any run without `resume`.
    """
    resumed = look_into(folder, recipe=recipe, seed=seed)
    if not resume:
        require_new(folder)
    write_about(folder, recipe=recipe, seed=seed)
    return resumed


def require_new(folder: Path) -> None:
    """Raise ValueError when the folder holds a run."""
    if (folder / RUN).exists():
        raise ValueError(f"{folder} holds this run already; resume it or give another folder")


def write_about(folder: Path, *, recipe: Recipe, seed: int) -> None:
    """Make the folder with run.json, or note in it what may have changed of the recipe."""
    about = folder / RUN
    if about.exists():
        if json.loads(about.read_text())["recipe_digest"] != recipe.digest:
            _set(folder, recipe=recipe.to_json(), recipe_digest=recipe.digest)
        return
    folder.mkdir(parents=True, exist_ok=True)
    document = {
        "recipe": recipe.to_json(),
        "recipe_digest": recipe.digest,
        "seed": seed,
        "versions": {
            "flair": scoring.__version__,
            **{name: metadata.version(name) for name in _VERSIONS},
        },
        "python": platform.python_version(),
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    _replace(about, json.dumps(document, indent=1).encode())


def look_into(folder: Path, *, recipe: Recipe, seed: int) -> dict[str, Any] | None:
    """Give the state to go on from without writing, or None.

    Raises ValueError when the folder holds another run.
    """
    about, last = folder / RUN, folder / LAST
    if not about.exists():
        return None
    try:
        frozen = json.loads(about.read_text())
    except ValueError as wrong:
        raise ValueError(f"{about} is damaged ({wrong}); train anew into another folder") from wrong
    if (frozen["recipe"]["name"], frozen["seed"]) != (recipe.name, seed):
        raise ValueError(
            f"{folder} holds a run of recipe {frozen['recipe']['name']!r} with seed "
            f"{frozen['seed']}; give its recipe and seed, or another folder"
        )
    # Read anew: keys that are younger than the run have their defaults there.
    _require_same_settings(folder, recipes.parse(frozen["recipe"]).to_json(), recipe)
    return load(last) if last.exists() else None


def _require_same_settings(folder: Path, frozen: dict[str, Any], recipe: Recipe) -> None:
    """Raise ValueError, with every key that differs, unless the run may go on with the recipe.

    The length of a training may change, unless its rate depends on it; so may what decides nothing.
    """
    was, now = settings_of(frozen), settings_of(recipe.to_json())
    free = {"title", *(key for key in was | now if key.startswith("published."))}
    free |= {"training.devices", "training.patience"}
    planned = recipe.optimiser.schedule in PLANNED
    if not planned:
        free.add("training.epochs")
    differing = sorted(key for key in was | now if key not in free and was.get(key) != now.get(key))
    if not differing:
        return
    found = "; ".join(
        f"{key} is {was.get(key)!r} there, {now.get(key)!r} here" for key in differing
    )
    why = (
        f" (the {recipe.optimiser.schedule} rate is planned over all epochs)"
        if "training.epochs" in differing
        else ""
    )
    may = "training.patience" if planned else "training.epochs and training.patience"
    raise ValueError(
        f"{folder} holds a run of {recipe.name!r} with other settings: {found}{why}. Give its "
        f"settings (--set KEY=VALUE), or another folder; {may} may change"
    )


def settings_of(recipe: dict[str, Any]) -> dict[str, Any]:
    """Give a recipe's values by dotted key, as `--set` names them."""
    return {
        f"{table}.{key}" if isinstance(values, dict) else table: value
        for table, values in recipe.items()
        for key, value in (values.items() if isinstance(values, dict) else [("", values)])
    }


def set_ending(folder: Path, ending: str) -> None:
    """Write into run.json how the training stands: "training", "stopped" or "finished"."""
    _set(folder, state=ending)


def set_encoder_weights(folder: Path, weights: dict[str, str] | None) -> None:
    """Write into run.json the pre-trained weights with their digest; None: a start at random."""
    _set(folder, encoder_weights=weights)


def set_start(folder: Path, *, data: dict[str, Any], **about: Any) -> bool:
    """Write into run.json what this start uses; tell whether its data are those of the first one.

    `data` is kept as the run first had it; `starts` gets one entry for each start or resume, with
    `about` (code, device, epochs done before).
    """
    known = json.loads((folder / RUN).read_text())
    now = datetime.now(UTC).isoformat(timespec="seconds")
    starts = [*known.get("starts", []), {"at": now, **about}]
    first = known.get("data") or data
    _set(folder, data=first, starts=starts)
    return bool(first["sha256"] == data["sha256"])


def mlflow_run(folder: Path) -> str | None:
    """Give the name of the folder's run in MLflow's store, None where it has none."""
    named = json.loads((folder / RUN).read_text()).get("mlflow_run")
    return None if named is None else str(named)


def set_mlflow_run(folder: Path, run: str) -> None:
    """Write into run.json the name of the folder's run in MLflow's store."""
    _set(folder, mlflow_run=run)


def _set(folder: Path, **values: Any) -> None:
    about = folder / RUN
    document = json.loads(about.read_text())
    _replace(about, json.dumps(document | values, indent=1).encode())


def require_finished(folder: Path) -> None:
    """Raise ValueError unless the run's training came to its end, or the folder is an export.

    Of runs from before this was written down, the last checkpoint tells.
    """
    about, last = folder / RUN, folder / LAST
    if not about.is_file() and exported.is_export(folder):
        return
    frozen = json.loads(about.read_text()) if about.is_file() else {}
    ending, done = frozen.get("state"), None
    if ending != "finished" and last.is_file():
        saved = load(last)
        done = saved["progress"]["epochs_done"]
        training = recipes.parse(saved["recipe"]).training
        exhausted = saved["progress"]["epochs_without_gain"] >= training.patience
        if ending is None and (done >= training.epochs or exhausted):
            return
        found = f"it has {done} of {training.epochs} epochs"
    elif ending == "finished":
        return
    else:
        found = f"it has no {LAST} and no {RUN} that tells"
    raise ValueError(
        f"{folder}: the training is not finished, {found}; start its `train` command again, which "
        "goes on, or give --allow-unfinished to use its best epoch so far"
    )


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
    """Give the recipe and the best epoch's state of a run's folder, or those of an export.

    Raises FileNotFoundError when the run has not finished an epoch, ValueError as `load` and
    `exported.read`.
    """
    best = folder / BEST
    if not best.is_file() and exported.is_export(folder):
        return exported.read(folder)
    if not best.is_file():
        raise FileNotFoundError(f"{folder} holds no {BEST}; train at least one epoch")
    state = load(best)
    if not {"recipe", "network", "patch_px"} <= set(state):
        raise ValueError(f"{best} is no checkpoint of `python -m baselines train`")
    return recipes.parse(state["recipe"]), state


def log_epoch(folder: Path, row: dict[str, Any]) -> None:
    """Append an epoch to metrics.csv, dropping rows of it or later ones from before a kill.

    Epochs count from 1; a value that is None leaves its cell empty.
    """
    path = folder / "metrics.csv"
    rows: list[dict[str, Any]] = []
    if path.exists():
        with path.open(newline="") as source:
            rows = [old for old in csv.DictReader(source) if int(old["epoch"]) < row["epoch"]]
    lines = [*rows, row]
    part = path.with_name(f".{path.name}.part")
    with part.open("w", newline="") as target:
        writer = csv.DictWriter(target, fieldnames=list(row), extrasaction="ignore")
        writer.writeheader()
        writer.writerows(lines)
    part.replace(path)


def _replace(path: Path, content: bytes) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content)
    part.replace(path)
