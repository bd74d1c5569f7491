"""In which numbers a device computes: float32, bfloat16 or float16, TF32, and which kernels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from baselines import dependencies
from baselines.train.recipe import Recipe

_MIXED = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Choice:
    """The precision that a training computes in, and a note where it isn't the recipe's."""

    precision: str
    note: str = ""

    @property
    def is_scaled(self) -> bool:
        """Tell whether the loss is scaled, so that small gradients don't vanish in float16."""
        return self.precision == "fp16"


def choose(recipe: Recipe, *, device: torch.device) -> Choice:
    """Choose a training's precision: the recipe's, but float16 where bfloat16 is emulated."""
    wanted = recipe.training.precision
    if wanted != "bf16" or has_bfloat16(device):
        return Choice(wanted)
    name = torch.cuda.get_device_name(device)
    note = f"{name} has no bfloat16 of its own: training in float16 with a scaled loss"
    return Choice("fp16", note)


def lightning_settings(choice: Choice, *, device: torch.device) -> tuple[str | None, list[Any]]:
    """Give Lightning's name of a precision, or None and the plugin that says it.

    Lightning takes bfloat16 for float16 on a CPU unless it is given the plugin.
    """
    if choice.precision == "fp32":
        return "32-true", []
    if choice.precision == "bf16":
        return "bf16-mixed", []
    dependencies.lightning()
    from lightning.pytorch.plugins.precision import MixedPrecision

    scaler = torch.amp.GradScaler(device.type)
    return None, [MixedPrecision("16-mixed", device.type, scaler)]


def predicting_dtype(recipe: Recipe, *, device: torch.device) -> torch.dtype | None:
    """Give in which numbers a recipe's network predicts; None: float32.

    What was trained in bfloat16 may be too large for float16: without bfloat16 it is float32.
    """
    dtype = _MIXED.get(recipe.training.precision)
    return None if dtype is torch.bfloat16 and not has_bfloat16(device) else dtype


def has_bfloat16(device: torch.device) -> bool:
    """Tell whether a device computes bfloat16 itself; older GPUs emulate it, slowly."""
    return device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)


def device_of(accelerator: str) -> torch.device:
    """Give the kind of device that Lightning's `accelerator` stands for here."""
    on_gpu = accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    return torch.device("cuda" if on_gpu else "cpu")


@contextmanager
def kernels(recipe: Recipe) -> Iterator[None]:
    """Set what NVIDIA's libraries may do for a recipe, and put it back after the block.

    TF32 only where the recipe says so: torch alone would allow it for convolutions. cuDNN tries its
    kernels for each new size, which is worth it where every step has the same sizes: a series has
    another number of dates in each batch.
    """
    cudnn: Any = torch.backends.cudnn
    matmul: Any = torch.backends.cuda.matmul
    former = cudnn.conv.fp32_precision, matmul.fp32_precision, cudnn.benchmark
    precision = "tf32" if recipe.training.tf32 else "ieee"
    wanted = recipe.training.cudnn_benchmark
    cudnn.conv.fp32_precision, matmul.fp32_precision = precision, precision
    cudnn.benchmark = "sentinel" not in recipe.inputs if wanted is None else wanted
    try:
        yield
    finally:
        cudnn.conv.fp32_precision, matmul.fp32_precision, cudnn.benchmark = former
