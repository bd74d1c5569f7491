"""From a trained run to a submission: prediction, whole areas, packaging, sending."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
import shutil
import sqlite3
import struct
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine

torch = pytest.importorskip("torch", reason="the extra `baselines` is not installed")

from baselines import area, cli, evaluate, package, predict, submit, train  # noqa: E402
from baselines.data import batches, layout, rasters  # noqa: E402
from baselines.data.nomenclature import reduce_labels  # noqa: E402
from baselines.train import recipe as recipes  # noqa: E402
from scoring.engine.metrics import metrics  # noqa: E402
from scoring.engine.task import specification as specs  # noqa: E402


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def runs(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One epoch each of a U-Net and a U-T&T with metadata."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("runs")
    decoder = {"encoder": "resnet18", "decoder_channels": [32, 24, 16, 12, 8]}
    options: dict[str, dict[str, Any]] = {
        "unet": {"network.options": decoder},
        "utt": {
            "network.options": decoder | {"widths": [8, 8, 16, 16], "heads": 4},
            "data.metadata": True,
        },
    }
    for name, changes in options.items():
        recipe = recipes.changed(
            recipes.load(f"tiny-{name}"),
            changes | {"training.epochs": 1, "training.precision": "fp32"},
        )
        train.run(recipe, data_root=tree, out_dir=root / name, cache_dir=root / "cache")
    return {name: root / name for name in options}


def _spec(tree: Path) -> specs.TaskSpec:
    """FLAIR #2's task for the tree's small patches."""
    patches = layout.index(tree, part="test").patches
    return dataclasses.replace(
        specs.load("flair-2"),
        patch_height_px=64,
        patch_width_px=64,
        expected=tuple(specs.Patch(p.id, p.domain, p.zone) for p in patches),
    )


# Prediction -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["unet", "utt"])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_every_patch_is_predicted_once(
    name: str, batch_size: int, runs: dict[str, Path], tree: Path, tmp_path: Path
) -> None:
    """Four patches in batches of three: none is dropped, none padded, batches don't matter."""
    result = predict.run(runs[name], data_root=tree, out_dir=tmp_path, batch_size=batch_size)
    assert (result["state"], result["patches"]) == ("finished", 4)
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == [f"PRED_0774{n}.tif" for n in (13, 14, 15, 16)]
    whole = predict.run(runs[name], data_root=tree, out_dir=tmp_path / "4", batch_size=4)
    assert whole["patches"] == 4
    for file in files:
        with rasters.open_quietly(tmp_path / file) as opened:
            assert (opened.count, opened.dtypes[0], opened.shape) == (1, "uint8", (64, 64))
            assert opened.compression.name == "lzw"
        one, other = rasters.read(tmp_path / file), rasters.read(tmp_path / "4" / file)
        assert one.max() <= 12
        assert (one == other).mean() > 0.999


def test_georeference_and_probabilities_are_written_on_request(
    runs: dict[str, Path], tree: Path, tmp_path: Path
) -> None:
    predict.run(
        runs["unet"], data_root=tree, out_dir=tmp_path, georeferenced=True, probabilities=True
    )
    patch = layout.index(tree, part="test").patches[0]
    place = rasters.georeference(tmp_path / f"PRED_{patch.id}.tif")
    assert place.transform == rasters.georeference(patch.image).transform
    assert "Lambert-93" in place.crs
    shares = rasters.read(tmp_path / f"PROB_{patch.id}.tif").astype(int)
    classes = rasters.read(tmp_path / f"PRED_{patch.id}.tif")[0]
    assert shares.shape == (13, 64, 64)
    assert np.abs(shares.sum(axis=0) - 255).max() <= 7
    assert (np.take_along_axis(shares, classes[None].astype(int), 0)[0] == shares.max(axis=0)).all()


def test_the_mean_over_flips_is_the_same_for_a_flipped_patch(
    runs: dict[str, Path], tree: Path
) -> None:
    """With all eight symmetries averaged, turning the inputs just turns the prediction."""
    predictor = predict.Predictor(runs["utt"])
    source = predict.Files(
        layout.index(tree, part="test").patches, options=predictor.recipe.options(masks=False)
    )
    (batch,) = batches.Epoch(source, 4)
    plain = predictor.probabilities(batch, symmetries=8)
    turn = torch.tensor([1, 4, 6, 7])
    turned = dict(batch)
    for name in ("aerial", "series"):
        turned[name] = batches.turn_squares(batch[name], turn)
    again = predictor.probabilities(turned, symmetries=8)
    assert torch.allclose(batches.turn_back(again, turn), plain, atol=1e-4)
    assert not torch.allclose(predictor.probabilities(batch), plain, atol=1e-4)


def test_an_untrained_folder_and_a_missing_part_are_refused(
    runs: dict[str, Path], tree: Path, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError, match="train at least one epoch"):
        predict.run(tmp_path, data_root=tree, out_dir=tmp_path)
    patch = layout.index(tree, part="train").patches[0]
    lone = tmp_path / "train" / patch.domain / patch.zone / patch.image.name
    lone.parent.mkdir(parents=True)
    shutil.copy(patch.image, lone)
    with pytest.raises(FileNotFoundError, match="holds no test patch"):
        predict.run(runs["unet"], data_root=tmp_path, out_dir=tmp_path / "preds")


def test_only_the_wanted_patches_are_predicted(
    runs: dict[str, Path], tree: Path, tmp_path: Path
) -> None:
    wanted = ["077416", "077414"]
    predict.run(runs["unet"], data_root=tree, out_dir=tmp_path, ids=wanted)
    assert sorted(path.stem for path in tmp_path.iterdir()) == ["PRED_077414", "PRED_077416"]
    with pytest.raises(FileNotFoundError, match=r"lacks 1 of the 2 patches .* \(first: 099999\)"):
        predict.run(runs["unet"], data_root=tree, out_dir=tmp_path, ids=["077414", "099999"])


def test_a_phase_may_ask_for_validation_patches(
    runs: dict[str, Path], tree: Path, tmp_path: Path
) -> None:
    """The practice phases are scored on patches whose labels come with the training data."""
    wanted = ["000009", "077414"]
    predict.run(runs["unet"], data_root=tree, out_dir=tmp_path, ids=wanted)
    assert sorted(path.stem for path in tmp_path.iterdir()) == ["PRED_000009", "PRED_077414"]


def test_prediction_stops_when_asked(runs: dict[str, Path], tree: Path, tmp_path: Path) -> None:
    result = predict.run(runs["unet"], data_root=tree, out_dir=tmp_path, should_stop=lambda: True)
    assert (result["state"], result["patches"]) == ("stopped", 0)


# Whole areas ------------------------------------------------------------------------------------


def _area(path: Path, tree: Path, *, height: int, width: int) -> None:
    """A larger image out of the tree's patches, with a corner without data."""
    patches = layout.index(tree, part="train").patches
    tiles = [rasters.read(patch.image) for patch in patches]
    rows = [np.concatenate([tiles[(r * 5 + c) % 12] for c in range(5)], axis=2) for r in range(4)]
    pixels = np.concatenate(rows, axis=1)[:, :height, :width]
    profile = {
        "driver": "GTiff", "count": 5, "height": height, "width": width, "dtype": "uint8",
        "crs": "EPSG:2154", "transform": Affine(1.6, 0, 900_000, 0, -1.6, 6_500_000),
        "nodata": 0,
    }  # fmt: skip
    pixels = np.maximum(pixels, 1)
    pixels[:, :10, :10] = 0
    with rasterio.open(path, "w", **profile) as target:
        target.write(pixels)


@pytest.mark.parametrize(("size", "window", "overlap"), [(64, 64, 16), (200, 64, 16), (65, 64, 63),
                                                         (30, 64, 16), (129, 64, 0)])  # fmt: skip
def test_cores_partition_an_axis(size: int, window: int, overlap: int) -> None:
    found = area.strips(size, window=window, overlap=overlap)
    edges = [(strip.core_start, strip.core_stop) for strip in found]
    assert edges[0][0] == 0
    assert edges[-1][1] == size
    assert all(one[1] == other[0] for one, other in itertools.pairwise(edges))
    for strip in found:
        assert strip.start <= strip.core_start < strip.core_stop <= strip.start + window


def test_a_complete_area_is_mapped_with_polygons(
    runs: dict[str, Path], tree: Path, tmp_path: Path
) -> None:
    image, out, polygons = tmp_path / "a.tif", tmp_path / "map.tif", tmp_path / "map.gpkg"
    _area(image, tree, height=150, width=200)
    result = area.run(runs["unet"], image=image, out=out, polygons=polygons)
    assert (result["state"], result["windows"]) == ("finished", 12)
    with rasterio.open(out) as opened:
        assert opened.crs.to_epsg() == 2154
        assert opened.transform == Affine(1.6, 0, 900_000, 0, -1.6, 6_500_000)
        assert opened.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert opened.descriptions == ("land cover",)
        assert opened.colormap(1)[0] == (0xDB, 0x0E, 0x9A, 255)
        assert opened.tags()["CLASS_0"] == "building"
        classes = opened.read(1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tif", "map.gpkg", "map.tif"]
    assert classes.shape == (150, 200)
    assert (classes[:10, :10] == area.NO_CLASS).all()
    assert classes[10:].max() <= 12
    with sqlite3.connect(polygons) as layer:
        rows = layer.execute("select class_id, key, sum(area_m2) from land_cover group by 1")
        areas = {(number, key): value for number, key, value in rows}
        (srs,) = layer.execute("select srs_id from gpkg_geometry_columns").fetchone()
    assert srs == 2154
    counted = dict(zip(*np.unique(classes, return_counts=True), strict=True))
    counted.pop(area.NO_CLASS)
    keys = {entry.id: entry.key for entry in specs.load("flair-2").classes}
    expected = {(int(value), keys[int(value)]): count * 1.6**2 for value, count in counted.items()}
    assert areas == pytest.approx(expected)
    assert result["polygons"] >= len(expected)


def test_an_area_of_one_window_is_the_patchs_prediction(
    runs: dict[str, Path], tree: Path, tmp_path: Path
) -> None:
    patch = layout.index(tree, part="test").patches[0]
    predict.run(runs["unet"], data_root=tree, out_dir=tmp_path)
    area.run(runs["unet"], image=patch.image, out=tmp_path / "map.tif")
    one = rasters.read(tmp_path / f"PRED_{patch.id}.tif")
    assert (one == rasters.read(tmp_path / "map.tif")).mean() > 0.999


def test_sieving_merges_small_regions(runs: dict[str, Path], tree: Path, tmp_path: Path) -> None:
    image = layout.index(tree, part="test").patches[0].image
    counts = [
        area.run(
            runs["unet"], image=image, out=tmp_path / "m.tif", polygons=tmp_path / "m.gpkg",
            sieve_px=sieve_px,
        )["polygons"]
        for sieve_px in (0, 200)
    ]  # fmt: skip
    assert counts[1] < counts[0]


def test_areas_need_a_network_of_the_image_alone(
    runs: dict[str, Path], tree: Path, tmp_path: Path
) -> None:
    image = layout.index(tree, part="test").patches[0].image
    with pytest.raises(ValueError, match="needs days, metadata, padding, sentinel"):
        area.run(runs["utt"], image=image, out=tmp_path / "m.tif")
    mask = layout.index(tree, part="train").patches[0].mask
    assert mask is not None
    with pytest.raises(ValueError, match="1 bands of uint8; the recipe needs bands"):
        area.run(runs["unet"], image=mask, out=tmp_path / "m.tif")


# Packaging --------------------------------------------------------------------------------------


def test_a_package_is_what_the_scorer_accepts(
    runs: dict[str, Path], tree: Path, tmp_path: Path
) -> None:
    predict.run(runs["unet"], data_root=tree, out_dir=tmp_path / "preds")
    made = package.run(tmp_path / "preds", out=tmp_path / "out.zip", spec=_spec(tree))
    assert made["patches"] == 4
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        assert len(archive.namelist()) == 4
    again = package.run(tmp_path / "preds", out=tmp_path / "again.zip", spec=_spec(tree))
    assert again["sha256"] == made["sha256"]


def test_an_incomplete_package_is_refused_and_not_left(
    runs: dict[str, Path], tree: Path, tmp_path: Path
) -> None:
    predict.run(runs["unet"], data_root=tree, out_dir=tmp_path / "preds")
    (tmp_path / "preds" / "PRED_077414.tif").unlink()
    with pytest.raises(package.PackageError, match="077414"):
        package.run(tmp_path / "preds", out=tmp_path / "out.zip", spec=_spec(tree))
    with pytest.raises(package.PackageError):
        package.run(tmp_path / "nothing", out=tmp_path / "out.zip", spec=_spec(tree))
    assert not list(tmp_path.glob("*.zip"))


# Sending ----------------------------------------------------------------------------------------


class _Site(BaseHTTPRequestHandler):
    """As much of the API's contract as a submission needs; what came is kept on the class."""

    received: dict[str, Any]

    def log_message(self, *arguments: Any) -> None:
        """Stay silent."""

    def _answer(self, status: int, document: Any = None, **headers: str) -> None:
        body = b"" if document is None else json.dumps(document).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def do_POST(self) -> None:
        body = self._body()
        if self.headers.get("Authorization") != "Bearer right":
            problem = {"code": "not-authenticated", "detail": "The token is not known."}
            return self._answer(401, problem)
        if self.path.endswith("/uploads"):
            self.received["length"] = int(self.headers["Upload-Length"])
            self.received["bytes"] = b""
            return self._answer(201, Location="/api/v1/uploads/abc")
        self.received["submission"] = json.loads(body)
        return self._answer(201, {"id": "s1", "state": "queued"})

    def do_PATCH(self) -> None:
        assert int(self.headers["Upload-Offset"]) == len(self.received["bytes"])
        self.received["bytes"] += self._body()
        self._answer(204, Upload_Offset=str(len(self.received["bytes"])))

    def do_GET(self) -> None:
        self._answer(200, {"id": "s1", "state": "scored", "miou": 0.5})


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, dict[str, Any]]]:
    monkeypatch.setenv("FLAIR_CACHE_DIR", str(tmp_path / "cache"))
    received: dict[str, Any] = {}
    handler = type("Site", (_Site,), {"received": received})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", received
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_zip_is_sent_and_followed(
    site: tuple[str, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    address, received = site
    archive = tmp_path / "x.zip"
    archive.write_bytes(b"zip" * 1000)
    monkeypatch.setenv("FLAIR_TOKEN", "right")
    arguments = ["submit", str(archive), "--server", address, "--phase", "flair-2/test",
                 "--method-name", "U-T&T", "--wait-s", "20"]  # fmt: skip
    assert cli.main(arguments) == 0
    assert json.loads(capsys.readouterr().out)["state"] == "scored"
    assert received["bytes"] == archive.read_bytes()
    assert received["submission"] == {
        "phase": "flair-2/test", "upload": "abc", "method_name": "U-T&T",
    }  # fmt: skip


def test_a_wrong_token_is_refused_in_the_servers_words(
    site: tuple[str, dict[str, Any]], tmp_path: Path
) -> None:
    archive = tmp_path / "x.zip"
    archive.write_bytes(b"zip")
    with pytest.raises(submit.SubmitError, match=r"not-authenticated: The token is not known\."):
        submit.run(archive, server=site[0], token="wrong", phase="flair-2/test", method_name="x")


def test_no_token_no_submission(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("FLAIR_TOKEN", raising=False)
    arguments = ["submit", "x.zip", "--server", "http://127.0.0.1:1", "--phase", "a/b",
                 "--method-name", "x"]  # fmt: skip
    assert cli.main(arguments) == 1
    assert "FLAIR_TOKEN is not set" in capsys.readouterr().err


# The command line -------------------------------------------------------------------------------


def test_the_commands_chain(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_dir, preds = tmp_path / "run", tmp_path / "preds"
    changes = ["--set", "training.epochs=1", "--set", "training.precision=fp32"]
    assert cli.main(["train", "tiny-unet", "--data", str(tree), "--out", str(run_dir),
                     "--threads", "1", *changes]) == 0  # fmt: skip
    assert cli.main(["predict", str(run_dir), "--data", str(tree), "--out", str(preds)]) == 0
    assert len(list(preds.iterdir())) == 4
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["state"] for line in lines] == ["finished", "finished"]
    assert cli.main(["train", "tiny-unet", "--data", str(tree), "--out", str(run_dir), "--set",
                     "epochs"]) == 1  # fmt: skip
    assert "a form like data.held_out=3" in capsys.readouterr().err
    assert cli.main(["recipes"]) == 0
    assert json.loads(capsys.readouterr().out)["flair-2-utt-all"]["miou"] == 0.569


def test_long_commands_tell_how_far_they_are(
    runs: dict[str, Path], tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    from baselines import progress_line

    monkeypatch.setattr(progress_line, "LOG_EVERY_S", 0.0)
    preds = tmp_path / "preds"
    run, image = str(runs["unet"]), layout.index(tree, part="test").patches[0].image
    predicting = ["predict", run, "--data", str(tree), "--out", str(preds), "--batch-size", "2"]
    assert cli.main(predicting) == 0
    assert "4 of 4 patches predicted" in capsys.readouterr().err
    mapping = ["map", run, str(image), "--out", str(tmp_path / "m.tif"),
               "--polygons", str(tmp_path / "m.gpkg")]  # fmt: skip
    assert cli.main(mapping) == 0
    said = capsys.readouterr().err
    assert "1 of 1 windows mapped" in said
    assert re.search(r"\d+ polygons written", said)
    # The tree's patches are smaller than the task's: packed, then refused.
    assert cli.main(["package", str(preds), "--out", str(tmp_path / "p.zip"),
                     "--spec", "flair-2"]) == 1  # fmt: skip
    assert "4 of 4 predictions packed" in capsys.readouterr().err
    training = ["train", "tiny-unet", "--data", str(tree), "--out", str(tmp_path / "run"),
                "--set", "training.epochs=1", "--set", "training.batch_size=4",
                "--accelerator", "cpu"]  # fmt: skip
    assert cli.main(training) == 0
    outputs = capsys.readouterr()
    assert re.search(r"^epoch 1: loss ", outputs.err, re.MULTILINE)
    assert json.loads(outputs.out)["best_epoch"] == 1


def test_an_ensemble_is_the_weighted_mean_of_its_runs(
    runs: dict[str, Path], tree: Path, tmp_path: Path
) -> None:
    """A U-Net and a U-T&T, which see different inputs."""
    both = [runs["unet"], runs["utt"]]
    shared: dict[str, Any] = {"data_root": tree, "probabilities": True, "batch_size": 3}
    for name, members in (("unet", both[:1]), ("utt", both[1:])):
        predict.run(members, out_dir=tmp_path / name, **shared)
    predict.run(both, out_dir=tmp_path / "both", weights=[3, 1], **shared)
    one, other, mean = (
        rasters.read(tmp_path / name / "PROB_077413.tif").astype(float)
        for name in ("unet", "utt", "both")
    )
    assert np.abs(mean - (0.75 * one + 0.25 * other)).max() <= 1
    assert np.abs(one - other).max() > 3
    predict.run(both, out_dir=tmp_path / "alone", weights=[0, 1], **shared)
    alone = rasters.read(tmp_path / "alone" / "PROB_077413.tif")
    assert np.abs(alone.astype(float) - other).max() <= 1
    with pytest.raises(ValueError, match="for 2 runs; one number from 0 on for each"):
        predict.run(both, out_dir=tmp_path / "x", weights=[1], **shared)


def test_symmetries_are_as_many_as_the_time_allows(
    runs: dict[str, Path], tree: Path, tmp_path: Path
) -> None:
    shared: dict[str, Any] = {"data_root": tree, "out_dir": tmp_path}
    rich = predict.run(runs["unet"], time_budget_s=3600.0, **shared)
    poor = predict.run(runs["unet"], time_budget_s=1e-3, **shared)
    assert (rich["symmetries"], poor["symmetries"]) == (8, 1)
    assert predict.run(runs["unet"], **shared)["symmetries"] == 1


def test_a_run_is_measured_on_labelled_patches(
    runs: dict[str, Path], tree: Path, tmp_path: Path
) -> None:
    """By the same numbers as a submission of those patches, and with pictures of the worst."""
    command = ["evaluate", str(runs["utt"]), "--data", str(tree), "--out", str(tmp_path / "report"),
               "--part", "test", "--worst", "2", "--batch-size", "3"]  # fmt: skip
    assert cli.main(command) == 0
    report = json.loads((tmp_path / "report" / evaluate.REPORT).read_text())
    predict.run(runs["utt"], data_root=tree, out_dir=tmp_path / "preds")
    matrix, accuracies = np.zeros((13, 13), dtype=np.int64), {}
    for patch in layout.index(tree, part="test").patches:
        assert patch.mask is not None
        truth = reduce_labels(rasters.read(patch.mask)[0])
        predicted = rasters.read(tmp_path / "preds" / f"PRED_{patch.id}.tif")[0]
        np.add.at(matrix, (truth.ravel(), predicted.ravel()), 1)
        accuracies[patch.id] = float((truth == predicted).mean())
    measured = metrics.measure(matrix, spec=specs.load("flair-2"))
    assert report["matrix"] == matrix.tolist()
    assert report["miou"] == float(measured.miou)
    assert report["classes"]["building"]["f1"] == float(measured.f1[0])
    assert set(report["domains"]) == {p.domain for p in layout.index(tree, part="test").patches}
    worst = [one["patch"] for one in report["worst"]]
    assert [accuracies[one] for one in worst] == sorted(accuracies.values())[:2]
    png = (tmp_path / "report" / report["worst"][0]["picture"]).read_bytes()
    assert png.startswith(b"\x89PNG")
    assert struct.unpack(">II", png[16:24]) == (192, 64), "width and height of three squares"
