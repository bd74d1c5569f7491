"""The demo: what it submits, what it refuses to touch, and the whole of it as one types it."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from PIL import Image
from pytest_django import Settings

from challenge.demo import data
from challenge.demo.data import Bend
from challenge.demo.people import PLAYERS
from challenge.models import Challenge, GroundTruth, Phase, User
from challenge.services.challenges import challenges
from scoring.engine.metrics import metrics
from scoring.engine.synthetic import pair
from scoring.engine.task import specification as task_spec
from scoring.engine.task.specification import SHIPPED, TaskSpec
from scoring.engine.truth import store
from tests.challenges.test_install import write_mask

ROOT = SHIPPED.parent
IDS = ("061713", "061729")


@pytest.fixture(scope="module")
def spec() -> TaskSpec:
    return task_spec.load("flair-1")


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory, spec: TaskSpec) -> Path:
    """Two masks that look like land cover."""
    folder = tmp_path_factory.mktemp("labels")
    for seed, patch_id in enumerate(IDS):
        write_mask(folder / f"MSK_{patch_id}.tif", pair(spec, seed=seed).mask)
    return folder


def predictions(archive: Path) -> dict[str, np.ndarray]:
    found = {}
    with zipfile.ZipFile(archive) as file:
        for name in file.namelist():
            with Image.open(io.BytesIO(file.read(name))) as raster:
                found[name] = np.asarray(raster)
    return found


def miou(archive: Path, labels: Path, spec: TaskSpec) -> float:
    matrix = np.zeros((13, 13), dtype=np.int64)
    for name, classes in predictions(archive).items():
        mask = store.read_mask(labels / name.replace("PRED", "MSK"), spec=spec)
        np.add.at(matrix, (spec.label_table[mask].ravel(), classes.ravel()), 1)
    return float(metrics.measure(matrix, spec=spec).miou)


def test_a_made_prediction_is_worse_the_more_it_is_bent(
    labels: Path, spec: TaskSpec, tmp_path: Path
) -> None:
    bends = [one.bend for p in PLAYERS for one in p.tries if one.bend and not one.bend.one_based]
    scores = [
        miou(
            data.make_predictions(labels, tmp_path / "p.zip", spec=spec, bend=bend),
            labels,
            spec,
        )
        for bend in [Bend(wander_px=0, confused=0), *bends]
    ]
    assert scores[0] == 1.0
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) == 4


def test_a_made_archive_is_the_same_every_time(
    labels: Path, spec: TaskSpec, tmp_path: Path
) -> None:
    bend = Bend(wander_px=3, confused=0.2)
    first, second = (
        predictions(data.make_predictions(labels, tmp_path / n, spec=spec, bend=bend))
        for n in ("a.zip", "b.zip")
    )
    assert list(first) == [f"PRED_{i}.tif" for i in IDS]
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_the_classical_mistake_has_no_zero(labels: Path, spec: TaskSpec, tmp_path: Path) -> None:
    bend = Bend(wander_px=0, confused=0, one_based=True)
    made = predictions(data.make_predictions(labels, tmp_path / "p.zip", spec=spec, bend=bend))
    assert min(int(classes.min()) for classes in made.values()) >= 1


@pytest.mark.django_db
def test_it_leaves_a_real_platform_alone(settings: Settings, tmp_path: Path) -> None:
    settings.LABELS_DIR = tmp_path
    for slug in ("flair-1", "flair-2"):
        challenges.load(SHIPPED / slug)
    challenge = Challenge.objects.get(slug="flair-1")
    truth = GroundTruth.objects.create(
        challenge=challenge, name="practice", version=1, digest="d", patch_count=0, patches=[]
    )
    Phase.objects.filter(challenge=challenge, slug="practice").update(ground_truth=truth)

    with pytest.raises(CommandError, match="ground truth that the demo did not install"):
        call_command("demo")
    assert not User.objects.exists()


def test_make_demo_twice(tmp_path: Path) -> None:
    """What ``make demo SERVE=0`` runs: engines, a real worker, four ranked and one rejected."""
    private = {"FLAIR_DATA_DIR": str(tmp_path / "data")}
    shared = ("DATABASE_URL", "REDIS_URL", "LABELS_DIR", "EVIDENCE_DIR", "STORAGE_URL", "EMAIL_URL",
              "BASELINES_DATA_DIR")  # fmt: skip
    datasets = tmp_path / "data" / "datasets"
    environment = {k: v for k, v in os.environ.items() if k not in shared} | private
    boards = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-m", "challenge.demo.serve", "--no-serve"],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=800,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Warning" not in done.stderr
        boards.append(done.stdout[done.stdout.index("FLAIR #1, practice phase") :])
        assert {path.name for path in datasets.iterdir()} == {"flair-1-demo", "flair-2-demo"}
        assert not list(datasets.rglob("*labels_test*")), "hidden labels lie beside the images"
        tested = [p for p in datasets.rglob("IMG_*.tif") if "aerial_test" in str(p)]
        assert len(tested) == 86
        assert list((datasets / "flair-2-demo" / "flair_2_sen_test").rglob("SEN2_*_data.npy"))
        shutil.rmtree(datasets / "flair-1-demo")

    first, second = boards[0].split("FLAIR #2, practice phase")
    for board in (first, second):
        ranked = re.findall(
            r"^(\d) +(\S.*?)  .* (\d\d?\.\d\d) +\d\d?\.\d\d–\d\d?\.\d\d$", board, re.MULTILINE
        )
        assert [rank for rank, _, _ in ranked] == ["1", "2", "3", "4"]
        assert {team for _, team, _ in ranked} == {player.team for player in PLAYERS}
        assert board.count("Rejected:") == 1
        assert "Predictions are 0-based: subtract 1." in board

    def without_the_password(board: str) -> str:
        return board[: board.index("Log in as")]

    assert without_the_password(boards[0]) == without_the_password(boards[1])
