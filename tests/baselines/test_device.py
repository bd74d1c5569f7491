"""What a GPU would meet first, tested without one.

A tensor made on the wrong device, a value that is asked for in the middle of a step: on torch's
device "meta", which computes nothing and refuses both, the whole step runs as it would on a GPU.
"""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the extra `baselines` is not installed")

from baselines.data import batches, cache, layout  # noqa: E402
from baselines.train import (  # noqa: E402
    building,
    loop,
    losses,
    measure,
)
from baselines.train import recipe as recipes  # noqa: E402

N_CLASSES = 13
META = torch.device("meta")


@pytest.mark.parametrize(
    "name", ["tiny-unet", "tiny-utae", "tiny-utt", "flair-2-fpn-all", "flair-2-deeplabv3-all"]
)
def test_a_step_makes_everything_on_its_device(name: str, tree: Path, tmp_path: Path) -> None:
    recipe = recipes.at_random(recipes.load(name))
    patches = layout.index(tree, part="train").patches[:3]
    packed = cache.build(tmp_path, patches, options=recipe.options())
    (batch,) = batches.Epoch(packed, 3)
    if "padding" in batch:
        batch["padding"][0, -1] = True  # else part of U-TAE is not run
    network = building.build_network(recipe, patch_px=64).to(META)
    inputs = batches.to_inputs(
        batch, device=META, moved="together", memory_format=building.memory_format(recipe)
    )
    target = inputs.pop("target")
    weights = losses.class_weights(N_CLASSES, without=(12,)).to(META)
    out = network(**inputs)
    loss = losses.total(out, target, weights=weights, sentinel_weights=weights)
    loss.backward()
    assert {value.device for value in (loss, out.logits)} == {META}
    assert all(parameter.grad is not None for parameter in network.parameters())
    matrix = measure.Matrix(N_CLASSES, device=META)
    matrix.add(out.logits, target)
    assert matrix.counts.shape == (N_CLASSES, N_CLASSES)


@pytest.mark.parametrize("shape", [(6, 6), (3, 6, 6), (2, 3, 6, 6)])
def test_a_device_turns_as_the_cpu_does(shape: tuple[int, ...]) -> None:
    turn = torch.arange(8)
    maps = torch.randint(0, 255, (8, *shape), dtype=torch.uint8)
    for bits in ((0, 1, 2), (2, 1, 0)):
        on_cpu = batches._moved_on_cpu(maps, turn, bits=bits)
        assert torch.equal(batches._moved_on_device(maps, turn, bits=bits), on_cpu)


def test_counting_by_adding_is_counting() -> None:
    values = torch.randint(0, 9, (3, 50))
    counted = losses.count(values, bins=12)
    assert torch.equal(losses._count_by_adding(values.flatten(), bins=12), counted)
    assert counted.sum() == values.numel()


def test_a_gpu_without_bfloat16_trains_in_float32_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Stands in for hardware: what torch would say of a card of 2018."""
    recipe = recipes.load("tiny-unet")
    assert loop._precision(recipe, accelerator="cpu") == ("bf16-mixed", "")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Old GPU")
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation: including_emulation
    )
    precision, note = loop._precision(recipe, accelerator="auto")
    assert precision == "32-true"
    assert "Old GPU has no bfloat16" in note
    assert not loop.has_bfloat16(torch.device("cuda"))
