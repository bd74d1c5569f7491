"""Import segmentation-models-pytorch, timm and Lightning, also where torchvision does not load.

The registry's torchvision is linked against CUDA. Beside a torch built for the CPU its extension
does not load and importing it trips over two operators that are then undefined. Defining just
these two lets the import pass; defining them where the real extension loads aborts the process.
So: only for a torch without CUDA beside a torchvision whose version says `+cu`. They have no
implementation: no network here calls them.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

import torch

_UNDEFINED = ("nms", "qnms")
_library: torch.library.Library | None = None


@cache
def segmentation_models() -> ModuleType:
    """Give the module segmentation_models_pytorch.

    Raises ModuleNotFoundError with what to install.
    """
    return _imported("segmentation_models_pytorch")


@cache
def lightning() -> ModuleType:
    """Give the module lightning, which imports torchvision, too.

    Raises ModuleNotFoundError with what to install.
    """
    return _imported("lightning")


@cache
def timm() -> ModuleType:
    """Give the module timm, which imports torchvision, too.

    Raises ModuleNotFoundError with what to install.
    """
    return _imported("timm")


@cache
def torchvision_transforms() -> ModuleType:
    """Give the module torchvision with its transforms of tv_tensors.

    Raises ModuleNotFoundError with what to install.
    """
    _imported("torchvision.transforms.v2")
    _imported("torchvision.tv_tensors")
    return _imported("torchvision")


def _imported(name: str) -> ModuleType:
    if torch.version.cuda is None and _torchvision_needs_cuda():
        _define_operators()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as missing:
        raise ModuleNotFoundError(
            f"{missing.name} is not installed; networks and training need the extra `baselines`"
        ) from missing


def _torchvision_needs_cuda() -> bool:
    """Read torchvision's version file without importing it."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return False
    version = Path(spec.origin).with_name("version.py")
    return "+cu" in version.read_text() if version.is_file() else False


def _define_operators() -> None:
    global _library
    if _library is not None or "torchvision" in sys.modules:
        return
    _library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for name in _UNDEFINED:
        signature = f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        _library.define(signature)  # type: ignore[no-untyped-call]
