"""One training run from data to packaged zip: `python -m baselines.runner`, its own process.

`about` prints one JSON object: the device and the recipes of this installation. `run` reads a job
(JSON) from stdin, writes its log to stderr and one JSON event a line to stdout; the last one is
"done", "stopped" or "failed". SIGUSR2 or SIGTERM asks it to stop after the step at hand. It
dies with its parent and holds a lock on its folder, so that two never train in one. For several
devices Lightning starts this very command for each of the others: they find the job in the
environment, say nothing and end with the training.
"""

from __future__ import annotations

import csv
import fcntl
import json
import math
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from scoring.engine.decode import sandbox

LOCK_WAIT_S = 60.0
JOB = "BASELINES_JOB"
STOP_SIGNAL = signal.SIGUSR2
Event = dict[str, Any]
_LOGGED = ("train_loss", "val_loss", "val_miou", "lr", "samples_per_s", "seconds")


class Busy(Exception):
    """Another process works in the run's folder."""


@dataclass(frozen=True)
class Job:
    """What to train and for whom. `spec` None: nothing is predicted; `ids` None: every patch.

    `recipe` is a shipped recipe's name, with `recipe_text` (TOML) the name of that one.
    """

    recipe: str
    seed: int
    data_root: str
    run_dir: str
    cache_dir: str
    parent_pid: int
    devices: int = 1
    overrides: dict[str, Any] = field(default_factory=dict)
    spec: dict[str, Any] | None = None
    ids: list[str] | None = None
    recipe_text: str = ""

    def to_json(self) -> str:
        """Give the line that the runner reads."""
        return json.dumps(asdict(self))


def main(arguments: list[str]) -> int:
    """Run a command; 0 when it ended as told by its last event, 2 for wrong usage."""
    if arguments not in (["about"], ["run"]):
        print("usage: python -m baselines.runner about|run", file=sys.stderr)
        return 2
    if arguments == ["run"] and os.environ.get("LOCAL_RANK", "0") != "0":
        _train_as_copy(Job(**json.loads(os.environ[JOB])))
        return 0
    # Whatever libraries print goes to the log: stdout is for events alone.
    with os.fdopen(os.dup(1), "w") as out:
        os.dup2(2, 1)
        if arguments == ["about"]:
            print(json.dumps(capabilities()), file=out, flush=True)
            return 0
        job = Job(**json.loads(sys.stdin.readline()))
        sandbox.die_with_parent(job.parent_pid)
        _Runner(job, out=out).run()
    return 0


def capabilities() -> dict[str, Any]:
    """Tell the device and the shipped recipes."""
    from baselines.train import recipe as recipes

    shipped = [recipes.load(name) for name in recipes.names()]
    return {
        "device": device(),
        "recipes": [
            {
                "name": recipe.name, "title": recipe.title, "task": recipe.task_id,
                "network": recipe.network.name, "epochs": recipe.training.epochs,
                "published_miou": recipe.published.miou, "published_std": recipe.published.std,
            }
            for recipe in shipped
        ],
    }  # fmt: skip


def device(*, used: int = 1) -> dict[str, Any]:
    """Name what trains: `kind` cuda or cpu, `name`, `memory_bytes` of one, `count` there are."""
    import torch

    if torch.cuda.is_available():
        first = torch.cuda.get_device_properties(0)
        return {
            "kind": "cuda", "name": f"{used} × {first.name}" if used > 1 else first.name,
            "memory_bytes": first.total_memory, "count": torch.cuda.device_count(),
        }  # fmt: skip
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "kind": "cpu", "name": f"CPU, {torch.get_num_threads()} threads",
        "memory_bytes": memory_bytes, "count": 1,
    }  # fmt: skip


def _train_as_copy(job: Job) -> None:
    """Train beside the first process, on another device; what is to be said, the first says."""
    sandbox.die_with_parent(os.getppid())
    signal.signal(STOP_SIGNAL, signal.SIG_IGN)  # the first process tells us to stop
    os.dup2(2, 1)
    _train(job, on_event=lambda event: None, should_stop=lambda: False)


def _train(
    job: Job, *, on_event: Callable[[Event], None], should_stop: Callable[[], bool]
) -> tuple[str, dict[str, Any]]:
    """Train the job's recipe, for the job's task; give its title and how it ended.

    A task with the classes and file names of the recipe's own changes nothing in the recipe.
    """
    from baselines import train
    from baselines.networks import weights
    from baselines.train import recipe as recipes

    recipe = _written(job) if job.recipe_text else recipes.load(job.recipe)
    if job.spec is not None:
        fitted = recipes.for_task(recipe, {**job.spec, "expected": []})
        if fitted is not recipe:
            message = (
                f"trained for task {fitted.task_id} with its {fitted.spec.n_classes} classes, not "
                f"for the recipe's {recipe.task_id}"
            )
            on_event({"event": "note", "message": message})
        recipe = fitted
    recipe = recipes.changed(recipe, job.overrides)
    ended = train.run(
        recipe,
        data_root=Path(job.data_root),
        out_dir=Path(job.run_dir),
        seed=job.seed,
        on_event=on_event,
        should_stop=should_stop,
        cache_dir=Path(job.cache_dir),
        devices=job.devices,
        weights_folder=weights.folder_from_environment(),
    )
    return recipe.title, ended


def _written(job: Job) -> Any:
    """Read the recipe that an organiser wrote. Raises RecipeError naming line and key."""
    from baselines.train import recipe_task, recipe_text
    from baselines.train.recipe import RecipeError

    task = job.spec or recipe_task.load(recipe_task.DEFAULT).to_json()
    try:
        return recipe_text.read(job.recipe_text, name=job.recipe, task=dict(task))
    except recipe_text.TextError as wrong:
        raise RecipeError("line-wrong", said=wrong) from wrong


class _Runner:
    """The stages of a job, each safe to repeat after a kill."""

    def __init__(self, job: Job, *, out: IO[str]) -> None:
        self.job, self._out = job, out
        self.folder = Path(job.run_dir)
        self._stop = False

    def run(self) -> None:
        """Do it all and tell the end; errors that a person can mend are told, others raised."""
        import torch

        from baselines.package import PackageError
        from baselines.train.recipe import RecipeError

        for number in (STOP_SIGNAL, signal.SIGTERM):
            signal.signal(number, self._request_stop)
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with _locked(self.folder / "lock"):
                self._stages()
        except Busy:
            self._fail("run-busy", f"another process works in {self.folder.name}")
        except RecipeError as error:
            self._fail("recipe-invalid", str(error))
        except PackageError as error:
            self._fail("package-refused", str(error))
        except FileNotFoundError as error:
            self._fail("data-missing", str(error))
        except torch.cuda.OutOfMemoryError as error:
            self._fail("out-of-memory", str(error))
        except ValueError as error:
            self._fail("training-failed", str(error))

    def _stages(self) -> None:
        job = self.job
        self._send_event({"event": "device", **device(used=job.devices)})
        self._send_event({"event": "stage", "stage": "preparing"})
        for row in _earlier_epochs(self.folder):
            self._send_event({"event": "epoch", "again": True, **row})
        if job.spec is not None:  # before days of training, not after
            from baselines import predict
            from scoring.engine.task import specification as specs

            spec = specs.from_json(job.spec)
            predict.find(Path(job.data_root), part="test", ids=job.ids, spec=spec)
        # The other processes need the task, but none of its thousands of patches.
        task = None if job.spec is None else {**job.spec, "expected": []}
        os.environ[JOB] = replace(job, spec=task, ids=None).to_json()
        title, trained = _train(job, on_event=self._record, should_stop=lambda: self._stop)
        result: dict[str, Any] = {**trained, "title": title, "archive": None}
        if trained["state"] == "finished" and job.spec is not None and not self._stop:
            result |= self._predict(result)
        if self._stop:
            self._send_event({"event": "stopped"})
        else:
            self._send_event({"event": "done", "result": result})

    def _predict(self, result: dict[str, Any]) -> dict[str, Any]:
        from baselines import package, predict
        from scoring.engine.task import specification as specs

        job = self.job
        assert job.spec is not None
        self._send_event({"event": "stage", "stage": "predicting"})
        folder = self.folder / "predictions"
        shutil.rmtree(folder, ignore_errors=True)
        predicted = predict.run(
            self.folder,
            data_root=Path(job.data_root),
            out_dir=folder,
            ids=job.ids,
            on_event=self._send_event,
            should_stop=lambda: self._stop,
        )
        if predicted["state"] != "finished":
            return {}
        self._send_event({"event": "stage", "stage": "packaging"})
        packed = package.run(
            folder,
            out=self.folder / "predictions.zip",
            spec=specs.from_json(job.spec),
            ids=job.ids,
        )
        shutil.rmtree(folder)
        return {
            "archive": packed["archive"],
            "patches": packed["patches"],
            "predict_seconds": predicted["seconds"],
        }

    def _record(self, event: Event) -> None:
        """Pass an event of the training on and write the log that people read."""
        if event["event"] == "start":
            self._send_event({"event": "stage", "stage": "training"})
            _log(
                f"{event['recipe']}, seed {event['seed']}, on {event['device']}: "
                f"{event['train_patches']} patches to train on, {event['val_patches']} to "
                f"validate; {event['epochs_done']} of {event['epochs']} epochs done before"
            )
        elif event["event"] == "note":
            _log(event["message"])
        elif event["event"] == "epoch":
            _log(
                f"epoch {event['epoch'] + 1}: loss {event['train_loss']:.4f}, validation "
                f"{event['val_loss']:.4f}, mIoU {event['val_miou']:.4f}, "
                f"{event['seconds']:.0f} s" + (" (best)" if event["is_best"] else "")
            )
        self._send_event(event)

    def _request_stop(self, number: int, frame: object) -> None:
        self._stop = True

    def _fail(self, code: str, message: str) -> None:
        _log(f"{code}: {message}")
        self._send_event({"event": "failed", "code": code, "message": message})

    def _send_event(self, event: Event) -> None:
        print(json.dumps(_finite(event), allow_nan=False), file=self._out, flush=True)


def _finite(value: Any) -> Any:
    """Give the value with None for each number that JSON cannot say."""
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _earlier_epochs(folder: Path) -> Iterator[Event]:
    """Give the epochs that a resumed run has behind it."""
    path = folder / "metrics.csv"
    if not path.exists():
        return
    with path.open(newline="") as source:
        for row in csv.DictReader(source):
            yield {
                "epoch": int(row["epoch"]) - 1,  # events count from 0
                "is_best": row["is_best"] == "True",
                **{name: float(row[name]) for name in _LOGGED},
                "ious": [
                    float(text) if text else None
                    for name, text in row.items()
                    if name.startswith("iou_")
                ],
            }


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a file's lock; a process that was just killed may take a moment to let go.

    Raises Busy.
    """
    until_s = time.monotonic() + LOCK_WAIT_S
    with path.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until_s:
                    raise Busy from None
                time.sleep(0.2)
        yield


def _log(line: str) -> None:
    print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
