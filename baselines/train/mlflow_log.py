"""A run's settings and epochs in MLflow's file store, beside metrics.csv and TensorBoard.

Everything is written into a folder; no server is asked.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from baselines.train import state
from baselines.train.events import Event
from baselines.train.recipe import Recipe

FOLDER_VARIABLE = "FLAIR_MLFLOW_FOLDER"
EXPERIMENT = "flair"
_STATES = {"finished": "FINISHED", "stopped": "KILLED"}


def folder_from_environment() -> Path | None:
    """Give the folder that the environment names, None where it names none."""
    named = os.environ.get(FOLDER_VARIABLE)
    return Path(named) if named else None


class MlflowLog:
    """One run in the store: settings at its start, numbers each epoch, its end.

    A training that an error ends stays RUNNING there, until it is started again.
    """

    def __init__(self, folder: Path, *, run_dir: Path, recipe: Recipe, seed: int) -> None:
        """Open the store. Raises ModuleNotFoundError saying what to install."""
        self._run_dir, self._recipe, self._seed = run_dir, recipe, seed
        self._run = ""
        # MLflow asks for this of who wants files and no database.
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        try:
            from mlflow import MlflowClient
        except ModuleNotFoundError as missing:
            raise ModuleNotFoundError(
                f"{missing.name} is not installed; logging to MLflow needs the extra `mlflow` "
                "(pip install mlflow-skinny). Without it, leave out --mlflow and "
                f"{FOLDER_VARIABLE}"
            ) from missing
        self._client = MlflowClient(tracking_uri=folder.resolve().as_uri())

    def beside(self, on_event: Callable[[Event], None]) -> Callable[[Event], None]:
        """Give what takes a training's events, writes them here and hands them on."""

        def take(event: Event) -> None:
            kind = event["event"]
            if kind == "start":
                self._start()
            elif kind == "epoch":
                self._take_epoch(event)
            elif kind == "end":
                self._client.set_terminated(self._run, status=_STATES[event["state"]])
            on_event(event)

        return take

    def _start(self) -> None:
        """Begin the run, or go on with the one that run.json names."""
        named = state.mlflow_run(self._run_dir)
        if named is not None and self._exists(named):
            self._run = named
            self._client.update_run(named, status="RUNNING")
            return
        found = self._client.get_experiment_by_name(EXPERIMENT)
        experiment = found.experiment_id if found else self._client.create_experiment(EXPERIMENT)
        made = self._client.create_run(
            experiment, run_name=f"{self._recipe.name}, seed {self._seed}"
        )
        self._run = made.info.run_id
        state.set_mlflow_run(self._run_dir, self._run)
        settings = {
            **state.settings_of(self._recipe.to_json()),
            "seed": self._seed,
            "folder": self._run_dir.resolve(),
        }
        for key, value in settings.items():
            self._client.log_param(self._run, key, value)

    def _exists(self, run: str) -> bool:
        from mlflow.exceptions import MlflowException

        try:
            self._client.get_run(run)
        except MlflowException:  # of another store
            return False
        return True

    def _take_epoch(self, event: Event) -> None:
        """Write an epoch's numbers; epochs count from 1."""
        for key, value in event.items():
            if isinstance(value, int | float) and key not in ("epoch", "is_best"):
                self._client.log_metric(self._run, key, value, step=event["epoch"] + 1)
