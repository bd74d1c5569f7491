"""A plain vision transformer (ViT, DINO) as an encoder with a pyramid of maps.

Source: Li et al., "Exploring plain vision transformer backbones for object detection" (2022): the
coarser and finer maps come from maps of one stride by simple convolutions. As in common use for
segmentation, each is made of the tokens of another block.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from baselines import dependencies

STRIDE = 16


class PlainVit(nn.Module):
    """Maps of strides 1 (the image), 2 (no channel), 4, 8, 16 and 32 of a transformer of timm.

    Models whose tokens are not 16 px wide see the image resized, so that each still stands for
    16 px of it.
    """

    def __init__(self, model: str, *, bands: int, pretrained: bool, **options: Any) -> None:
        """Build it; `options` go to timm, `img_size` is the side of the image as given to us."""
        super().__init__()
        timm = dependencies.timm()
        plain = {key: value for key, value in options.items() if key != "img_size"}
        plain.pop("pretrained_cfg_overlay", None)
        with torch.device("meta"):
            sketch = timm.create_model(model, **plain)
        self._resize = int(sketch.patch_embed.patch_size[0]) / STRIDE
        if "img_size" in options:
            options["img_size"] = round(options["img_size"] * self._resize)
        blocks = len(sketch.blocks)
        self.model = timm.create_model(
            model, features_only=True, in_chans=bands, pretrained=pretrained,
            out_indices=[(level + 1) * blocks // 4 - 1 for level in range(4)], **options,
        )  # fmt: skip
        width = self.model.feature_info.channels()[0]
        self.out_channels = [bands, 0, width, width, width, width]
        self.output_stride = 32
        half = (nn.ConvTranspose2d(width, width, 2, stride=2), nn.GroupNorm(1, width), nn.GELU())
        self.finest = nn.Sequential(*half, nn.ConvTranspose2d(width, width, 2, stride=2))
        self.finer = nn.ConvTranspose2d(width, width, 2, stride=2)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Turn [B, bands, H, W] into the six maps, from the image inwards."""
        batch, _, height, width = image.shape
        seen = image
        if self._resize != 1:
            size = (round(height * self._resize), round(width * self._resize))
            seen = functional.interpolate(image, size=size, mode="bilinear", align_corners=False)
        first, second, third, fourth = self.model(seen)
        nothing = image.new_empty(batch, 0, height // 2, width // 2)
        coarsest = functional.max_pool2d(fourth, 2)
        return [image, nothing, self.finest(first), self.finer(second), third, coarsest]
