"""``python -m scoring``: its exit status, its JSON and what a person reads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scoring import __version__
from scoring.cli import cli
from scoring.engine.version import ENGINE_VERSION
from tests.scoring import builders
from tests.shared_data import shared_data

TASK = """
[task]
id = "tiny"
patch_height_px = 16
patch_width_px = 24
label_offset = 1
unscored_policy = "full-matrix"
absent_policy = "skip"
prediction_pattern = 'PRED_(?P<id>[0-9]{3})'
truth_pattern = 'MSK_(?P<id>[0-9]{3})'
prediction_name = "PRED_{id}.tif"
id_ranges = [["001", "012"]]
[[task.classes]]
id = 0
key = "a"
[[task.classes]]
id = 1
key = "b"
[[task.classes]]
id = 2
key = "c"
[[task.classes]]
id = 3
key = "other"
labels = [4, 5]
scored = false
"""


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """A task, twelve masks, and three submissions: good, worse, and one that lacks a patch."""
    (tmp_path / "tiny.toml").write_text(TASK)
    spec = builders.task()
    truth = builders.masks(spec, count=12)
    builders.write_mask_folders(tmp_path / "labels", truth)
    good = builders.predictions(spec, truth, wrong=0.1)
    builders.write_archive(tmp_path / "good.zip", good)
    builders.write_archive(tmp_path / "worse.zip", builders.predictions(spec, truth, wrong=0.5))
    builders.write_archive(tmp_path / "short.zip", {i: p for i, p in good.items() if i != "004"})
    return tmp_path


def _run(
    capsys: pytest.CaptureFixture[str], world: Path, command: str, *arguments: str
) -> tuple[int, str, str]:
    spec = () if command == "compare" else ("--spec", str(world / "tiny.toml"))
    status = cli.main([command, *arguments, *spec])
    out, err = capsys.readouterr()
    return status, out, err


def _score(
    capsys: pytest.CaptureFixture[str], world: Path, name: str, *more: str
) -> tuple[int, Any, str]:
    arguments = ("--labels", str(world / "labels"), "--predictions", str(world / name))
    status, out, err = _run(capsys, world, "score", *arguments, "--json", *more)
    return status, json.loads(out) if out else None, err


def test_score_prints_one_card(capsys: pytest.CaptureFixture[str], world: Path) -> None:
    status, card, err = _score(capsys, world, "good.zip")
    assert (status, err) == (0, "")
    assert (card["spec"], card["engine_version"]) == ("tiny", ENGINE_VERSION)
    assert (card["patches"], card["pixels"]) == (12, 12 * 16 * 24)
    spec = builders.task()
    truth = builders.masks(spec, count=12)
    wanted = builders.confusion_matrix(spec, truth, builders.predictions(spec, truth, wrong=0.1))
    assert card["confusion"] == wanted.tolist()
    assert [c["scored"] for c in card["classes"]] == [True, True, True, False]
    assert 0 < card["seconds"] < 60


def test_score_for_a_person(capsys: pytest.CaptureFixture[str], world: Path) -> None:
    arguments = ("--labels", str(world / "labels"), "--predictions", str(world / "good.zip"))
    status, out, _ = _run(capsys, world, "score", *arguments)
    assert status == 0
    for words in ("tiny: 12 patches", "mIoU", "95 % interval", "(other)", "not in the means"):
        assert words in out


def test_a_folder_and_a_packed_store_give_the_same_card(
    capsys: pytest.CaptureFixture[str], world: Path
) -> None:
    labels, packed = str(world / "labels"), str(world / "truth.pack")
    status, out, _ = _run(capsys, world, "pack", "--labels", labels, "--out", packed, "--json")
    assert status == 0
    assert json.loads(out)["patches"] == 12
    _, from_folders, _ = _score(capsys, world, "good.zip")
    arguments = ("--labels", packed, "--predictions", str(world / "good-rasters"), "--json")
    status, out, _ = _run(capsys, world, "score", *arguments)
    from_pack = json.loads(out)
    assert status == 0
    for card in (from_folders, from_pack):
        del card["seconds"]
    assert from_folders == from_pack


def test_a_refusal_exits_1_with_its_reasons(
    capsys: pytest.CaptureFixture[str], world: Path
) -> None:
    status, document, _ = _score(capsys, world, "short.zip")
    assert status == 1
    assert sorted(document) == ["errors", "more"]
    assert [sorted(e) for e in document["errors"]] == [["code", "file", "message"]]
    assert "004" in document["errors"][0]["message"]
    arguments = ("--labels", str(world / "labels"), "--predictions", str(world / "short.zip"))
    status, out, _ = _run(capsys, world, "score", *arguments)
    assert (status, out.splitlines()[0]) == (1, "Refused:")


def test_at_most_twenty_errors_are_listed(capsys: pytest.CaptureFixture[str], world: Path) -> None:
    spec = builders.task()
    truth = builders.masks(spec, count=30)
    builders.write_mask_folders(world / "labels", truth)
    builders.write_archive(world / "bad.zip", {i: np.full_like(m, 9) for i, m in truth.items()})
    status, document, _ = _score(capsys, world, "bad.zip")
    assert status == 1
    assert len(document["errors"]) == 20
    assert document["more"] == 10


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["score", "--labels", "nowhere", "--predictions", "nowhere"], "nowhere does not exist"),
        (["score", "--labels", ".", "--predictions", ".", "--spec", "x"], "no specification 'x'"),
        (["pack", "--labels", ".", "--out", "pack"], "holds no mask"),
        (["compare", "good.zip", "good.zip"], "not an evidence file"),
        (["validate", "--predictions", ".", "--ids", "good.txt"], "good.txt does not exist"),
        (["bench", "--patches", "0"], "at least 9"),
    ],
)
def test_our_own_or_the_callers_fault_exits_2(
    capsys: pytest.CaptureFixture[str],
    world: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    (world / "empty").mkdir()
    monkeypatch.chdir(world)
    if arguments[0] == "pack":
        monkeypatch.chdir(world / "empty")
    assert cli.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err


def test_wrong_usage_exits_2(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["score"], ["scores"], ["score", "--labels"]):
        with pytest.raises(SystemExit) as caught:
            cli.main(arguments)
        assert caught.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_a_broken_mask_exits_2_with_its_name(
    capsys: pytest.CaptureFixture[str], world: Path
) -> None:
    (world / "labels" / "D001_2020" / "Z1_UN" / "msk" / "MSK_002.tif").write_bytes(b"II*\0")
    status, _, err = _score(capsys, world, "good.zip")
    assert status == 2
    assert "MSK_002.tif" in err


def test_validate_needs_no_label(capsys: pytest.CaptureFixture[str], world: Path) -> None:
    predictions = ("--predictions", str(world / "good.zip"), "--json")
    status, out, _ = _run(capsys, world, "validate", *predictions)
    assert (status, json.loads(out)["patches"]) == (0, 12)
    status, out, _ = _run(
        capsys, world, "validate", "--predictions", str(world / "short.zip"), "--json"
    )
    assert status == 1
    assert json.loads(out)["errors"][0]["code"]


@pytest.mark.parametrize("kind", ["csv", "masks", "images", "zip"])
def test_ids_come_from_a_csv_a_folder_or_a_zip(
    capsys: pytest.CaptureFixture[str], world: Path, kind: str
) -> None:
    (world / "ids.csv").write_text("patch\n" + "\n".join(f"{i:03d}" for i in range(1, 13)))
    (world / "images").mkdir()
    for i in range(1, 13):
        (world / "images" / f"IMG_{i:03d}.tif").touch()
    sources = {"csv": "ids.csv", "masks": "labels", "images": "images", "zip": "good.zip"}
    arguments = ("--ids", str(world / sources[kind]), "--predictions", str(world / "good.zip"))
    assert _run(capsys, world, "validate", *arguments)[0] == 0
    arguments = ("--ids", str(world / sources[kind]), "--predictions", str(world / "short.zip"))
    assert _run(capsys, world, "validate", *arguments)[0] == 1


def test_compare_says_which_is_better(capsys: pytest.CaptureFixture[str], world: Path) -> None:
    good, worse = str(world / "good.evidence"), str(world / "worse.json")
    _score(capsys, world, "good.zip", "--evidence", good)
    _, card, _ = _score(capsys, world, "worse.zip")
    Path(worse).write_text(json.dumps(card))
    spec = ("--spec", str(world / "tiny.toml"))
    status, out, _ = _run(capsys, world, "compare", good, worse, "--json", *spec)
    document = json.loads(out)
    assert status == 0
    assert document["n_zones"] == 4
    assert document["miou"]["probability_a_better"] == 1.0
    assert document["miou"]["interval"][0] > 0
    _, out, _ = _run(capsys, world, "compare", worse, good, *spec)
    assert "B is better" in out
    _, out, _ = _run(capsys, world, "compare", good, good, *spec)
    assert "No clear difference" in out


def test_compare_refuses_other_patches(capsys: pytest.CaptureFixture[str], world: Path) -> None:
    _, card, _ = _score(capsys, world, "good.zip")
    (world / "a.json").write_text(json.dumps(card))
    zones = dict(card["zones"])
    zones.pop(min(zones))
    (world / "b.json").write_text(json.dumps({**card, "zones": zones}))
    (world / "c.json").write_text(json.dumps({**card, "spec_digest": "0"}))
    spec = ("--spec", str(world / "tiny.toml"))
    for other, message in (("b.json", "different zones: 4 and 3"), ("c.json", "another version")):
        paths = (str(world / "a.json"), str(world / other))
        status, _, err = _run(capsys, world, "compare", *paths, *spec)
        assert status == 2
        assert message in err


def test_rescore_from_evidence(capsys: pytest.CaptureFixture[str], world: Path) -> None:
    evidence = str(world / "good.evidence")
    _, card, _ = _score(capsys, world, "good.zip", "--evidence", evidence)
    status = cli.main(["rescore", evidence, "--json"])
    again = json.loads(capsys.readouterr().out)
    assert status == 0
    assert {**again, "seconds": 0} == {**card, "seconds": 0}
    (world / "some.csv").write_text("patch\n001\n002\n")
    cli.main(["rescore", evidence, "--ids", str(world / "some.csv"), "--json"])
    assert json.loads(capsys.readouterr().out)["patches"] == 2


def test_it_runs_as_a_module(world: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scoring", "--version"],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).resolve().parents[3],
    )
    assert done.stdout.strip() == f"scoring {__version__} (score engine {ENGINE_VERSION})"


def test_the_official_sample(capsys: pytest.CaptureFixture[str]) -> None:
    """IGN's own fifty predictions: valid against their ids, refused against the whole list."""
    data = shared_data()
    if data is None:
        pytest.skip("the shared sample data are not here: set SHARED_DATA")
    sample = str(data / "official_sample" / "predictions_TOY.zip")
    assert cli.main(["validate", "--ids", sample, "--predictions", sample, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["patches"] == 50
    assert cli.main(["validate", "--predictions", sample, "--json"]) == 1
    messages = [e["message"] for e in json.loads(capsys.readouterr().out)["errors"]]
    assert any("15650 of 15700" in message for message in messages)


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "utf-8"])
def test_names_that_a_terminal_cannot_show_are_escaped(world: Path, encoding: str) -> None:
    with zipfile.ZipFile(world / "good.zip", "a") as archive:
        archive.writestr("PRED_予é.tif", b"who knows")

    def run(*more: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, "-m", "scoring", "score", "--labels", "labels", "--spec", "tiny.toml",
             "--predictions", "good.zip", *more],
            cwd=world, capture_output=True, check=False,
            env={**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"},
        )  # fmt: skip

    completed = run()
    assert (completed.returncode, completed.stderr) == (1, b"")
    assert ("PRED_予é.tif" if encoding == "utf-8" else "PRED_\\u4e88") in completed.stdout.decode(
        encoding
    )
    listed = run("--json")
    assert listed.returncode == 1
    (error,) = json.loads(listed.stdout.decode(encoding))["errors"]
    assert error["file"] == "PRED_予é.tif"
