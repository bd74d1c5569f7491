"""A real worker trains on tiny data: to the leaderboard, through a kill, until it is cancelled."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from challenge.models import Phase, RankLine, Submission, TrainingRun
from challenge.selectors import training
from challenge.services.training import training_runs
from tests.factories import make_organiser
from tests.training.real import (
    DATA_ROOT,
    SMALLER,
    GpuWorker,
    make_toy,
    make_training_phase,
    runners_of,
)

pytest.importorskip("torch", reason="the extra `baselines` is not installed")

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("running_servers"),
]


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_toy(tmp_path_factory.mktemp("data"))


@pytest.fixture
def worker(tmp_path: Path, toy: Path) -> Iterator[GpuWorker]:
    worker = GpuWorker(tmp_path / "worker", data=toy.parent, labels=tmp_path / "labels")
    yield worker
    worker.stop()


@pytest.fixture
def phase(worker: GpuWorker, toy: Path) -> Phase:
    return make_training_phase(toy, worker.labels)


def start(phase: Phase | None, **changes: Any) -> TrainingRun:
    fields = {"recipe": "tiny-unet", "data_root": DATA_ROOT, "actor": None, "seed": 7} | changes
    fields["overrides"] = SMALLER | fields.get("overrides", {})
    return training_runs.create(phase=phase, **fields)


def state(run: TrainingRun) -> str:
    run.refresh_from_db()
    return run.state


def scored_miou(run: TrainingRun) -> float | None:
    assert run.submission is not None
    return run.submission.evaluations.get().score.miou


def test_a_killed_worker_costs_nothing_and_the_baseline_is_on_the_board(
    worker: GpuWorker, phase: Phase
) -> None:
    run, twin = (start(phase, group="U-Net, small") for _ in range(2))
    worker.start()
    worker.wait_until(lambda: run.points.count() >= 1, "the first epoch")
    assert runners_of(run.pk)
    worker.kill()
    worker.wait_until(lambda: not runners_of(run.pk), "the end of the training")
    assert state(run) == "running", "killed too late"
    assert (worker.runs / str(run.pk) / "last.ckpt").is_file()
    worker.wait_until(lambda: bool(training_runs.sweep().requeued), "the end of the lease")
    worker.start()
    worker.wait_until(lambda: {state(run), state(twin)} == {"succeeded"}, "two ends")
    assert (run.attempt, twin.attempt) == (2, 1)
    assert "1 of 3 epochs done before" in run.log_tail or "2 of 3" in run.log_tail
    # The kill changed nothing: curves, best epoch and score are the undisturbed twin's.
    for key in ("epochs", "best_epoch", "best_miou"):
        assert run.result[key] == twin.result[key]
    curves = [
        [(p.epoch, p.metrics["train_loss"], p.metrics["val_miou"]) for p in one.points.all()]
        for one in (run, twin)
    ]
    assert len(curves[0]) == 3
    assert curves[0] == curves[1]
    worker.wait_until(lambda: RankLine.objects.filter(phase=phase).exists(), "the ranks")
    worker.wait_until(
        lambda: Submission.objects.filter(evaluations__state="scored").count() == 2,
        "two scores",
    )
    assert scored_miou(run) == scored_miou(twin)
    line = RankLine.objects.get(phase=phase)
    assert line.rank is None
    assert line.entry.team.is_platform
    assert all(Submission.objects.values_list("is_baseline", flat=True))
    page = Client().get(reverse("web:leaderboard", args=[phase.challenge.slug, phase.slug]))
    assert "U-Net, small" in page.content.decode()


def test_what_cannot_be_trained_fails_with_its_reason_and_a_run_is_cancelled_while_it_trains(
    worker: GpuWorker, phase: Phase
) -> None:
    unknown = start(phase, recipe="tiny-nothing")
    wrong = start(phase, overrides={"training.epochs": 0})
    big = start(phase, recipe="flair-1-unet")
    elsewhere = start(phase, data_root="mars")
    run = start(phase, overrides={"training.epochs": 500, "training.patience": 500})
    worker.start()
    worker.wait_until(lambda: run.points.count() >= 1, "the first epoch")
    training_runs.cancel(run=run, actor=make_organiser(phase.challenge))
    worker.wait_until(lambda: state(run) == "cancelled", "the end")
    assert not runners_of(run.pk)
    assert run.submission is None
    assert (state(unknown), state(wrong)) == ("failed", "failed")
    assert unknown.error_code == wrong.error_code == "recipe-invalid"
    assert "tiny-unet" in unknown.error_message
    assert "training.epochs" in wrong.error_message
    # No other worker is known to have a GPU, or that data: they wait.
    assert {state(big), state(elsewhere)} == {"queued"}
    # What it can do, the worker told the site.
    (told,) = training.workers()
    assert told.present
    assert told.data_roots == [DATA_ROOT]
    assert {one["name"] for one in told.recipes} == {
        "tiny-demo",
        "tiny-unet",
        "tiny-utae",
        "tiny-utt",
    }
