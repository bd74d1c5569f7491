"""What a GPU would meet first, tested without one.

A tensor made on the wrong device, a value that is asked for in the middle of a step: on torch's
device "meta", which computes nothing and refuses both, the whole step runs as it would on a GPU.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="the extra `baselines` is not installed")

from torch import Tensor  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from baselines import train  # noqa: E402
from baselines.data import ahead, batches, cache, layout  # noqa: E402
from baselines.train import (  # noqa: E402
    arithmetic,
    building,
    losses,
    measure,
    module,
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


def old_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stands in for hardware: what torch would say of a card of 2018."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Old GPU")
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation: including_emulation
    )


def test_a_gpu_without_bfloat16_trains_in_float16_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What it trained in bfloat16 elsewhere it predicts in float32: float16 may be too small."""
    recipe = recipes.load("tiny-unet")
    cpu = arithmetic.device_of("cpu")
    assert arithmetic.choose(recipe, device=cpu) == arithmetic.Choice("bf16")
    old_gpu(monkeypatch)
    gpu = arithmetic.device_of("auto")
    choice = arithmetic.choose(recipe, device=gpu)
    assert (choice.precision, choice.is_scaled) == ("fp16", True)
    assert "Old GPU has no bfloat16" in choice.note
    assert "float16 with a scaled loss" in choice.note
    assert arithmetic.predicting_dtype(recipe, device=gpu) is None
    exact = recipes.changed(recipe, {"training.precision": "fp32"})
    assert arithmetic.choose(exact, device=gpu) == arithmetic.Choice("fp32")


@pytest.mark.parametrize(
    ("changes", "precision", "benchmark"),
    [
        ({}, "ieee", True),
        ({"training.tf32": True}, "tf32", True),
        ({"training.cudnn_benchmark": False}, "ieee", False),
        # Another number of dates in each batch: cuDNN would try its kernels again and again.
        ({"network.name": "utae", "network.options": {}}, "ieee", False),
    ],
)
def test_rounded_float32_and_tried_kernels_are_a_recipes_choice(
    changes: dict[str, Any], precision: str, benchmark: bool
) -> None:
    """torch by itself would round in convolutions, as the first cards of this kind do."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.conv.fp32_precision, matmul.fp32_precision, cudnn.benchmark
    recipe = recipes.changed(recipes.load("tiny-unet"), changes)
    with arithmetic.kernels(recipe):
        assert (cudnn.conv.fp32_precision, matmul.fp32_precision) == (precision, precision)
        assert cudnn.benchmark is benchmark
    assert before == (cudnn.conv.fp32_precision, matmul.fp32_precision, cudnn.benchmark)


def test_the_next_batch_is_on_its_way_before_this_one_is_asked_for() -> None:
    """In order, whole, one ahead and no more; streams of a CPU do nothing, the code is the same."""
    read: list[int] = []

    def source() -> Iterator[dict[str, Tensor]]:
        for number in range(3):
            read.append(number)
            yield {"aerial": torch.full((2,), number), "padding": torch.zeros(2)}

    seen = []
    for batch in ahead.copied(source(), torch.device("cpu")):
        seen.append(int(batch["aerial"][0]))
        assert read == list(range(min(seen[-1] + 2, 3)))
    assert seen == [0, 1, 2]


def test_what_is_left_early_is_closed_and_padding_stays_on_the_cpu() -> None:
    closed = []

    def source() -> Iterator[dict[str, Tensor]]:
        try:
            while True:
                yield {"aerial": torch.zeros(2), "padding": torch.zeros(2)}
        finally:
            closed.append(True)

    batches_on_meta = ahead.copied(source(), META)
    batch = next(batches_on_meta)
    assert (batch["aerial"].device, batch["padding"].device) == (META, torch.device("cpu"))
    batches_on_meta.close()  # type: ignore[attr-defined]
    assert closed


class _Reads(TorchDispatchMode):
    """Counts where a value is asked for that a GPU has not computed yet.

    What torch's optimisers keep on the CPU, the number of the step, doesn't count.
    """

    def __init__(self) -> None:
        super().__init__()
        self.inside = False
        self.found: list[str] = []

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        waits = ("_local_scalar_dense", "is_nonzero", "nonzero", "masked_select", "equal")
        if self.inside and function.overloadpacket.__name__.rpartition(".")[2] in waits:
            stack = traceback.extract_stack()
            if not any("/torch/optim/" in frame.filename for frame in stack):
                self.found.append("".join(traceback.format_list(stack[-6:-1])))
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", ["tiny-unet", "tiny-utt"])
def test_no_step_waits_for_its_device(
    name: str, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A whole training: steps with clipping and a moving mean, and the batches of validation."""
    reads = _Reads()

    def watched(method: str, *, begins: bool = False, ends: bool = False) -> None:
        plain = getattr(module.SegmentationModule, method)

        def hook(self: Any, *args: Any) -> Any:
            reads.inside = begins or reads.inside
            try:
                return plain(self, *args)
            finally:
                reads.inside = reads.inside and not ends

        monkeypatch.setattr(module.SegmentationModule, method, hook)

    watched("training_step", begins=True)
    watched("on_train_batch_end", ends=True)
    watched("validation_step", begins=True, ends=True)
    monkeypatch.setattr(module, "STEP_EVENT_EVERY_S", 1e9)
    monkeypatch.setattr("baselines.train.progress.STEP_EVENT_EVERY_S", 1e9)
    changes: dict[str, Any] = {
        "training.epochs": 1, "training.batch_size": 2, "training.precision": "fp32",
        "training.clip_norm": 1.0, "training.ema": 0.9, "data.augmentation": "together",
    }  # fmt: skip
    recipe = recipes.changed(recipes.load(name), changes)
    with reads:
        train.run(recipe, data_root=tree, out_dir=tmp_path / "run", accelerator="cpu")
    assert not reads.found, reads.found[0]
