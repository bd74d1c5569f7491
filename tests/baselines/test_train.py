"""Training: recipes, losses, best epoch, and a kill that changes nothing."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra `baselines` is not installed")

from torch.nn import functional  # noqa: E402

from baselines import cli, train  # noqa: E402
from baselines.data import layout  # noqa: E402
from baselines.networks import Output  # noqa: E402
from baselines.train import facts, losses, measure, mlflow_log, progress, state  # noqa: E402
from baselines.train import recipe as recipes  # noqa: E402
from baselines.train.events import Event  # noqa: E402
from baselines.train.progress import Progress  # noqa: E402
from baselines.train.recipe import Recipe, RecipeError  # noqa: E402
from scoring.engine.metrics import metrics  # noqa: E402
from scoring.engine.task import specification as specs  # noqa: E402


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def _small(changes: dict[str, Any] | None = None, *, name: str = "tiny-unet") -> Recipe:
    """A shipped tiny recipe, smaller still."""
    base: dict[str, Any] = {
        "training.epochs": 3, "training.batch_size": 4, "training.precision": "fp32",
        "network.options": {"encoder": "tu-test_resnet", "decoder_channels": [32, 24, 16, 12, 8]},
    }  # fmt: skip
    return recipes.changed(recipes.load(name), base | (changes or {}))


# Recipes ----------------------------------------------------------------------------------------


def test_every_published_row_has_a_recipe() -> None:
    published = {
        (one.task, one.published.miou)
        for name in recipes.names()
        if (one := recipes.load(name)).published.miou
    }
    assert published == {
        *(("flair-1", miou) for miou in (0.5443, 0.5536, 0.5335, 0.5570)),
        *(
            ("flair-2", miou)
            for miou in (
                0.361, 0.359, 0.369, 0.547, 0.552, 0.549, 0.550, 0.555, 0.569, 0.562, 0.558, 0.573,
            )
        ),
    }  # fmt: skip


@pytest.mark.parametrize("name", recipes.names())
def test_every_recipe_runs_two_steps(name: str, tree: Path, tmp_path: Path) -> None:
    recipe = recipes.at_random(recipes.load(name))
    training = dataclasses.replace(recipe.training, batch_size=2, global_batch_size=None)
    if recipe.data.split == "fold":  # the tree has two domains
        recipe = recipes.changed(recipe, {"data.folds": 2})
    events: list[Event] = []
    steps = 0

    def two_steps_done() -> bool:
        nonlocal steps
        steps += 1
        return steps == 2

    result = train.run(
        dataclasses.replace(recipe, training=training),
        data_root=tree,
        out_dir=tmp_path / "run",
        cache_dir=tree.parent / "cache",
        on_event=events.append,
        should_stop=two_steps_done,
    )
    assert (result["state"], steps) == ("stopped", 2)
    assert events[0]["event"] == "start"
    assert json.loads(json.dumps(events)) == events
    frozen = json.loads((tmp_path / "run" / "run.json").read_text())
    assert frozen["recipe"]["name"] == name
    assert frozen["versions"]["torch"] == torch.__version__


def test_a_recipe_survives_its_own_json() -> None:
    for name in recipes.names():
        recipe = recipes.load(name)
        assert recipes.parse(recipe.to_json()) == recipe


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"training.epoch": 3}, "training.epoch: unknown; allowed are epochs"),
        ({"network.name": "segnet"}, "network.name: found 'segnet'; allowed are unet"),
        ({"data.bands": [1, 6]}, r"data.bands \[1, 6\]; allowed are 1 to 5"),
        ({"data.bands": 3}, "data.bands: found 3; a list is needed"),
        ({"training.epochs": "many"}, "training.epochs: found 'many'; int is needed"),
        ({"training.epochs": True}, "training.epochs: found True; int is needed"),
        ({"training.epochs": 0}, "must be 1 or more"),
        ({"loss.unweighted": [13]}, r"classes \[13\]; allowed are 0 to 12"),
        ({"data.split": "named"}, "needs data.train_domains"),
        ({"optimiser": 3}, "optimiser: found 3; a table is needed"),
    ],
)
def test_mistakes_in_a_recipe_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        recipes.changed(recipes.load("tiny-unet"), changes)


def test_unknown_recipes_and_broken_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="shipped are bands-rgb"):
        recipes.load("nothing")
    broken = tmp_path / "x.toml"
    broken.write_text("title = ")
    with pytest.raises(RecipeError, match=r"x\.toml"):
        recipes.load(broken)


# Losses and measures ----------------------------------------------------------------------------


def test_losses_are_torchs_where_something_counts() -> None:
    logits, target = torch.randn(2, 13, 8, 8), torch.randint(0, 13, (2, 8, 8))
    weights = losses.class_weights(13, without=(11, 12))
    expected = functional.cross_entropy(logits, target, weight=weights)
    assert torch.allclose(losses.cross_entropy(logits, target, weights=weights), expected)


def test_a_batch_of_other_alone_costs_nothing() -> None:
    logits = torch.randn(2, 13, 8, 8, requires_grad=True)
    target = torch.full((2, 8, 8), 12)
    weights = losses.class_weights(13, without=(12,))
    assert torch.isnan(functional.cross_entropy(logits, target, weight=weights))
    out = Output(logits=logits, sentinel_cells=logits[:, :, :4, :4])
    loss = losses.total(out, target, weights=weights, sentinel_weights=weights)
    loss.backward()
    assert loss == 0
    assert logits.grad is not None
    assert (logits.grad == 0).all()


@pytest.mark.parametrize("size", [40, 64, 100, 512])
def test_the_cells_loss_equals_the_enlarged_one(size: int) -> None:
    """And so do its gradients."""
    cells = torch.randn(2, 13, 10, 10, requires_grad=True)
    target = torch.randint(0, 13, (2, size, size))
    weights = losses.class_weights(13, without=(11, 12))
    enlarged = functional.interpolate(cells, size=(size, size), mode="nearest")
    expected = functional.cross_entropy(enlarged, target, weight=weights)
    ours = losses.cell_cross_entropy(cells, target, weights=weights)
    assert torch.allclose(ours, expected, atol=1e-5)
    (one,) = torch.autograd.grad(ours, cells)
    (other,) = torch.autograd.grad(expected, cells)
    assert torch.allclose(one, other, atol=1e-6)


def test_validation_measures_as_the_scorer_does() -> None:
    spec = specs.load("flair-2")
    matrix = measure.Matrix(13, device=torch.device("cpu"))
    target, predicted = torch.randint(0, 13, (2, 3, 16, 16))
    for row in range(3):
        one_hot = functional.one_hot(predicted[row : row + 1], 13).permute(0, 3, 1, 2).float()
        matrix.add(one_hot, target[row : row + 1])
    counts = np.zeros((13, 13), dtype=np.int64)
    np.add.at(counts, (target.numpy().ravel(), predicted.numpy().ravel()), 1)
    assert np.array_equal(matrix.counts.numpy(), counts)
    expected = metrics.measure(counts, spec=spec)
    assert measure.quality(matrix.counts, spec=spec).miou == float(expected.miou)


def test_progress_knows_the_best_and_counts_patience() -> None:
    progress = Progress()
    taken = [progress.take(value, miou=1 - value) for value in (0.5, 0.4, 0.45, 0.4)]
    assert taken == [True, True, False, False]
    assert (progress.best_epoch, progress.best_miou, progress.epochs_without_gain) == (1, 0.6, 2)


# Runs -------------------------------------------------------------------------------------------


def _run(tree: Path, out: Path, recipe: Recipe, **options: Any) -> dict[str, Any]:
    options = {"seed": 7, "cache_dir": tree.parent / "cache"} | options
    return train.run(recipe, data_root=tree, out_dir=out, **options)


def test_a_run_learns_and_keeps_its_best_epoch(tree: Path, tmp_path: Path) -> None:
    events: list[Event] = []
    recipe = _small({"training.epochs": 4, "training.batch_size": 2})
    result = _run(tree, tmp_path / "run", recipe, on_event=events.append)
    epochs = [event for event in events if event["event"] == "epoch"]
    assert result["state"] == "finished"
    assert epochs[-1]["train_loss"] < epochs[0]["train_loss"]
    assert result["best_miou"] == max(event["val_miou"] for event in epochs)
    assert epochs[result["best_epoch"] - 1]["is_best"]
    _, saved = state.load_best(tmp_path / "run")
    assert saved["progress"]["best_epoch"] == result["best_epoch"] - 1
    with (tmp_path / "run" / "metrics.csv").open() as source:
        rows = list(csv.DictReader(source))
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3, 4]
    assert list((tmp_path / "run" / "tensorboard").iterdir())
    best = rows[result["best_epoch"] - 1]
    assert float(best["val_miou"]) == result["best_miou"]
    ious = [best[f"iou_{entry.key}"] for entry in specs.load("flair-2").classes]
    assert [float(text) if text else None for text in ious] == epochs[result["best_epoch"] - 1][
        "ious"
    ]
    assert 0 < float(best["overall_accuracy"]) <= 1
    assert "f1_building" in best
    about = json.loads((tmp_path / "run" / state.RUN).read_text())
    (start,) = about["starts"]
    assert (start["epochs_done"], start["device"]["type"]) == (0, "cpu")
    assert start["code"] == facts.code()
    train_part, validation = recipe.split(layout.index(tree, part="train"))
    assert about["data"] == facts.data(train_part, validation)
    assert about["data"]["train_patches"] == len(train_part)
    assert facts.data(train_part[1:], validation)["sha256"] != about["data"]["sha256"]


def test_a_run_that_goes_on_with_other_data_says_so(tree: Path, tmp_path: Path) -> None:
    recipe = _small({"training.epochs": 1})
    _run(tree, tmp_path / "run", recipe)
    path = tmp_path / "run" / state.RUN
    about = json.loads(path.read_text())
    about["data"]["sha256"] = "of another tree"
    path.write_text(json.dumps(about))
    events: list[Event] = []
    _run(tree, tmp_path / "run", recipe, on_event=events.append)
    notes = [event["message"] for event in events if event["event"] == "note"]
    assert any("not those that this run began with" in note for note in notes)
    again = json.loads(path.read_text())
    assert again["data"] == about["data"]
    assert [start["epochs_done"] for start in again["starts"]] == [0, 1]


def test_mlflow_has_a_runs_epochs_across_a_stop(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One run in the store for one folder, however often it is started."""
    pytest.importorskip("mlflow", reason="the extra `mlflow` is not installed")
    store = tmp_path / "store"
    recipe = _small({"training.epochs": 1, "optimiser.schedule": "none"})
    longer = recipes.changed(recipe, {"training.epochs": 2})
    for one in (recipe, longer):
        _run(tree, tmp_path / "run", one, mlflow_folder=store)
    client = pytest.importorskip("mlflow").MlflowClient(tracking_uri=store.resolve().as_uri())
    experiment = client.get_experiment_by_name(mlflow_log.EXPERIMENT)
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.params["training.batch_size"] == "4"
    history = client.get_metric_history(run.info.run_id, "val_miou")
    with (tmp_path / "run" / "metrics.csv").open() as source:
        rows = [(int(row["epoch"]), float(row["val_miou"])) for row in csv.DictReader(source)]
    assert [(metric.step, metric.value) for metric in history] == rows


def test_mlflow_that_is_not_installed_is_named(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    monkeypatch.setenv(mlflow_log.FOLDER_VARIABLE, str(tmp_path / "store"))
    command = ["train", "tiny-unet", "--data", str(tree), "--out", str(tmp_path / "run")]
    assert cli.main(command) == 1
    assert "mlflow is not installed; logging to MLflow needs" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_patience_ends_a_run_early(tree: Path, tmp_path: Path) -> None:
    recipe = _small({"training.epochs": 9, "training.patience": 1, "optimiser.lr": 0.0,
                       "training.monitor": "val_miou"})  # fmt: skip
    result = _run(tree, tmp_path / "run", recipe)
    assert result["epochs"] < 9
    again = _run(tree, tmp_path / "run", recipe)
    assert again["epochs"] == result["epochs"], "an ended run is not trained on"


def test_a_loss_that_is_no_number_ends_the_run_and_says_why(tree: Path, tmp_path: Path) -> None:
    recipe = _small({"optimiser.lr": 1e30, "optimiser.schedule": "none",
                       "optimiser.name": "sgd", "training.clip_norm": None})  # fmt: skip
    with pytest.raises(ValueError, match=r"lower optimiser\.lr"):
        _run(tree, tmp_path / "run", recipe)


def test_another_run_in_the_folder_is_refused(tree: Path, tmp_path: Path) -> None:
    recipe = _small({"training.epochs": 1})
    _run(tree, tmp_path / "run", recipe)
    with pytest.raises(ValueError, match="with seed 7; give its recipe and seed"):
        _run(tree, tmp_path / "run", recipe, seed=8)
    with pytest.raises(ValueError, match="holds this run already"):
        _run(tree, tmp_path / "run", recipe, resume=False)


def test_a_run_goes_on_with_more_epochs_where_the_rate_does_not_depend_on_them(
    tree: Path, tmp_path: Path
) -> None:
    changes = {"training.epochs": 1, "optimiser.schedule": "plateau"}
    _run(tree, tmp_path / "run", _small(changes))
    longer = _small(changes | {"training.epochs": 2, "training.patience": 5})
    assert _run(tree, tmp_path / "run", longer)["epochs"] == 2
    frozen = json.loads((tmp_path / "run" / state.RUN).read_text())
    assert frozen["recipe"]["training"]["epochs"] == 2
    assert frozen["recipe_digest"] == longer.digest


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"training.epochs": 9}, r"training\.epochs is 3 there, 9 here \(the one-cycle rate"),
        ({"training.batch_size": 5}, r"training\.batch_size is 4 there, 5 here\. Give"),
        ({"optimiser.lr": 0.5}, r"optimiser\.lr is .* there, 0\.5 here"),
    ],
)
def test_a_resume_with_other_settings_names_the_keys_that_differ(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    recipe = _small({"optimiser.schedule": "one-cycle"})
    state.open_folder(tmp_path, recipe=recipe, seed=7, resume=True)
    other = _small({"optimiser.schedule": "one-cycle"} | change)
    with pytest.raises(ValueError, match=said):
        state.open_folder(tmp_path, recipe=other, seed=7, resume=True)


def test_gradients_are_gathered_to_the_global_batch(tree: Path, tmp_path: Path) -> None:
    events: list[Event] = []
    recipe = _small({"training.epochs": 1, "training.batch_size": 2,
                       "training.global_batch_size": 8})  # fmt: skip
    _run(tree, tmp_path / "run", recipe, on_event=events.append)
    assert events[0]["accumulate"] == 4


@pytest.mark.parametrize("schedule", ["one-cycle", "plateau"])
def test_a_killed_run_resumes_to_the_same_result(tree: Path, tmp_path: Path, schedule: str) -> None:
    """SIGKILL in the middle of an epoch; the resumed run ends with the undisturbed weights."""
    recipe = _small(name="tiny-utt", changes={
            "optimiser.schedule": schedule, "training.epochs": 3, "training.batch_size": 2,
            "data.metadata": True,
            "network.options": {"encoder": "tu-test_resnet", "widths": [8, 8, 16, 16], "heads": 4,
                                "decoder_channels": [32, 24, 16, 12, 8]},
        },
    )  # fmt: skip
    undisturbed = _run(tree, tmp_path / "whole", recipe)

    code = (
        "import json, sys, torch\n"
        "from pathlib import Path\n"
        "from baselines import train\n"
        "from baselines.train import recipe\n"
        "torch.set_num_threads(1)\n"
        "one, root, out, cache = sys.argv[1:]\n"
        "steps = 0\n"
        "def step():\n"
        "    global steps\n"
        "    steps += 1\n"
        "    print('step', steps, flush=True)\n"
        "    if steps == 6:\n"
        "        sys.stdin.read()\n"  # wait in the second epoch to be killed
        "    return False\n"
        "train.run(recipe.parse(json.loads(one)), data_root=Path(root), out_dir=Path(out),\n"
        "          seed=7, cache_dir=Path(cache), should_stop=step)\n"
    )
    arguments = [json.dumps(recipe.to_json()), str(tree), str(tmp_path / "cut"),
                 str(tree.parent / "cache")]  # fmt: skip
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as victim:  # fmt: skip
        assert victim.stdout is not None
        for line in victim.stdout:
            if line == "step 6\n":
                os.kill(victim.pid, signal.SIGKILL)
                break
        assert victim.wait(timeout=60) == -signal.SIGKILL

    cut = state.load(tmp_path / "cut" / state.LAST)
    assert cut["progress"]["epochs_done"] == 1
    resumed = _run(tree, tmp_path / "cut", recipe)
    assert resumed["best_miou"] == undisturbed["best_miou"]
    one = state.load(tmp_path / "whole" / state.LAST)["network"]
    other = state.load(tmp_path / "cut" / state.LAST)["network"]
    assert all(torch.equal(one[name], other[name]) for name in one)
    with (tmp_path / "cut" / "metrics.csv").open() as source:
        assert [int(row["epoch"]) for row in csv.DictReader(source)] == [1, 2, 3]


@pytest.mark.parametrize("at", [1, 2, 3, 4, 5])
def test_a_stopped_run_goes_on_from_its_step(tree: Path, tmp_path: Path, at: int) -> None:
    """Wherever it is stopped, dropout and accumulated gradients included: the same weights."""
    recipe = _small(
        {"training.epochs": 2, "training.batch_size": 1, "training.global_batch_size": 2,
         "data.metadata": True}
    )  # fmt: skip
    _run(tree, tmp_path / "whole", recipe)
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked == at

    assert _run(tree, tmp_path / "cut", recipe, should_stop=stop)["state"] == "stopped"
    cut = state.load(tmp_path / "cut" / state.LAST)
    assert cut["partial"]["steps"] == at + at % 2, "a step of the optimiser is never cut"
    assert _run(tree, tmp_path / "cut", recipe)["state"] == "finished"
    one = state.load(tmp_path / "whole" / state.LAST)["network"]
    other = state.load(tmp_path / "cut" / state.LAST)["network"]
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_run_stopped_in_validation_trains_no_step_twice(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = _small({"training.epochs": 2, "training.batch_size": 2})
    _run(tree, tmp_path / "whole", recipe)
    with monkeypatch.context() as quick:
        quick.setattr(progress, "STEP_EVENT_EVERY_S", 0.0)  # ask in each validation batch
        asked = 0

        def stop() -> bool:
            nonlocal asked
            asked += 1
            return asked == 4 + 1  # four steps of training, the first batch of validation

        assert _run(tree, tmp_path / "cut", recipe, should_stop=stop)["state"] == "stopped"
    cut = state.load(tmp_path / "cut" / state.LAST)
    assert (cut["partial"]["steps"], cut["progress"]["epochs_done"]) == (4, 0)
    assert _run(tree, tmp_path / "cut", recipe)["state"] == "finished"
    one = state.load(tmp_path / "whole" / state.LAST)["network"]
    other = state.load(tmp_path / "cut" / state.LAST)["network"]
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("last", ["log_epoch", "save"])
def test_a_kill_between_two_writes_loses_no_epoch(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    recipe = _small({"training.epochs": 3, "training.batch_size": 2})
    write, done = getattr(state, last), []

    def cut(*arguments: Any) -> None:
        done.append(arguments)
        if (tmp_path / "run" / state.LAST).exists() and len(done) > 1:
            raise InterruptedError("the worker is killed")
        write(*arguments)

    with monkeypatch.context() as until_killed:
        until_killed.setattr(state, last, cut)
        with pytest.raises(InterruptedError):
            _run(tree, tmp_path / "run", recipe)
    assert state.load(tmp_path / "run" / state.LAST)["progress"]["epochs_done"] == 1
    _run(tree, tmp_path / "run", recipe)
    with (tmp_path / "run" / "metrics.csv").open() as source:
        assert [int(row["epoch"]) for row in csv.DictReader(source)] == [1, 2, 3]


def test_a_checkpoint_is_complete_or_absent(tmp_path: Path) -> None:
    path = tmp_path / "x.ckpt"
    state.save(path, {"a": torch.ones(2)})
    with pytest.raises(AttributeError):
        state.save(path, {"a": lambda: None})  # cannot be written
    assert torch.equal(state.load(path)["a"], torch.ones(2))


def test_two_processes_train_one_run(tree: Path, tmp_path: Path) -> None:
    """DDP on the CPU: one speaks, both count the validation patches."""
    command = [
        sys.executable, "-m", "baselines", "train", "tiny-unet", "--data", str(tree), "--out",
        str(tmp_path / "run"), "--cache", str(tree.parent / "cache"), "--accelerator", "cpu",
        "--devices", "2", "--threads", "1", "--events", "--no-resume", "--set",
        "training.epochs=1", "--set", "training.batch_size=2", "--set",
        "training.precision=fp32", "--set", "network.options.encoder=tu-test_resnet",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=800, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["epochs"] == 1
    events = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    assert [event["processes"] for event in events if event["event"] == "start"] == [2]
    _, saved = state.load_best(tmp_path / "run")
    assert saved["progress"]["epochs_done"] == 1
