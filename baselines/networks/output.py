"""What every network gives back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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
