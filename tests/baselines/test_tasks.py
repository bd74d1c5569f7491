"""Recipes of other tasks than FLAIR's two: classes, masks and names come from the task alone."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra `baselines` is not installed")

from baselines import evaluate, export, folds, package, pixel, predict, runner, train  # noqa: E402
from baselines.data import cache, layout, nomenclature, rasters, samples  # noqa: E402
from baselines.data.samples import Options  # noqa: E402
from baselines.train import exported, losses, recipe_task, state  # noqa: E402
from baselines.train import recipe as recipes  # noqa: E402
from baselines.train.recipe import Recipe, RecipeError  # noqa: E402
from scoring.engine.task import specification as specs  # noqa: E402

TASKS = Path(__file__).resolve().parents[2] / "docs" / "tasks"
SMALL: dict[str, Any] = {
    "training.epochs": 1, "training.batch_size": 2, "training.precision": "fp32",
    "network.options": {"encoder": "resnet18", "decoder_channels": [32, 24, 16, 12, 8]},
    "data.affine": 0.5, "data.split": "fold", "data.folds": 2, "loss.beside": "dice",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def fields(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree of `fields-6`: 256 px, ids of letters, masks from 0 on named `<id>_truth.tif`."""
    root = tmp_path_factory.mktemp("fields")
    rng = np.random.default_rng(5)
    lines = ["patch,domain,zone"]
    for part, sides in (("train", ("north", "south")), ("test", ("north",))):
        folder = root / part
        folder.mkdir()
        for side in sides:
            for number in range(2):
                patch = f"{side}-{part}_{number}"
                blocks = rng.choice([0, 1, 2, 3, 4, 5, 7], (8, 8)).astype(np.uint8)
                mask = blocks.repeat(32, axis=0).repeat(32, axis=1)
                image = np.stack([mask * 30 + band for band in range(5)]).astype(np.uint8)
                rasters.write(folder / f"IMG_{patch}.tif", image)
                rasters.write(folder / f"{patch}_truth.tif", mask)
                lines.append(f"{patch},{side},{side}-{number}")
    (root / "ids.csv").write_text("\n".join(lines) + "\n")
    return root


def _recipe(task: str, **changes: Any) -> Recipe:
    name = task if task in specs.shipped_names() else str(TASKS / task)
    return recipes.changed(recipes.load("tiny-unet"), {**SMALL, "task": name, **changes})


def _scored(spec: specs.TaskSpec, archive: Path, *, root: Path) -> float:
    """Give the mIoU of `python -m scoring score`, from the archive and the tree's own masks."""
    labels, document = archive.parent / "labels", archive.parent / "task.json"
    labels.mkdir()
    for patch in layout.index(root, part="test", spec=spec).patches:
        assert patch.mask is not None
        shutil.copy(patch.mask, labels)
    document.write_text(json.dumps(spec.to_json()))
    told = subprocess.run(
        [sys.executable, "-m", "scoring", "score", "--predictions", str(archive),
         "--labels", str(labels), "--spec", str(document), "--json"],
        capture_output=True, text=True, check=True, timeout=300,
    )  # fmt: skip
    return float(json.loads(told.stdout)["miou"])


@pytest.mark.parametrize(
    ("task", "n_classes"),
    [("flair-2", 13), ("flair-15.toml", 16), ("flair-19.toml", 19), ("fields-6.json", 6)],
)
def test_a_task_from_training_to_the_scorer(
    task: str, n_classes: int, tree: Path, fields: Path, tmp_path: Path
) -> None:
    """Two steps, every command: the report of `evaluate` says what the scorer says of the zip."""
    root = fields if task == "fields-6.json" else tree
    runs = [tmp_path / "0", tmp_path / "1"]
    for held_out, run in enumerate(runs):
        recipe = _recipe(task, **{"data.held_out": held_out})
        ended = train.run(recipe, data_root=root, out_dir=run, cache_dir=tmp_path / "cache")
        assert ended["state"] == "finished"
    spec = recipe.spec
    header = (runs[0] / "metrics.csv").read_text().splitlines()[0].split(",")
    assert [name for name in header if name.startswith("iou_")] == [
        f"iou_{entry.key}" for entry in spec.classes
    ]
    assert folds.run(runs, data_root=root, out_dir=tmp_path / "folds")["complete"]
    report = evaluate.run(runs[0], data_root=root, out_dir=tmp_path / "report", part="test")
    measured = json.loads(Path(report["report"]).read_text())
    assert np.array(measured["matrix"]).shape == (n_classes, n_classes)
    assert list(measured["classes"]) == [entry.key for entry in spec.classes]
    out = tmp_path / "predictions"
    predicted = predict.run(runs[0], data_root=root, out_dir=out, probabilities=True)
    ids = [patch.id for patch in layout.index(root, part="test", spec=spec).patches]
    assert predicted["patches"] == len(ids)
    names = {spec.prediction_name.replace("{id}", patch) for patch in ids}
    assert {path.name for path in out.iterdir()} == names | {f"PROB_{patch}.tif" for patch in ids}
    assert rasters.read(out / f"PROB_{ids[0]}.tif").shape[0] == n_classes
    for patch in ids:
        (out / f"PROB_{patch}.tif").unlink()
    sized = specs.from_json(
        {
            **spec.to_json(), "expected": [["", "", patch] for patch in ids],
            **dict.fromkeys(("patch_height_px", "patch_width_px"), 256 if root == fields else 64),
        }
    )  # fmt: skip
    packed = package.run(out, out=tmp_path / "preds.zip", spec=sized, ids=ids)
    assert packed["patches"] == len(ids)
    scored = _scored(sized, tmp_path / "preds.zip", root=root)
    assert scored == pytest.approx(measured["miou"], abs=1e-12)
    export.run(runs[0], tmp_path / "export", onnx=False)
    loaded, _ = exported.read(tmp_path / "export")
    assert loaded.spec.classes == spec.classes
    assert len(json.loads((tmp_path / "export" / "config.json").read_text())["id2label"]) == (
        n_classes
    )
    again = tmp_path / "again"
    predict.run(tmp_path / "export", data_root=root, out_dir=again)
    for name in names:
        assert (rasters.read(again / name) == rasters.read(out / name)).all()


def test_the_pixel_classifier_learns_a_tasks_classes(fields: Path, tmp_path: Path) -> None:
    told = pixel.run(fields, tmp_path / "pixel.zip", task=TASKS / "fields-6.json")
    assert told["predicted"] == 2
    with zipfile.ZipFile(tmp_path / "pixel.zip") as archive:
        assert archive.namelist() == ["pred_north-test_0.tif", "pred_north-test_1.tif"]
        (tmp_path / "one.tif").write_bytes(archive.read("pred_north-test_0.tif"))
    truth = rasters.read(fields / "test" / "north-test_0_truth.tif")[0]
    wanted = nomenclature.reduce_labels(
        truth, labels=nomenclature.labels_of(specs.load(TASKS / "fields-6.json"))
    )
    assert (rasters.read(tmp_path / "one.tif")[0] == wanted).mean() > 0.95


def test_a_value_that_the_task_does_not_know_is_named_with_its_file(
    fields: Path, tmp_path: Path
) -> None:
    root = tmp_path / "tree"
    shutil.copytree(fields, root)
    wrong = root / "train" / "south-train_1_truth.tif"
    rasters.write(wrong, np.full((256, 256), 9, dtype=np.uint8))
    message = (
        r"south-train_1_truth\.tif: mask value 9 is no label of the task; allowed are 0 to 5, 7"
    )
    with pytest.raises(ValueError, match=message):
        train.run(_recipe("fields-6.json"), data_root=root, out_dir=tmp_path / "run")


def test_masks_of_flair_keep_their_cache_and_others_have_their_own(
    tree: Path, tmp_path: Path
) -> None:
    patches = layout.index(tree, part="train").patches[:2]
    flair = cache.build(tmp_path, patches, options=Options())
    for task in ("flair-1", "flair-2"):
        options = Options(labels=nomenclature.labels_of(specs.load(task)))
        assert cache.build(tmp_path, patches, options=options).folder == flair.folder
    all_labels = nomenclature.labels_of(specs.load(TASKS / "flair-19.toml"))
    other = cache.build(tmp_path, patches, options=Options(labels=all_labels))
    assert other.folder != flair.folder
    masks = [one.gather([0, 1]).arrays["mask"].astype(int) for one in (flair, other)]
    assert (masks[0] == np.minimum(masks[1], 12)).all()
    assert masks[1].max() > 12


def test_the_key_of_flairs_cache_is_that_of_earlier_versions(tree: Path) -> None:
    """A decoded data set takes a terabyte: it is not to be decoded again for a new field."""
    import hashlib

    (patch,) = layout.index(tree, part="train").patches[:1]
    before = {"bands": [1, 2, 3], "masks": True, "series": None, "metadata": None}
    digest = hashlib.sha256(json.dumps([2, before]).encode())
    assert patch.mask is not None
    assert patch.series is not None
    files = [patch.image, patch.mask, patch.series.data, patch.series.masks, patch.series.products]
    stamps: list[Any] = [patch.id, patch.centroid, patch.metadata]
    stamps += [[str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in files]
    digest.update(json.dumps(stamps).encode())
    assert cache._digest([patch], options=Options(bands=(1, 2, 3))) == digest.hexdigest()[:20]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": "flair-3"}, "task: no specification 'flair-3'"),
        ({"task": 3}, "task: found 3; a challenge's name, a path or a table is needed"),
        ({"task": {"id": "x"}}, "task.label_offset|task.classes|task.patch_height_px"),
        ({"loss.unweighted": [6]}, r"loss.unweighted: classes \[6\]; allowed are 0 to 5"),
        ({"loss.sentinel_unweighted": [11]}, "loss.sentinel_unweighted: classes"),
        (
            {"loss.class_weights": [1.0] * 13},
            "loss.class_weights: found 13; one for each of the 6 classes of task 'fields-6'",
        ),
        ({"loss.class_weights": [1.0, 1.0, -1.0, 1.0, 1.0, 1.0]}, "allowed are numbers from 0"),
        ({"network.options.n_classes": 13}, "network.options.n_classes: found 13; the 6 classes"),
    ],
)
def test_mistakes_about_classes_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        recipes.changed(_recipe("fields-6.json"), changes)


def test_what_no_recipe_says_comes_from_the_task(tmp_path: Path) -> None:
    flair, six, nineteen = map(_recipe, ("flair-2", "fields-6.json", "flair-19.toml"))
    assert (flair.loss.unweighted, flair.loss.sentinel_unweighted) == ((12,), (11, 12))
    assert (six.loss.unweighted, six.loss.sentinel_unweighted) == ((0,), (0,))
    assert nineteen.loss.unweighted == ()
    assert flair.task == "flair-2"
    shutil.copy(TASKS / "fields-6.json", tmp_path)
    (tmp_path / "mine.toml").write_text('title = "Mine"\ntask = "fields-6.json"\n')
    mine = recipes.load(tmp_path / "mine.toml")
    (tmp_path / "fields-6.json").unlink()
    assert recipes.parse(mine.to_json()).spec.classes == six.spec.classes


def test_a_challenges_task_replaces_a_recipes_only_where_it_differs(tree: Path) -> None:
    published = recipes.load("flair-2-utt")
    first = {**specs.load("flair-1").to_json(), "expected": []}
    assert recipes.for_task(published, first) is published
    six = specs.load(TASKS / "fields-6.json").to_json()
    made = recipes.for_task(published, six)
    assert made.network_options()["n_classes"] == 6
    assert (made.loss.unweighted, made.loss.sentinel_unweighted) == ((0,), (0,))
    kept = recipes.changed(published, {"loss.unweighted": [1]})
    assert recipes.for_task(kept, six).loss.unweighted == (1,)
    renamed = {**first, "prediction_name": "P{id}.tif", "prediction_pattern": "P(?P<id>[0-9]+)"}
    assert recipes.for_task(published, renamed).spec.prediction_name == "P{id}.tif"


def test_a_worker_trains_a_challenges_own_task(fields: Path, tmp_path: Path) -> None:
    """A shipped recipe says FLAIR #2; the job's task decides, as the training pages send it."""
    spec = specs.load(TASKS / "fields-6.json")
    job = runner.Job(
        recipe="tiny-unet", seed=1, data_root=str(fields), run_dir=str(tmp_path / "run"),
        cache_dir=str(tmp_path / "cache"), parent_pid=1,
        spec=json.loads(json.dumps(spec.to_json())),
        overrides={key: value for key, value in SMALL.items() if key != "loss.beside"},
    )  # fmt: skip
    told: list[dict[str, Any]] = []
    _, ended = runner._train(job, on_event=told.append, should_stop=lambda: False)
    assert ended["state"] == "finished"
    recipe, _ = state.load_best(tmp_path / "run")
    assert (recipe.name, recipe.task_id, recipe.spec.n_classes) == ("tiny-unet", "fields-6", 6)
    assert any("fields-6" in event.get("message", "") for event in told)


def test_a_worker_trains_an_organisers_own_recipe(fields: Path, tmp_path: Path) -> None:
    spec = json.loads(json.dumps(specs.load(TASKS / "fields-6.json").to_json()))
    text = """title = "Mine"
task = "nowhere.json"
[network]
options = { encoder = "resnet18", decoder_channels = [32, 24, 16, 12, 8] }
[data]
split = "named"
train_domains = ["north"]
val_domains = ["south"]
[training]
epochs = 1
batch_size = 2
"""
    job = runner.Job(
        recipe="mine", seed=1, data_root=str(fields), run_dir=str(tmp_path / "run"),
        cache_dir=str(tmp_path / "cache"), parent_pid=1, spec=spec, recipe_text=text,
        overrides={"training.precision": "fp32"},
    )  # fmt: skip
    title, ended = runner._train(job, on_event=lambda event: None, should_stop=lambda: False)
    assert (title, ended["state"]) == ("Mine", "finished")
    recipe, _ = state.load_best(tmp_path / "run")
    assert (recipe.name, recipe.spec.n_classes, recipe.training.precision) == ("mine", 6, "fp32")
    broken = dataclasses.replace(job, recipe_text=text + "epoch = 1\n")
    with pytest.raises(RecipeError, match=r"line 12: training\.epoch: unknown"):
        runner._train(broken, on_event=lambda event: None, should_stop=lambda: False)


def test_runs_of_different_classes_make_no_ensemble(
    tree: Path, tmp_path: Path, fields: Path
) -> None:
    runs = []
    for task, root in (("flair-2", tree), ("fields-6.json", fields)):
        runs.append(tmp_path / task)
        train.run(_recipe(task), data_root=root, out_dir=runs[-1])
    with pytest.raises(ValueError, match="an ensemble needs one list of classes"):
        predict.run(runs, data_root=tree, out_dir=tmp_path / "out")


def test_what_lies_outside_of_a_moved_patch_counts_in_no_loss() -> None:
    """One past the ids: as if those pixels were not there, also where every class is scored."""
    torch.manual_seed(0)
    logits = torch.randn(2, 4, 6, 6, requires_grad=True)
    target = torch.randint(0, 4, (2, 6, 6))
    weights = torch.tensor([1.0, 0.5, 2.0, 1.0])
    outside = target.clone()
    outside[:, :2] = 4
    for smoothing in (0.0, 0.1):
        whole = losses.cross_entropy(
            logits[:, :, 2:], target[:, 2:], weights=weights, label_smoothing=smoothing
        )
        found = losses.cross_entropy(logits, outside, weights=weights, label_smoothing=smoothing)
        assert torch.allclose(found, whole)
    cells = torch.randn(2, 4, 3, 3)
    enlarged = cells.repeat_interleave(2, -1).repeat_interleave(2, -2)
    by_pixel = losses.cross_entropy(enlarged, outside, weights=weights)
    assert torch.allclose(losses.cell_cross_entropy(cells, outside, weights=weights), by_pixel)
    assert (losses.counted_only(outside, weights=weights)[:, :2] == losses.IGNORED).all()


def test_a_tree_without_names_of_domains_needs_a_list(fields: Path, tmp_path: Path) -> None:
    root = tmp_path / "tree"
    shutil.copytree(fields, root)
    (root / "ids.csv").unlink()
    spec = specs.load(TASKS / "fields-6.json")
    with pytest.raises(ValueError, match=r"a line in ids\.csv of the data set's root"):
        layout.index(root, spec=spec)
    with pytest.raises(FileNotFoundError, match="no IMG_######"):
        layout.index(root)
    assert recipe_task.unweighted(spec) == (0,)
    assert samples.read(
        layout.index(fields, spec=spec).patches[0],
        options=Options(labels=nomenclature.labels_of(spec)),
    ).mask is not None  # fmt: skip
