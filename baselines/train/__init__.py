"""Train a recipe: `run` makes or resumes a run in its folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from baselines.train.events import Event

if TYPE_CHECKING:
    from baselines.train.recipe import Recipe


def run(
    recipe: Recipe | str | Path,
    *,
    data_root: Path,
    out_dir: Path,
    seed: int = 2022,
    on_event: Callable[[Event], None] = lambda event: None,
    should_stop: Callable[[], bool] = lambda: False,
    resume: bool = True,
    cache_dir: Path | None = None,
    accelerator: str = "auto",
    devices: int | str = "auto",
    weights_folder: Path | None = None,
    mlflow_folder: Path | None = None,
) -> dict[str, Any]:
    """Train into `out_dir`, or go on from its last checkpoint, and tell how it ended.

    Events are JSON objects with a key "event": "start", "note", "caching", "step" and "validating"
    (at most one a second), "epoch" (losses, mIoU, metrics of each class, samples per second, GPU
    memory) and "end". They count epochs from 0, as checkpoints do; what is meant for people
    (lines, metrics.csv, TensorBoard, what `run` gives) counts from 1.
    `should_stop` is asked after every step, and each second while patches are decoded or validated;
    a stop leaves a checkpoint that goes on from that step. A run that was stopped or killed and
    resumed ends with the same weights as an undisturbed one on the same machine.

    `weights_folder` holds copies of pre-trained weights; what is found neither there nor at the
    Hugging Face hub is an error. With `mlflow_folder` epochs are also written into MLflow's file
    store there.

    Gives `state` ("finished" or "stopped"), `epochs`, `best_epoch` (0: none), `best_miou`,
    `seconds`.
    Raises RecipeError, ValueError (data that don't fit the recipe, another run in the folder,
    pre-trained weights that cannot be had, a loss that is no number), FileNotFoundError, or
    ModuleNotFoundError where MLflow is asked for and not installed.
    """
    # Lightning takes seconds to import; whoever only reads recipes does without.
    from baselines.train import loop

    return loop.run(
        recipe,
        data_root=data_root,
        out_dir=out_dir,
        seed=seed,
        on_event=on_event,
        should_stop=should_stop,
        resume=resume,
        cache_dir=cache_dir,
        accelerator=accelerator,
        devices=devices,
        weights_folder=weights_folder,
        mlflow_folder=mlflow_folder,
    )
