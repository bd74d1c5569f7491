"""Exports: what is read back predicts the same, in torch and in onnxruntime."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

torch = pytest.importorskip("torch", reason="the extra `baselines` is not installed")

from baselines import cli, evaluate, export, folds, model_card, predict, soup, train  # noqa: E402
from baselines.data import batches, layout  # noqa: E402
from baselines.train import exported, state  # noqa: E402
from baselines.train import recipe as recipes  # noqa: E402


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def runs(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One epoch each of a U-T&T with metadata, and of a U-Net around an encoder of timm."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("runs")
    decoder = {"decoder_channels": [32, 24, 16, 12, 8]}
    utt = {"encoder": "resnet18", "widths": [8, 16], "heads": 4}
    options: dict[str, dict[str, Any]] = {
        "utt": {"network.options": decoder | utt, "data.metadata": True},
        "unet": {
            "network.options": decoder | {"encoder": "tu-test_convnext"},
            "data.bands": [1, 2, 3], "data.normalisation": "imagenet",
        },
    }  # fmt: skip
    for name, changes in options.items():
        recipe = recipes.changed(recipes.load(f"tiny-{name}"), changes | {"training.epochs": 1})
        train.run(recipe, data_root=tree, out_dir=root / name, cache_dir=root / "cache")
    return {name: root / name for name in options}


def _require_onnx() -> None:
    for name in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name, reason="the extra `baselines` is older than ONNX in it")


def _batch(predictor: predict.Predictor, tree: Path) -> batches.Tensors:
    source = predict.Files(
        layout.index(tree, part="test").patches, options=predictor.recipe.options(masks=False)
    )
    (batch,) = batches.Epoch(source, 4)
    return batch


@pytest.mark.parametrize("name", ["utt", "unet"])
def test_what_is_read_back_predicts_the_same(
    name: str, runs: dict[str, Path], tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The folder in a run's place, bit by bit; the graph on patches of any number of dates."""
    _require_onnx()
    import onnxruntime

    report, out = tmp_path / "report", tmp_path / "export"
    evaluate.run(runs[name], data_root=tree, out_dir=report, worst=0)
    score = tmp_path / "score.json"
    score.write_text(json.dumps({"submission": "s1", "spec": "flair-2", "miou": 0.5}))
    command = ["export", str(runs[name]), "--out", str(out), "--data", str(tree),
               "--evaluation", str(report / evaluate.REPORT), "--score", str(score)]  # fmt: skip
    assert cli.main(command) == 0, capsys.readouterr().err
    said = json.loads(capsys.readouterr().out)
    assert said["files"] == sorted([model_card.FILE, exported.CONFIG, exported.WEIGHTS,
                                    exported.PREPROCESSOR, export.ONNX])  # fmt: skip

    ours, again = predict.Predictor(runs[name]), predict.Predictor(out)
    validation = ours.recipe.split(layout.index(tree, part="train"))[1]
    assert said["onnx"]["input"] == f"patch {validation[0].id}"
    batch = _batch(ours, tree)
    assert torch.equal(ours.probabilities(batch), again.probabilities(batch))

    session = onnxruntime.InferenceSession(out / export.ONNX, providers=["CPUExecutionProvider"])
    rows = range(len(batch["index"]))
    lengths = {int((~batch["padding"][row]).sum()) for row in rows} if name == "utt" else {0}
    assert name == "unet" or len(lengths) > 1, "patches of several numbers of dates"
    for row in rows:
        one = {key: value[row : row + 1] for key, value in batch.items()}
        inputs = batches.to_inputs(
            one, device=torch.device("cpu"), memory_format=torch.contiguous_format,
            normalisation=ours.recipe.data.normalisation, bands=ours.recipe.data.bands,
        )  # fmt: skip
        padding = inputs.pop("padding", None)
        with torch.inference_mode():
            expected = ours.network(**inputs, padding=padding).logits
        real = slice(None) if padding is None else ~padding[0]
        given = {
            key: (value[:, real] if key in ("sentinel", "days") else value).numpy()
            for key, value in inputs.items()
        }
        (logits,) = session.run(None, given)
        assert np.abs(logits - expected.numpy()).max() < 1e-4

    card = (out / model_card.FILE).read_text()
    front = yaml.safe_load(card.split("---")[1])
    assert (front["license"], front["datasets"]) == ("etalab-2.0", ["IGNF/FLAIR"])
    values = [result["metrics"][0]["value"] for result in front["model-index"][0]["results"]]
    assert values == [json.loads((report / evaluate.REPORT).read_text())["miou"], 0.5]
    about = json.loads((runs[name] / state.RUN).read_text())
    for fact in (about["data"]["sha256"], about["starts"][0]["code"]["sources_sha256"],
                 said["weights_sha256"], "| 12 | `other` |"):  # fmt: skip
        assert fact in card


def test_an_export_that_would_mislead_is_refused(
    runs: dict[str, Path], tree: Path, tmp_path: Path
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    with pytest.raises(export.ExportError, match="is not empty; give a new folder"):
        export.run(runs["unet"], tmp_path / "full", onnx=False)
    evaluate.run(runs["utt"], data_root=tree, out_dir=tmp_path, worst=0)
    with pytest.raises(ValueError, match="measures other weights than this run's best epoch"):
        export.run(runs["unet"], tmp_path / "a", onnx=False, evaluation=tmp_path / evaluate.REPORT)
    out = tmp_path / "b"
    export.run(runs["unet"], out, onnx=False)
    config = json.loads((out / exported.CONFIG).read_text())
    (out / exported.CONFIG).write_text(json.dumps(config | {"weights_sha256": "0"}))
    with pytest.raises(ValueError, match=r"holds other weights than config\.json says"):
        predict.Predictor(out)
    (out / exported.CONFIG).write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(ValueError, match="found model_type and format"):
        predict.Predictor(out)


def test_a_network_without_an_onnx_form_is_named(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What torch says of an operator that it cannot write, and of a graph that differs."""
    _require_onnx()

    def without_form(*arguments: Any, **options: Any) -> None:
        raise RuntimeError("no translation of aten::unheard_of\nmore lines")

    with monkeypatch.context() as patched:
        patched.setattr(torch.onnx, "export", without_form)
        with pytest.raises(
            export.ExportError,
            match=r"network unet with encoder tu-test_convnext: .*aten::unheard_of\)\. Export with",
        ):
            export.run(runs["unet"], tmp_path / "a")
    monkeypatch.setattr(torch.onnx, "export", lambda plain, given, path, **options: path.touch())
    monkeypatch.setattr(export, "_by_onnxruntime", lambda path, inputs: torch.full((1,), 1e9))
    with pytest.raises(export.ExportError, match="onnxruntime's logits differ by 1e"):
        export.run(runs["unet"], tmp_path / "c")
    assert not (tmp_path / "c" / export.ONNX).exists()


def test_a_missing_package_is_named(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(export, "_NEEDED", ("onnx_of_nowhere",))
    assert cli.main(["export", str(runs["unet"]), "--out", str(tmp_path / "x")]) == 1
    assert "not installed: onnx_of_nowhere" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


# Soups and folds --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two folds of one recipe and seed, which are also two members of a soup."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("two")
    recipe = recipes.changed(
        recipes.load("tiny-unet"),
        {
            "network.options": {"encoder": "resnet18", "decoder_channels": [32, 24, 16, 12, 8]},
            "training.epochs": 1, "training.precision": "fp32", "data.split": "fold",
            "data.folds": 2,
        },
    )  # fmt: skip
    for held_out in (0, 1):
        fold = recipes.changed(recipe, {"data.held_out": held_out})
        train.run(fold, data_root=tree, out_dir=root / str(held_out), cache_dir=root / "cache")
    return [root / "0", root / "1"]


def test_a_soup_has_the_mean_weights_and_norms_measured_anew(
    two: list[Path], tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "soup"
    command = ["soup", *map(str, two), "--data", str(tree), "--out", str(out),
               "--weights", "3", "1"]  # fmt: skip
    assert cli.main(command) == 0, capsys.readouterr().err
    said = json.loads(capsys.readouterr().out)
    one, other = (state.load_best(run)[1]["network"] for run in two)
    _, mixed = exported.read(out)
    mixed = mixed["network"]
    name = "decoder.blocks.0.conv1.0.weight"
    assert torch.allclose(mixed[name], 0.75 * one[name] + 0.25 * other[name], atol=1e-6)

    shares = json.loads((out / exported.CONFIG).read_text())["made_from"]
    assert [(member["run"], member["share"]) for member in shares] == [
        (str(two[0]), 0.75), (str(two[1]), 0.25),
    ]  # fmt: skip
    # The first normalisation sees the first convolution's maps: their mean over the train patches.
    predictor = predict.Predictor(out)
    patches = predictor.recipe.split(layout.index(tree, part="train"))[0]
    source = predict.Files(patches, options=predictor.recipe.options(masks=False))
    means = []
    for batch in batches.Epoch(source, predictor.recipe.training.batch_size):
        inputs = batches.to_inputs(
            batch, device=torch.device("cpu"), memory_format=predictor.memory_format
        )
        with torch.no_grad():
            maps = predictor.network.get_submodule("encoder.conv1")(inputs["aerial"])
        means += [maps.mean(dim=(2, 3))]
    expected = torch.cat(means).mean(dim=0)
    assert torch.allclose(mixed["encoder.bn1.running_mean"], expected, atol=0.02)
    assert not torch.allclose(mixed["encoder.bn1.running_mean"], one["encoder.bn1.running_mean"],
                              atol=0.02)  # fmt: skip
    report = evaluate.run(out, data_root=tree, out_dir=tmp_path / "report", worst=0)
    assert report["miou"] == said["miou"]


def test_a_greedy_soup_leaves_out_what_does_harm(
    two: list[Path], tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that calls everything "other" is measured, and not in it."""
    bad = tmp_path / "bad"
    recipe, saved = state.load_best(two[1])
    tensors = dict(saved["network"])
    tensors["head.0.weight"] = torch.zeros_like(tensors["head.0.weight"])
    tensors["head.0.bias"] = torch.zeros(13).index_fill(0, torch.tensor([12]), 1000.0)
    about = json.loads((two[1] / state.RUN).read_text())
    state.write_about(bad, recipe=recipe, seed=about["seed"] + 1)
    state.set_ending(bad, "finished")
    state.save(bad / state.BEST, {"recipe": recipe.to_json(), "patch_px": 64, "network": tensors})
    shared: dict[str, Any] = {"data_root": tree}
    with pytest.raises(ValueError, match=r"same inputs and start: seed is 2022 in .* and 2023 in"):
        soup.run([two[0], bad], out_dir=tmp_path / "a", **shared)
    made = soup.run([bad, two[0]], out_dir=tmp_path / "b", greedy=True, **shared)
    assert made["miou_of_runs"][str(bad)] == 0.0
    assert made["members"] == [str(two[0])]
    assert made["miou"] == made["miou_of_runs"][str(two[0])]


def test_a_soup_of_different_networks_is_refused(
    runs: dict[str, Path], tree: Path, tmp_path: Path
) -> None:
    members = [runs["unet"], runs["utt"]]
    with pytest.raises(ValueError, match=r"network\.name is 'unet' in .*unet and 'utt' in"):
        soup.run(members, data_root=tree, out_dir=tmp_path / "x")
    with pytest.raises(ValueError, match="a soup needs two runs or more"):
        soup.run(members[:1], data_root=tree, out_dir=tmp_path / "x")


def test_folds_are_measured_on_what_they_were_trained_without(
    two: list[Path], runs: dict[str, Path], tree: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    command = ["folds", *map(str, reversed(two)), "--data", str(tree), "--out", str(tmp_path)]
    assert cli.main(command) == 0, capsys.readouterr().err
    said = json.loads(capsys.readouterr().out)
    report = json.loads((tmp_path / folds.REPORT).read_text())
    assert said["complete"]
    assert [fold["held_out"] for fold in report["folds"]] == [0, 1]
    patches = layout.index(tree, part="train").patches
    assert sum(fold["patches"] for fold in report["folds"]) == len(patches)
    domains = [domain for fold in report["folds"] for domain in fold["domains"]]
    assert sorted(domains) == sorted({patch.domain for patch in patches})
    assert np.sum(report["together"]["matrix"]) == len(patches) * 64 * 64
    alone = evaluate.run(two[1], data_root=tree, out_dir=tmp_path / "alone", worst=0)
    values = [fold["miou"] for fold in report["folds"]]
    assert values[1] == alone["miou"]
    assert report["mean"]["miou"] == pytest.approx(sum(values) / 2)
    assert report["std"]["miou"] == pytest.approx(abs(values[0] - values[1]) / 2**0.5)
    with pytest.raises(ValueError, match=r"held-out folds are \[0, 0\]; one run of each fold"):
        folds.run([two[0], two[0]], data_root=tree, out_dir=tmp_path)
    with pytest.raises(ValueError, match=r"data\.split is 'official'; runs of folds"):
        folds.run([runs["unet"]], data_root=tree, out_dir=tmp_path)
