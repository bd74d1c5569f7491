"""Ingredients of strong trainings: each does what its name says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="the extra `baselines` is not installed")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from baselines import train  # noqa: E402
from baselines.data import affine, batches  # noqa: E402
from baselines.networks import Output  # noqa: E402
from baselines.train import averaging, losses, optimiser, state  # noqa: E402
from baselines.train import recipe as recipes  # noqa: E402
from baselines.train.recipe import Optimiser, RecipeError  # noqa: E402


@pytest.fixture(autouse=True)
def _one_thread_one_seed() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def test_the_cosine_rises_over_its_warmup_and_falls_to_nothing() -> None:
    settings = Optimiser(schedule="cosine", warmup=0.1)
    factors = [optimiser.rate_factor(settings, share=share / 100) for share in range(101)]
    assert factors[5] == pytest.approx(0.5)
    assert factors[10] == pytest.approx(1.0)
    assert factors[55] == pytest.approx(0.5)
    assert factors[100] == pytest.approx(0.0)
    assert optimiser.rate_factor(Optimiser(schedule="none"), share=0.5) is None


def test_groups_of_weights_have_their_rate_and_decay() -> None:
    network = nn.ModuleDict(
        {"encoder": nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), "head": nn.Linear(4, 2)}
    )
    settings = Optimiser(
        name="adamw", lr=0.1, weight_decay=0.5, encoder_lr_factor=0.1, decay_norms=False,
        betas=(0.8, 0.9),
    )  # fmt: skip
    made = optimiser.build(network, settings)
    found = {
        (round(group["lr"], 6), group["weight_decay"]): sum(p.numel() for p in group["params"])
        for group in made.param_groups
    }
    assert found == {(0.01, 0.5): 108, (0.01, 0.0): 12, (0.1, 0.5): 8, (0.1, 0.0): 2}
    assert made.param_groups[0]["betas"] == (0.8, 0.9)
    optimiser.set_rate(made, settings, factor=0.5)
    assert sorted({round(group["lr"], 6) for group in made.param_groups}) == [0.005, 0.05]
    alone = optimiser.build(network, Optimiser(name="sgd"))
    assert len(alone.param_groups) == 1


def test_smoothed_labels_are_torchs_where_pixels_count() -> None:
    logits, target = torch.randn(2, 13, 4, 4), torch.randint(0, 13, (2, 4, 4))
    weights = losses.class_weights(13, without=(12,))
    ours = losses.cross_entropy(logits, target, weights=weights, label_smoothing=0.1)
    counted = target.masked_fill(target == 12, -100)
    theirs = functional.cross_entropy(
        logits, counted, weight=weights, label_smoothing=0.1, ignore_index=-100
    )
    assert torch.allclose(ours, theirs)


def test_given_class_weights_are_used_but_for_the_classes_without() -> None:
    given = [float(number) for number in range(1, 14)]
    weights = losses.class_weights(13, without=(12,), given=given)
    assert weights.tolist() == [*given[:12], 0.0]


@pytest.mark.parametrize("kind", ["dice", "focal", "lovasz"])
def test_a_loss_beside_falls_as_the_prediction_betters_and_ignores_other(kind: str) -> None:
    weights = losses.class_weights(13, without=(12,))
    beside = losses.beside(kind, weights=weights)
    target = torch.randint(0, 13, (2, 8, 8))
    right = functional.one_hot(target, 13).permute(0, 3, 1, 2).float()
    worse, better = (
        losses.total(Output(logits=right * sure), target, weights=weights,
                     sentinel_weights=weights, beside=beside)
        for sure in (0.5, 8.0)
    )  # fmt: skip
    assert better < worse
    changed = right.clone()
    changed[:, 0][target == 12] += 5  # whatever is predicted there
    of = losses.counted_only(target, weights=weights)
    assert beside is not None
    if kind != "dice":  # whose shares count all predicted pixels of the classes that are there
        assert torch.allclose(beside(right, of), beside(changed, of), atol=1e-6)
    nothing = torch.full((1, 8, 8), 12)
    logits = torch.randn(1, 13, 8, 8, requires_grad=True)
    loss = losses.total(Output(logits=logits), nothing, weights=weights,
                        sentinel_weights=weights, beside=beside)  # fmt: skip
    loss.backward()
    assert torch.isfinite(loss)
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_bands_take_the_mean_of_the_colour_whose_weights_they_begin_with() -> None:
    batch = {"aerial": torch.full((1, 4, 2, 2), 255, dtype=torch.uint8), "index": torch.zeros(1)}
    given = batches.to_inputs(
        batch, device=torch.device("cpu"), memory_format=torch.contiguous_format,
        normalisation="imagenet", bands=(1, 3, 4, 5),
    )["aerial"]  # fmt: skip
    expected = [(1 - mean) / std for mean, std in
                ((0.485, 0.229), (0.406, 0.225), (0.485, 0.229), (0.456, 0.224))]  # fmt: skip
    assert given[0, :, 0, 0].tolist() == pytest.approx(expected)


def test_image_labels_and_series_move_together() -> None:
    """A bright square on a spot of the ground is on that spot in all three afterwards."""
    px, cells = 128, 40
    aerial = torch.zeros(8, 1, px, px, dtype=torch.uint8)
    mask = torch.zeros(8, px, px, dtype=torch.uint8)
    aerial[:, :, 50:75, 77:102], mask[:, 50:75, 77:102] = 200, 3  # two cells of ten metres each
    series = torch.zeros(8, 2, 1, cells, cells, dtype=torch.int16)
    series[:, :, :, 19:21, 21:23] = 1000
    moved = affine.move_some(
        {"aerial": aerial, "mask": mask, "series": series}, share=1.0, outside=12
    )
    assert [part.dtype for part in moved.values()] == [torch.uint8, torch.uint8, torch.int16]
    changed = 0
    for row in range(8):
        in_image = _centre(moved["aerial"][row, 0] > 100, size=px)
        in_mask = _centre(moved["mask"][row] == 3, size=px)
        in_series = _centre(moved["series"][row, 0, 0] > 300, size=cells) * (cells / 10.24)
        assert torch.allclose(in_image, in_mask, atol=0.02)
        assert torch.allclose(in_image, in_series, atol=0.08)
        changed += bool((in_image - _centre(aerial[row, 0] > 100, size=px)).abs().max() > 0.05)
    assert changed >= 6
    assert (moved["mask"] == 12).any()
    same = affine.move_some({"aerial": aerial}, share=0.0, outside=12)["aerial"]
    assert torch.equal(same, aerial)


def _centre(where: Any, *, size: int) -> Any:
    """Give the centre of what is True, from the middle, in sides of the map."""
    return (torch.nonzero(where).float().mean(dim=0) + 0.5) / size - 0.5


def test_the_moving_mean_is_what_predicts_and_survives_a_stop(tree: Path, tmp_path: Path) -> None:
    recipe = recipes.changed(
        recipes.load("tiny-unet"),
        {
            "training.epochs": 2, "training.batch_size": 2, "training.precision": "fp32",
            "training.ema": 0.5, "data.affine": 0.5, "data.normalisation": "imagenet",
            "loss.beside": "dice", "loss.label_smoothing": 0.1, "optimiser.schedule": "cosine",
            "network.options": {"encoder": "resnet18", "decoder_channels": [32, 24, 16, 12, 8]},
        },
    )  # fmt: skip
    shared: dict[str, Any] = {"data_root": tree, "seed": 3, "cache_dir": tree.parent / "cache"}
    train.run(recipe, out_dir=tmp_path / "whole", **shared)
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked == 3

    assert train.run(recipe, out_dir=tmp_path / "cut", should_stop=stop, **shared)["state"] == (
        "stopped"
    )
    train.run(recipe, out_dir=tmp_path / "cut", **shared)
    whole, cut = (state.load(tmp_path / name / state.LAST) for name in ("whole", "cut"))
    for part in ("network", "moving"):
        assert all(torch.equal(value, cut[part][name]) for name, value in whole[part].items())
    name = "encoder.conv1.weight"
    assert not torch.equal(whole["network"][name], whole["moving"][name])


def test_the_mean_follows_closely_at_first_and_then_by_its_decay() -> None:
    network = nn.Linear(1, 1, bias=False)
    averaged = averaging.of(network, decay=0.5, resumed=None)
    assert averaged is not None
    values = []
    for value in (0.0, 1.0, *18 * [0.0], 1.0):
        nn.init.constant_(network.weight, value)
        averaged.update_parameters(network)
        values.append(float(averaged.module.weight))
    assert values[:3] == pytest.approx([0.0, 9 / 11, 9 / 11 * 3 / 12])
    assert values[-1] == pytest.approx(0.5, abs=1e-4)


def test_a_short_training_predicts_with_what_it_learnt() -> None:
    network = nn.Linear(1, 1, bias=False)
    averaged = averaging.of(network, decay=0.999, resumed=None)
    assert averaged is not None
    nn.init.constant_(network.weight, 0.0)
    averaged.update_parameters(network)
    nn.init.constant_(network.weight, 1.0)
    for _ in range(70):
        averaged.update_parameters(network)
    assert float(averaged.module.weight) > 0.99


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"training.ema": 1.0}, "training.ema: found 1.0; allowed are shares"),
        ({"data.affine": 1.5}, "data.affine: found 1.5"),
        ({"loss.class_weights": [1.0, 2.0]}, "loss.class_weights: found 2; one for each of the 13"),
    ],
)
def test_numbers_that_cannot_work_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        recipes.changed(recipes.load("tiny-unet"), changes)
