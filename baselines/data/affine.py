"""Rotations, scalings and shifts of a patch: image, labels and satellite series alike.

By torchvision's transforms of tv_tensors, which move an image bilinearly and labels to their
nearest neighbours.
"""

from __future__ import annotations

import torch
from torch import Tensor

from baselines import dependencies

MOVED = frozenset({"aerial", "mask", "series"})
PATCH_CELLS = 10.24  # a patch of 102.4 m in cells of 10 m
MAX_DEGREES = 30.0
MAX_SHIFT = 0.2  # of a patch's side
SCALES = (0.8, 1.25)


def move_some(parts: dict[str, Tensor], *, share: float, outside: int) -> dict[str, Tensor]:
    """Move a share of the samples, each by chance of its own (torch's generator of the CPU).

    `parts` may hold `aerial` [B, bands, H, W], `mask` [B, H, W] and `series` [B, T, 10, h, w],
    which lies around the same centre; each comes back with its type. What comes in from outside is
    0, in the mask `outside`.
    """
    torchvision = dependencies.torchvision_transforms()
    tv_tensors, functional = torchvision.tv_tensors, torchvision.transforms.v2.functional
    count = len(next(iter(parts.values())))
    draws = torch.rand(count, 5)
    moved = {name: part.clone() for name, part in parts.items()}
    for row in torch.nonzero(draws[:, 0] < share).squeeze(1).tolist():
        _, turn, size, right, down = draws[row].tolist()
        angle = (2 * turn - 1) * MAX_DEGREES
        scale = SCALES[0] * (SCALES[1] / SCALES[0]) ** size
        shift = ((2 * right - 1) * MAX_SHIFT, (2 * down - 1) * MAX_SHIFT)
        for name, part in parts.items():
            side = PATCH_CELLS if name == "series" else part.shape[-1]
            one = (
                tv_tensors.Mask(part[row])
                if name == "mask"
                else tv_tensors.Image(part[row].flatten(0, -3).float())
            )
            out = functional.affine(
                one, angle=angle, translate=[shift[0] * side, shift[1] * side], scale=scale,
                shear=[0.0, 0.0], interpolation=torchvision.transforms.InterpolationMode.BILINEAR,
                fill=[float(outside)] if name == "mask" else None,
            )  # fmt: skip
            if name != "mask" and not part.is_floating_point():
                out = out.round()
            moved[name][row] = out.view(part[row].shape).to(part.dtype)
    return moved
