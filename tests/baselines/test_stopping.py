"""A training that is stopped says so, exits with its own code, and goes on where it was."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the extra `baselines` is not installed")

from baselines import cli  # noqa: E402
from baselines.train import state, stopping  # noqa: E402


def command(tree: Path, out: Path, *, epochs: int, more: tuple[str, ...] = ()) -> list[str]:
    return [
        sys.executable, "-m", "baselines", "train", "tiny-unet", "--data", str(tree), "--out",
        str(out), "--cache", str(tree.parent / "cache"), "--accelerator", "cpu", "--threads", "1",
        "--events", "--set", f"training.epochs={epochs}", "--set", "training.batch_size=1",
        "--set", "training.global_batch_size=2", "--set", "training.patience=100000",
        "--set", "network.options.encoder=tu-test_resnet",
        "--set", 'optimiser.schedule="none"', "--set", 'training.precision="fp32"', *more,
    ]  # fmt: skip


def environment() -> dict[str, str]:
    mine = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
    return mine | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def stopped_by(number: signal.Signals, arguments: list[str]) -> tuple[int, str, str]:
    """Start a training, send the signal in its second epoch; give code and outputs.

    Steps are told by the clock, so that a short epoch may tell none of its own.
    """
    with subprocess.Popen(
        arguments, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as training:
        assert training.stderr is not None
        said = []
        for line in training.stderr:
            said.append(line)
            if '"event": "epoch"' in line:
                training.send_signal(number)
                break
        out, rest = training.communicate(timeout=800)
    return training.returncode, out, "".join(said) + rest


@pytest.mark.parametrize("number", stopping.SIGNALS)
def test_a_signal_stops_a_training_which_goes_on_later(
    number: signal.Signals, tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    code, told, said = stopped_by(number, command(tree, out, epochs=100_000))
    assert code == stopping.EXIT_STOPPED == 75, said
    assert json.loads(told)["state"] == "stopped"
    assert json.loads(told)["reason"] == number.name
    assert f"stopped by {number.name} after" in said
    assert "Traceback" not in said
    done = state.load(out / state.LAST)["progress"]["epochs_done"]
    assert json.loads((out / state.RUN).read_text())["state"] == "stopped"

    predicting = ["predict", str(out), "--data", str(tree), "--out", str(tmp_path / "predictions")]
    assert done >= 1
    assert cli.main(predicting) == 1
    refusal = capsys.readouterr().err
    assert f"the training is not finished, it has {done} of 100000 epochs" in refusal
    assert "--allow-unfinished" in refusal
    assert cli.main([*predicting, "--allow-unfinished"]) == 0

    requeued = subprocess.run(
        command(tree, out, epochs=done + 1), env=environment(), capture_output=True, text=True,
        timeout=800, check=False,
    )  # fmt: skip
    assert requeued.returncode == 0, requeued.stderr
    assert json.loads(requeued.stdout)["epochs"] == done + 1
    with (out / "metrics.csv").open() as source:
        assert [int(row["epoch"]) for row in csv.DictReader(source)] == list(range(1, done + 2))
    assert cli.main(predicting) == 0


def test_a_time_limit_stops_a_training(tree: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        command(tree, tmp_path / "run", epochs=100_000, more=("--time-limit", "8s")),
        env=environment(), capture_output=True, text=True, timeout=800, check=False,
    )  # fmt: skip
    assert done.returncode == stopping.EXIT_STOPPED, done.stderr
    assert json.loads(done.stdout)["reason"] == "the time limit"


def test_what_is_no_time_limit_is_named() -> None:
    with pytest.raises(ValueError, match="time limit 'soon'; allowed are seconds"):
        stopping.seconds("soon")
