"""The runner as a worker starts it: one run on two devices (here processes on the CPU)."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="the extra `baselines` is not installed")

from baselines.bench import learning
from baselines.runner import STOP_SIGNAL, Job
from baselines.train import state

SMALL: dict[str, Any] = {
    "training.epochs": 2, "training.batch_size": 2, "training.precision": "fp32",
    "network.options": {"encoder": "resnet18", "decoder_channels": [32, 24, 16, 12, 8]},
}  # fmt: skip


def job(tree: Path, folder: Path) -> Job:
    return Job(
        recipe="tiny-unet", seed=7, data_root=str(tree), run_dir=str(folder / "run"),
        cache_dir=str(folder / "cache"), parent_pid=os.getpid(), overrides=SMALL, devices=2,
    )  # fmt: skip


@contextmanager
def started(one: Job, log: Path) -> Iterator[subprocess.Popen[str]]:
    with (
        log.open("w") as said,
        subprocess.Popen(
            [sys.executable, "-m", "baselines.runner", "run"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        ) as runner,
    ):  # fmt: skip
        assert runner.stdin is not None
        runner.stdin.write(one.to_json() + "\n")
        runner.stdin.close()
        try:
            yield runner
            runner.wait(timeout=300)
        finally:
            runner.kill()


def beside(one: Job) -> list[int]:
    """Processes of this job, found by the folder in their environment."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if one.run_dir.encode() in (place / "environ").read_bytes():
                found.append(int(place.name))
        except OSError:  # it ended meanwhile
            continue
    return found


def test_two_devices_train_one_run_and_one_predicts(tree: Path, tmp_path: Path) -> None:
    spec = learning.small_spec(tree)
    ids = [patch.id for patch in spec.expected]
    whole = dataclasses.replace(
        job(tree, tmp_path), spec=json.loads(json.dumps(spec.to_json())), ids=ids
    )
    with started(whole, tmp_path / "log") as runner:
        assert runner.stdout is not None
        events = [json.loads(line) for line in runner.stdout]
    log = (tmp_path / "log").read_text()
    assert runner.returncode == 0, log
    assert [event["processes"] for event in events if event["event"] == "start"] == [2], log
    assert [event["epoch"] for event in events if event["event"] == "epoch"] == [0, 1]
    assert events[-1]["event"] == "done"
    assert events[-1]["result"]["patches"] == len(ids)
    assert Path(events[-1]["result"]["archive"]).is_file()
    _, saved = state.load_best(Path(whole.run_dir))
    assert saved["progress"]["epochs_done"] == events[-1]["result"]["best_epoch"]


def test_both_stop_where_the_first_is_asked_to(tree: Path, tmp_path: Path) -> None:
    endless = dataclasses.replace(
        job(tree, tmp_path),
        overrides=SMALL | {"training.epochs": 5000, "training.patience": 5000},
    )
    kinds = []
    with started(endless, tmp_path / "log") as runner:
        assert runner.stdout is not None
        for line in runner.stdout:
            kinds.append(json.loads(line)["event"])
            if kinds.count("epoch") == 1 and kinds[-1] == "epoch":
                assert beside(endless)
                runner.send_signal(STOP_SIGNAL)
    assert kinds[-1] == "stopped", (tmp_path / "log").read_text()
    assert runner.returncode == 0
    assert not beside(endless)


def test_a_recipe_may_take_fewer_devices_than_there_are(tree: Path, tmp_path: Path) -> None:
    alone = dataclasses.replace(
        job(tree, tmp_path), overrides=SMALL | {"training.epochs": 1, "training.devices": 1}
    )
    with started(alone, tmp_path / "log") as runner:
        assert runner.stdout is not None
        events = [json.loads(line) for line in runner.stdout]
    assert [event["processes"] for event in events if event["event"] == "start"] == [1]
    assert events[-1]["event"] == "done"
