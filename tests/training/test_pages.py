"""Organisers start, watch, compare and cancel runs; several seeds are one line of the board."""

from __future__ import annotations

import re
import statistics
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from baselines import run_progress
from challenge.embedded.data_folder import ROOT
from challenge.errors import Refusal
from challenge.models import Phase, RankLine, Score, Submission, TrainingRun
from challenge.services.leaderboard import ranks
from challenge.services.training import results, training_runs, workers
from tests.factories import (
    give_score,
    make_challenge,
    make_organiser,
    make_phase,
    make_user,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("running_servers")]

RECIPES = [
    {"name": "tiny-unet", "title": "Tiny U-Net", "published_miou": None},
    {"name": "flair-1-unet", "title": "U-Net", "published_miou": 0.5443},
]


@pytest.fixture
def phase() -> Phase:
    now = timezone.now()
    challenge = make_challenge()
    make_organiser(challenge, make_user("organiser"))
    return make_phase(
        challenge, opens_at=now - timedelta(days=1), closes_at=now + timedelta(days=1)
    )


@pytest.fixture
def organiser(phase: Phase) -> Client:
    client = Client()
    client.force_login(phase.challenge.roles.get().user)
    return client


@pytest.fixture
def _a_worker() -> None:
    device = {"kind": "cuda", "name": "A GPU", "memory_bytes": 80 * 10**9, "count": 1}
    workers.announce("gpu@machine", device=device, recipes=RECIPES, data_roots=["flair-1", "toy"])


def address(phase: Phase, name: str = "training", *more: Any) -> str:
    return reverse(f"web:{name}", args=[phase.challenge.slug, *more])


def form(for_phase: Phase, /, **changes: str) -> dict[str, str]:
    return {
        "recipe": "flair-1-unet",
        "data_root": "flair-1",
        "phase": str(for_phase.pk),
        "seeds": "1, 2 3",
        "changes": "training.epochs = 20\ntraining.precision = fp32",
    } | changes


def make_run(phase: Phase, *, group: str = "", epochs: int = 0, seed: int = 1) -> TrainingRun:
    run = training_runs.create(
        recipe="tiny-unet", data_root="toy", actor=None, phase=phase, seed=seed, group=group
    )
    if epochs:
        assert training_runs.claim(worker="w")
        for epoch in range(epochs):
            metrics = {"train_loss": 2.0 - epoch / 10, "val_loss": 2.1, "val_miou": 0.1 * epoch}
            training_runs.record_epoch(run.pk, attempt=1, epoch=epoch, metrics=metrics)
        training_runs.heartbeat(
            run.pk,
            attempt=1,
            stage="training",
            progress={"epoch": epochs, "epochs": 12, "eta_s": 75, "gpu_memory_bytes": 2 * 10**9},
            device={"name": "A GPU", "memory_bytes": 80 * 10**9},
            log_tail="its last line",
        )
    return run


def finish(run: TrainingRun, folder: Any, *, miou: float) -> Submission:
    archive = folder / "predictions.zip"
    archive.write_bytes(b"PK")
    result = {"title": "Tiny U-Net", "epochs": 3, "best_epoch": 2, "best_miou": 0.4, "seconds": 9}
    submission = results.submit(
        run.pk, attempt=1, archive_path=archive, result=result, hardware="A GPU"
    )
    give_score(submission, miou, at=timezone.now())
    return submission


@pytest.mark.usefixtures("_a_worker")
def test_a_form_with_three_seeds_queues_three_runs_of_one_name(
    phase: Phase, organiser: Client
) -> None:
    page = organiser.get(address(phase)).content.decode()
    assert "U-Net (flair-1-unet), published 54.43" in page
    assert "A GPU" in page
    answer = organiser.post(address(phase), form(phase))
    assert answer.status_code == 302
    runs = TrainingRun.objects.order_by("seed")
    assert [run.seed for run in runs] == [1, 2, 3]
    assert {run.group for run in runs} == {"U-Net"}
    assert runs[0].overrides == {"training.epochs": 20, "training.precision": "fp32"}
    assert "U-Net, seed 3" in organiser.get(address(phase)).content.decode()


def test_the_form_proposes_the_data_set_that_is_named_like_the_challenge(
    phase: Phase, organiser: Client
) -> None:
    slug = phase.challenge.slug
    roots = ["aaa", f"{slug}-demo", "zzz"]
    device = {"kind": "cpu", "name": "CPU", "memory_bytes": 10**9}
    workers.announce("gpu@machine", device=device, recipes=RECIPES, data_roots=roots)
    page = organiser.get(address(phase)).content.decode()
    assert f'<option value="{slug}-demo" selected>' in page


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        ("extra-missing", "Run make install-baselines"),
        ("runner-broken", "its log says why"),
        ("", "BASELINES_DATA_DIR"),
    ],
)
def test_a_worker_that_cannot_train_says_what_is_missing(
    phase: Phase, organiser: Client, problem: str, said: str
) -> None:
    device = {} if problem else {"kind": "cpu", "name": "CPU, 2 threads", "memory_bytes": 10**9}
    recipes = [] if problem else RECIPES
    workers.announce("gpu@machine", device=device, recipes=recipes, data_roots=[], problem=problem)
    page = organiser.get(address(phase)).content.decode()
    assert said in page
    assert "No worker can train yet" in page
    assert 'name="seeds"' not in page


def test_a_machine_without_torch_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'torch'\")"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert run_progress.query_capabilities(ROOT) == run_progress.RunnerCapabilities(
        problem="extra-missing"
    )


@pytest.mark.usefixtures("_a_worker")
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seeds", "one"),
        ("seeds", "1 1"),
        ("seeds", " ".join(map(str, range(21)))),
        ("recipe", "../../etc/passwd"),
        ("data_root", "elsewhere"),
        ("changes", "training.epochs"),
        ("changes", "rm -rf = 1"),
        ("phase", "999999"),
    ],
)
def test_form_errors_are_shown_at_their_field(
    phase: Phase, organiser: Client, field: str, value: str
) -> None:
    answer = organiser.post(address(phase), form(phase, **{field: value}))
    assert answer.status_code == 422
    assert field in answer.context["form"].errors
    assert not TrainingRun.objects.exists()


def test_without_a_worker_there_is_nothing_to_choose(phase: Phase, organiser: Client) -> None:
    cache.clear()
    page = organiser.get(address(phase)).content.decode()
    assert "No GPU worker" in page
    assert "<select" not in page.partition("<main")[2]


def test_a_run_is_followed_while_it_trains(phase: Phase, organiser: Client) -> None:
    run = make_run(phase, epochs=3)
    page = organiser.get(address(phase, "training-run", run.pk)).content.decode()
    for shown in ("Epoch 3 of 12", "1 min 15 s", "2.0\u00a0GB", "its last line"):
        assert shown in page
    assert page.count('class="curve') == 3
    assert '<meta http-equiv="refresh"' in page
    live = organiser.get(address(phase, "training-live", run.pk)).content.decode()
    assert "Epoch 3 of 12" in live
    assert "<html" not in live
    training_runs.heartbeat(
        run.pk, attempt=1, stage="predicting", device={}, log_tail="",
        progress={"epoch": 12, "epochs": 12, "done": 30, "total": 120},
    )  # fmt: skip
    live = organiser.get(address(phase, "training-live", run.pk)).content.decode()
    assert "30 of 120 patches" in live
    assert 'value="25.0"' in live
    assert "Epoch" not in live
    training_runs.complete(run.pk, attempt=1, result={"best_miou": 0.2})
    assert organiser.get(address(phase, "training-live", run.pk)).headers["HX-Refresh"] == "true"
    page = organiser.get(address(phase, "training-run", run.pk)).content.decode()
    assert "data-hx-get" not in page


def test_cancel_and_queue_again(phase: Phase, organiser: Client) -> None:
    waiting, running = make_run(phase), make_run(phase, seed=2)
    answer = organiser.post(address(phase, "cancel-training", waiting.pk), follow=True)
    assert "It is cancelled; no worker will take it." in answer.content.decode()
    waiting.refresh_from_db()
    assert waiting.state == "cancelled"
    assert training_runs.claim(worker="w")
    organiser.post(address(phase, "cancel-training", running.pk))
    assert training_runs.heartbeat(running.pk, attempt=1).cancel
    assert "stopping" in organiser.get(address(phase, "training-run", running.pk)).content.decode()
    training_runs.fail(running.pk, attempt=1, code="out-of-memory", message="CUDA <is> full")
    page = organiser.get(address(phase, "training-run", running.pk)).content.decode()
    assert "CUDA &lt;is&gt; full" in page
    organiser.post(address(phase, "requeue-training", running.pk))
    running.refresh_from_db()
    assert running.state == "queued"


def test_another_challenges_runs_are_not_here(phase: Phase, organiser: Client) -> None:
    other = make_phase(make_challenge("other"))
    run = make_run(other)
    for name in ("training-run", "training-live"):
        assert organiser.get(address(phase, name, run.pk)).status_code == 404
    assert organiser.post(address(phase, "cancel-training", run.pk)).status_code == 404
    page = organiser.get(address(phase, "training-compare") + f"?run={run.pk}&run=x")
    assert page.context["lines"] == []
    assert organiser.get(address(other)).status_code == 403


def test_seeds_of_one_name_are_one_line_with_mean_and_deviation(
    phase: Phase, organiser: Client, tmp_path: Any
) -> None:
    mious = [0.51, 0.53, 0.57]
    runs = []
    for seed, miou in enumerate(mious):
        run = make_run(phase, group="U-Net", epochs=1, seed=seed)
        finish(run, tmp_path, miou=miou)
        runs.append(run)
    ranks.recompute(phase=phase)
    assert Score.objects.count() == 3
    assert RankLine.objects.get(phase=phase).rank is None
    board = (
        Client()
        .get(reverse("web:leaderboard-json", args=[phase.challenge.slug, phase.slug]))
        .json()
    )
    (line,) = board["lines"]
    mean, std = statistics.fmean(mious), statistics.stdev(mious)
    assert line["kind"] == "baseline"
    assert line["team"] == "Baselines"
    assert line["method"] == "U-Net · mean of 3 seeds"
    assert line["miou"] == round(mean, 4)
    assert line["interval"] == [round(mean - std, 4), round(mean + std, 4)]
    assert line["class_ious"]["a"] == round(mean, 4)
    shown = Client().get(reverse("web:leaderboard", args=[phase.challenge.slug, phase.slug]))
    assert re.search(rf"{mean * 100:.2f}<span[^>]*> ±{std * 100:.2f}", shown.content.decode())
    chosen = "&".join(f"run={run.pk}" for run in runs)
    page = organiser.get(address(phase, "training-compare") + "?" + chosen).content.decode()
    assert f"{mean * 100:.2f} ±{std * 100:.2f}" in page
    assert page.count('class="curve') == 9
    finish(make_run(phase, group="U-Net", epochs=1, seed=2), tmp_path, miou=0.58)
    ranks.recompute(phase=phase)
    again = reverse("web:leaderboard-json", args=[phase.challenge.slug, phase.slug])
    (line,) = Client().get(again).json()["lines"]
    assert line["method"] == "U-Net · mean of 3 seeds"  # the same one twice is still one
    assert line["miou"] == round(statistics.fmean([0.51, 0.53, 0.58]), 4)


def test_a_baseline_is_submitted_outside_the_window_and_to_an_unpublished_phase(
    phase: Phase, tmp_path: Any
) -> None:
    phase.is_published = False
    phase.opens_at = timezone.now() + timedelta(days=1)
    phase.closes_at = None
    phase.save()
    first, second = make_run(phase, epochs=1), make_run(phase, epochs=1, seed=2)
    submissions = [finish(first, tmp_path, miou=0.5), finish(second, tmp_path, miou=0.5)]
    assert {one.entry.team.name for one in submissions} == {"Baselines"}
    assert submissions[0].submitted_by.has_usable_password() is False
    assert submissions[0].hardware == "A GPU"
    first.refresh_from_db()
    assert (first.state, first.submission) == ("succeeded", submissions[0])


def test_a_worker_with_an_old_attempt_submits_nothing(phase: Phase, tmp_path: Any) -> None:
    run = make_run(phase, epochs=1)
    training_runs.sweep(now=timezone.now() + timedelta(hours=1))
    with pytest.raises(Refusal, check=lambda refusal: refusal.code == "late-worker"):
        finish(run, tmp_path, miou=0.5)
    assert not Submission.objects.exists()
