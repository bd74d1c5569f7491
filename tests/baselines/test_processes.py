"""A training of several processes: who starts them, which one speaks, what each is given."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="the extra `baselines` is not installed")

from torch.distributed import utils as distributed  # noqa: E402

from baselines import (  # noqa: E402
    cli,
    dependencies,
    train,
)
from baselines.train import processes, state  # noqa: E402
from baselines.train import recipe as recipes  # noqa: E402
from baselines.train.module import RawBatch  # noqa: E402

SETTINGS = {
    "training.epochs": 1, "training.batch_size": 1, "training.precision": "fp32",
    "network.options": {"encoder": "tu-test_resnet", "decoder_channels": [32, 24, 16, 12, 8]},
}  # fmt: skip
JOB = {
    "SLURM_JOB_ID": "1234", "SLURM_JOB_NAME": "train", "SLURM_NODEID": "0", "SLURM_NNODES": "1",
    "SLURM_STEP_ID": "0",
}  # fmt: skip


def task(number: int, *, of: int) -> dict[str, str]:
    """What Slurm tells one of some tasks of a step on one machine."""
    return JOB | {
        "SLURM_NTASKS": str(of), "SLURM_NTASKS_PER_NODE": str(of), "SLURM_STEP_NUM_TASKS": str(of),
        "SLURM_PROCID": str(number), "SLURM_LOCALID": str(number),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("told", "first"),
    [
        ({}, True),
        ({"LOCAL_RANK": "0"}, True),
        ({"LOCAL_RANK": "1"}, False),
        (task(0, of=4), True),
        (task(3, of=4), False),
        # What Lightning starts itself inherits the number of the task.
        (task(0, of=1) | {"LOCAL_RANK": "2"}, False),
        # The first process of torchrun's second machine.
        ({"RANK": "4", "LOCAL_RANK": "0"}, False),
    ],
)
def test_the_first_process_is_known(
    told: dict[str, str], first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    assert processes.is_first() is first


@pytest.mark.parametrize(
    ("told", "starter"),
    [
        ({}, []),
        (task(0, of=1), ["LightningEnvironment"]),
        (task(0, of=4), ["SLURMEnvironment"]),
        # A batch script of four tasks without srun: one process.
        ({"SLURM_JOB_ID": "1", "SLURM_NTASKS": "4"}, ["LightningEnvironment"]),
        (task(0, of=1) | {"TORCHELASTIC_RUN_ID": "x"}, []),
    ],
)
def test_a_scheduler_starts_the_processes_only_where_it_does(
    told: dict[str, str], starter: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (*task(0, of=1), "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    dependencies.lightning()
    assert [type(plugin).__name__ for plugin in processes.plugins()] == starter


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def command(tree: Path, out: Path, *, devices: str = "2") -> list[str]:
    changes = [f"{key}={value}" for key, value in SETTINGS.items() if isinstance(value, str | int)]
    return [
        sys.executable, "-m", "baselines", "train", "tiny-unet", "--data", str(tree), "--out",
        str(out), "--cache", str(tree.parent / "cache"), "--accelerator", "cpu", "--devices",
        devices, "--threads", "1", "--events", "--no-resume",
        *(part for change in changes for part in ("--set", change)),
    ]  # fmt: skip


def environment(told: dict[str, str]) -> dict[str, str]:
    mine = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
    return mine | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"} | told


def started(arguments: list[str], *, told: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        arguments, env=environment(told), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def starts(said: str) -> list[int]:
    events = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    return [event["processes"] for event in events if event["event"] == "start"]


def test_one_task_of_slurm_uses_all_its_devices(tree: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        command(tree, tmp_path / "run"), env=environment(task(0, of=1)),
        capture_output=True, text=True, timeout=800, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert starts(done.stderr) == [2]


def test_of_two_tasks_of_slurm_one_makes_the_folder_and_speaks(tree: Path, tmp_path: Path) -> None:
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    running = [
        started(command(tree, tmp_path / "run"), told=task(number, of=2) | meeting)
        for number in (1, 0)
    ]
    try:
        (second, second_said), (first, first_said) = [
            one.communicate(timeout=800) for one in running
        ]
    finally:
        for one in running:
            one.kill()
    assert [one.returncode for one in running] == [0, 0], first_said + second_said
    assert (second, starts(second_said)) == ("", [])
    assert json.loads(first)["epochs"] == 1
    assert starts(first_said) == [2]
    _, saved = state.load_best(tmp_path / "run")
    assert saved["progress"]["epochs_done"] == 1


def test_of_two_machines_of_torchrun_one_writes_and_both_train(tree: Path, tmp_path: Path) -> None:
    """Two agents of torchrun with a process each, as on two machines that share their folders."""
    port = free_port()
    running = []
    for number in (1, 0):
        torchrun = [
            sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--node-rank",
            str(number), "--nproc-per-node", "1", "--master-addr", "127.0.0.1", "--master-port",
            port, "-m", *command(tree, tmp_path / "run", devices="auto")[2:],
        ]  # fmt: skip
        running.append(started(torchrun, told={}))
    try:
        (second, second_said), (first, first_said) = [
            one.communicate(timeout=800) for one in running
        ]
    finally:
        for one in running:
            one.kill()
    assert [one.returncode for one in running] == [0, 0], first_said + second_said
    assert (second, starts(second_said)) == ("", [])
    assert json.loads(first)["epochs"] == 1
    assert starts(first_said) == [2]
    _, saved = state.load_best(tmp_path / "run")
    assert saved["progress"]["epochs_done"] == 1


@pytest.mark.parametrize(
    ("told", "nodes", "devices"),
    [
        ({}, 1, "auto"),
        ({"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4"}, 2, 4),
        ({"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}, 1, 2),
        (task(0, of=4) | {"SLURM_NNODES": "2", "SLURM_STEP_NUM_NODES": "2"}, 2, "auto"),
        (task(0, of=1) | {"SLURM_NNODES": "2"}, 1, "auto"),
    ],
)
def test_machines_are_counted_as_their_scheduler_tells(
    told: dict[str, str], nodes: int, devices: int | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (*task(0, of=1), "SLURM_STEP_NUM_NODES", "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    assert (processes.nodes(), processes.devices_here("auto")) == (nodes, devices)
    if isinstance(devices, int):
        with pytest.raises(ValueError, match=f"torchrun started {devices} processes"):
            processes.devices_here(3)


def test_several_gpus_leave_a_batch_to_the_step() -> None:
    """DDP moves what it knows to its device, each tensor with a wait."""
    batch = {"padding": torch.zeros(2, 3, dtype=torch.bool)}
    meta = torch.device("meta")
    moved: Any = distributed._recursive_to((batch,), meta, False)
    assert moved[0][0]["padding"].device == meta
    held: Any = distributed._recursive_to((RawBatch(batch),), meta, False)
    assert held[0][0].batch["padding"].device.type == "cpu"


def test_more_processes_than_patches_are_refused(tree: Path, tmp_path: Path) -> None:
    recipe = recipes.changed(recipes.load("tiny-unet"), SETTINGS)
    with pytest.raises(ValueError, match="4 validation patches for 5 processes"):
        train.run(recipe, data_root=tree, out_dir=tmp_path, accelerator="cpu", devices=5)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_devices_that_are_not_there_are_refused(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = cli.main(
        ["train", "tiny-unet", "--data", str(tree), "--out", str(tmp_path), "--accelerator", "gpu"]
    )
    assert code == 1
    assert "accelerator 'gpu', devices 'auto'" in capsys.readouterr().err
