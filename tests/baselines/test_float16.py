"""Trainings in float16: the loss is scaled, what overflows is skipped, and a resume is exact."""

from __future__ import annotations

import csv
from functools import partial
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="the extra `baselines` is not installed")

from baselines import predict, train  # noqa: E402
from baselines.train import arithmetic, optimiser, scaling, state  # noqa: E402
from baselines.train import recipe as recipes  # noqa: E402
from baselines.train.events import Event  # noqa: E402

SETTINGS: dict[str, Any] = {
    "training.epochs": 2, "training.batch_size": 2, "training.precision": "fp16",
    "training.clip_norm": 1.0, "training.ema": 0.9,
    "network.options": {"encoder": "tu-test_resnet", "decoder_channels": [32, 24, 16, 12, 8]},
}  # fmt: skip


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def trained(tree: Path, out: Path, **more: Any) -> dict[str, Any]:
    recipe = recipes.changed(recipes.load("tiny-unet"), SETTINGS | more.pop("changes", {}))
    more.setdefault("cache_dir", tree.parent / "cache")
    return train.run(recipe, data_root=tree, out_dir=out, accelerator="cpu", **more)


def skipped(run: Path) -> list[int]:
    with (run / "metrics.csv").open(newline="") as source:
        return [int(row["skipped_steps"]) for row in csv.DictReader(source)]


def begin_scaled_by(monkeypatch: pytest.MonkeyPatch, scale: float) -> None:
    monkeypatch.setattr(torch.amp, "GradScaler", partial(torch.amp.GradScaler, init_scale=scale))


def test_a_stopped_run_goes_on_with_its_scale(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first steps overflow, so that the scale at the stop is another than at the start."""
    begin_scaled_by(monkeypatch, 2.0**22)
    trained(tree, tmp_path / "undisturbed")
    steps = 0

    def third() -> bool:
        nonlocal steps
        steps += 1
        return steps == 3

    assert trained(tree, tmp_path / "stopped", should_stop=third)["state"] == "stopped"
    at_stop = state.load(tmp_path / "stopped" / state.LAST)
    assert 0 < at_stop["scaler"]["scale"] < 2.0**22
    assert at_stop["partial"]["skipped_steps"] > 0
    assert trained(tree, tmp_path / "stopped")["state"] == "finished"
    one, other = (state.load(tmp_path / name / state.LAST) for name in ("undisturbed", "stopped"))
    assert one["scaler"] == other["scaler"]
    for key in ("network", "moving"):
        assert all(torch.equal(value, other[key][name]) for name, value in one[key].items())
    assert skipped(tmp_path / "undisturbed") == skipped(tmp_path / "stopped")
    assert predict.run(
        tmp_path / "stopped", data_root=tree, out_dir=tmp_path / "preds", device="cpu"
    )["patches"] == 4  # fmt: skip


def test_a_step_that_overflows_moves_nothing_and_is_counted(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rate follows the position in the run whether or not a step was taken."""
    begin_scaled_by(monkeypatch, 2.0**22)
    rates: dict[str, list[float]] = {}
    plain = optimiser.set_rate

    def noted(made: Any, settings: Any, *, factor: float) -> None:
        plain(made, settings, factor=factor)
        rates.setdefault(name, []).append(made.param_groups[0]["lr"])

    monkeypatch.setattr(optimiser, "set_rate", noted)
    for name in ("fp32", "fp16"):
        trained(tree, tmp_path / name, changes={"training.precision": name})
    assert rates["fp16"] == rates["fp32"]
    assert skipped(tmp_path / "fp32") == [0, 0]
    count = sum(skipped(tmp_path / "fp16"))
    assert 0 < count < 8
    saved = state.load(tmp_path / "fp16" / state.LAST)
    taken = {int(one["step"]) for one in saved["optimiser"]["state"].values()}
    assert taken == {8 - count}
    assert saved["averaged_steps"] == 8 - count
    assert saved["scaler"]["scale"] == 2.0 ** (22 - count)


def test_an_epoch_without_a_step_ends_a_run_only_where_a_smaller_scale_is_no_help() -> None:
    weight = torch.nn.Parameter(torch.zeros(1))
    made = torch.optim.SGD([weight], lr=0.1)
    counted = scaling.Counter(made)
    counted.start(skipped=0)
    assert [counted.look(), counted.look()] == [False, False]
    counted.require_some(0, scale=2.0**30)
    with pytest.raises(ValueError, match="none of the 2 steps of epoch 1 could be taken"):
        counted.require_some(0, scale=0.5)
    weight.grad = torch.ones(1)
    made.step()
    assert counted.look()
    assert counted.skipped == 2
    counted.require_some(0, scale=0.5)


def test_without_bfloat16_a_run_is_in_float16_and_says_so(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stands in for hardware: a processor that is asked for bfloat16 and has none."""
    monkeypatch.setattr(arithmetic, "has_bfloat16", lambda device: False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Old GPU")
    events: list[Event] = []
    trained(
        tree, tmp_path / "run", on_event=events.append,
        changes={"training.precision": "bf16", "training.epochs": 1},
    )  # fmt: skip
    notes = [event["message"] for event in events if event["event"] == "note"]
    assert "Old GPU has no bfloat16 of its own: training in float16 with a scaled loss" in notes
    assert "scaler" in state.load(tmp_path / "run" / state.LAST)
