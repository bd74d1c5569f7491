"""What every network gives back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Upsampling = Literal["nearest", "bilinear"]


@dataclass(frozen=True)
class Output:
    """Logits of a batch; the satellite's stay on its cells until someone asks for pixels.

    `logits` [B, classes, H, W]; `sentinel_cells` [B, classes, 10, 10] or None.
    """

    logits: Tensor
    sentinel_cells: Tensor | None = None
    sentinel_upsampling: Upsampling = "bilinear"

    @property
    def sentinel_logits(self) -> Tensor | None:
        """Give the satellite head's logits [B, classes, H, W], or None without such a head.

        Upsampling after the 1×1 convolution equals upsampling before it, and is cheaper.
        """
        if self.sentinel_cells is None:
            return None
        return upsample(self.sentinel_cells, self.logits.shape[-2:], how=self.sentinel_upsampling)


def upsample(cells: Tensor, size: tuple[int, ...], *, how: Upsampling) -> Tensor:
    """Resize [B, C, h, w] to [B, C, *size] without aligning corners."""
    if how == "nearest":
        return functional.interpolate(cells, size=size, mode="nearest")
    return functional.interpolate(cells, size=size, mode="bilinear", align_corners=False)


def enlarge(cells: Tensor, size: tuple[int, ...]) -> Tensor:
    """Resize [B, C, h, w] to [B, C, *size] bilinearly, as `upsample`, by two matrix products.

    Much quicker than torch's own backward on a CPU when few cells become many, and the result
    lies in channels-last order.
    """
    batch, channels, height, width = cells.shape
    rows = _bilinear(size[0], height, cells.device).to(cells.dtype)
    columns = _bilinear(size[1], width, cells.device).to(cells.dtype)
    flat = cells.permute(0, 2, 3, 1).reshape(batch, height, width * channels)
    tall = torch.matmul(rows, flat).view(batch * size[0], width, channels)
    return torch.matmul(columns, tall).view(batch, *size, channels).permute(0, 3, 1, 2)


@lru_cache(maxsize=64)
def _bilinear(size: int, cells: int, device: torch.device) -> Tensor:
    """Give the weights [size, cells] of bilinear resizing without aligned corners."""
    with torch.inference_mode(False):  # kept: a training after a prediction needs it, too
        at = ((torch.arange(size, device=device) + 0.5) * (cells / size) - 0.5).clamp(0, cells - 1)
        low = at.floor().long()
        share = at - low
        weights = torch.zeros(size, cells, device=device)
        weights.scatter_add_(1, low[:, None], (1 - share)[:, None])
        return weights.scatter_add_(1, (low + 1).clamp_max(cells - 1)[:, None], share[:, None])
