"""Two trainings never share a folder: real processes, ended by SIGKILL and on their own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from baselines.train import folder_lock
from baselines.train.folder_lock import FolderLocked

HOLD = (
    "import sys\n"
    "from pathlib import Path\n"
    "from baselines.train import folder_lock\n"
    "with folder_lock.held(Path(sys.argv[1]), on_note=print):\n"
    "    print('held', flush=True)\n"
    "    sys.stdin.read()\n"
)


@contextmanager
def holding(folder: Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the folder's lock until its input ends."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process


def try_to_hold(folder: Path) -> None:
    with folder_lock.held(folder, on_note=pytest.fail):
        pass


def test_a_second_process_is_refused_and_told_who_holds_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with holding(folder) as other:
        with pytest.raises(FolderLocked) as refused:
            try_to_hold(folder)
        said = str(refused.value)
        assert f"process {other.pid} on {socket.gethostname()}" in said
        assert f"kill {other.pid}" in said
        assert str(folder) in said
    try_to_hold(folder)


def test_a_job_of_slurm_is_named(tmp_path: Path) -> None:
    with (
        holding(tmp_path, SLURM_JOB_ID="4711"),
        pytest.raises(FolderLocked, match=r"Slurm job 4711.*scancel 4711"),
    ):
        try_to_hold(tmp_path)


def test_a_lock_does_not_outlive_a_killed_process(tmp_path: Path) -> None:
    with holding(tmp_path) as other:
        os.kill(other.pid, signal.SIGKILL)
        other.wait(timeout=300)
        try_to_hold(tmp_path)


def test_train_refuses_a_folder_in_which_another_process_trains(tmp_path: Path) -> None:
    """Before the lock both trained on, and each overwrote the other's checkpoints."""
    pytest.importorskip("torch", reason="the extra `baselines` is not installed")
    synth = ["synth", str(tmp_path / "data"), "--patch-px", "64", "--train", "8", "--val", "4"]
    command = [sys.executable, "-m", "baselines"]
    subprocess.run([*command, *synth, "--test", "0", "--dates", "2", "3"], check=True)
    with holding(tmp_path / "run") as other:
        done = subprocess.run(
            [*command, "train", "tiny-unet", "--data", str(tmp_path / "data"), "--out",
             str(tmp_path / "run"), "--accelerator", "cpu", "--threads", "1"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert f"process {other.pid} on" in done.stderr
    assert not (tmp_path / "run" / "run.json").exists()
