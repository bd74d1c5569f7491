"""U-T&T: an aerial network whose encoder's maps receive what U-TAE made of the satellite series.

Source: Garioud et al., "FLAIR: a country-scale land cover semantic segmentation dataset from
multi-source optical imagery" (2023). The fusion of the input level, 5 channels that no decoder
reads, and U-TAE's output convolution get no gradient as published; they are left out
(`DEAD_PARAMETERS`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from baselines.networks.aerial import Aerial
from baselines.networks.output import Output, Upsampling, enlarge
from baselines.networks.utae import SENTINEL_BANDS, WIDTHS, SeriesEncoder, crop_centre

# What the published model counts and never trains: U-TAE's output convolution and the fusion of
# the input level (a 1×1 convolution and an MLP to five channels).
DEAD_PARAMETERS = {
    "utae_output": 22_311,
    "cropped_input_level": 325,
    "collapsed_input_level": 4_256,
}


class Collapsed(nn.Module):
    """The series' mean over its whole area as one vector for a level of the aerial encoder."""

    def __init__(self, inside: int, outside: int, *, dropout: float = 0.3) -> None:
        """Build three linear layers whose widths step from `inside` to `outside`."""
        super().__init__()
        step = int((outside - inside) / 3)
        first, second = (inside + step, inside + 2 * step) if step else (2 * inside, 2 * inside)
        self.layers = nn.Sequential(
            nn.Linear(inside, first),
            nn.Dropout(dropout),
            nn.ReLU(),
            nn.Linear(first, second),
            nn.Dropout(dropout),
            nn.ReLU(),
            nn.Linear(second, outside),
        )

    def forward(self, mean: Tensor) -> Tensor:
        """Turn [B, inside] into [B, outside, 1, 1]."""
        out: Tensor = self.layers(mean)
        return out[:, :, None, None]


class Utt(nn.Module):
    """U-Net with a U-TAE beside it; as published 27,254,744 parameters, 26,892 of them dead."""

    def __init__(
        self,
        *,
        aerial: str = "unet",
        n_classes: int = 13,
        widths: Sequence[int] = WIDTHS,
        heads: int = 16,
        sentinel_bands: int = SENTINEL_BANDS,
        patch_cells: int = 10,
        cropped: bool = True,
        collapsed: bool = True,
        upsampling: Upsampling = "bilinear",
        first_sample_mean: bool = False,
        padded_statistics: bool = False,
        encoder_norm: str = "group",
        **aerial_options: Any,
    ) -> None:
        """Build both branches and their fusion at every level that the aerial decoder reads.

        `first_sample_mean`, `padded_statistics`, `upsampling="nearest"` and
        `metadata_spread="rows"` bring back the published code's behaviour for comparison;
        `cropped` and `collapsed` switch the two ways of fusion for ablations, `encoder_norm` what
        the series' encoder knows of a whole frame.
        """
        super().__init__()
        self.patch_cells = patch_cells
        self.upsampling = upsampling
        self.first_sample_mean = first_sample_mean
        self.aerial = Aerial(aerial, n_classes=n_classes, **aerial_options)
        self.weights = self.aerial.weights
        self.series = SeriesEncoder(
            bands=sentinel_bands, widths=widths, heads=heads,
            padded_statistics=padded_statistics, encoder_norm=encoder_norm,
        )  # fmt: skip
        levels = self.aerial.used_levels
        channels = [self.aerial.channels[level] for level in levels]
        self.cropped = (
            nn.ModuleList(nn.Conv2d(widths[0], out, 1) for out in channels) if cropped else None
        )
        self.collapsed = (
            nn.ModuleList(Collapsed(widths[0], out) for out in channels) if collapsed else None
        )
        self.sentinel_head = nn.Conv2d(widths[0], n_classes, 1)

    def forward(
        self,
        *,
        aerial: Tensor,
        sentinel: Tensor,
        days: Tensor,
        padding: Tensor | None = None,
        metadata: Tensor | None = None,
    ) -> Output:
        """Classify aerial [B, bands, H, W] with the series [B, T, bands, 40, 40] around it."""
        series = self.series(sentinel, days=days, padding=padding)
        centre = crop_centre(series, cells=self.patch_cells)
        maps = self.aerial.encode(aerial, metadata=metadata)
        mean = series.mean(dim=(2, 3))
        if self.first_sample_mean:
            mean = mean[:1].expand_as(mean)
        for index, level in enumerate(self.aerial.used_levels):
            # The vector joins before the enlargement, whose weights add up to one: equal, cheaper.
            vector = self.collapsed[index](mean) if self.collapsed is not None else None
            if self.cropped is not None:
                cells = self.cropped[index](centre)
                cells = cells if vector is None else cells + vector
                maps[level] = maps[level] + enlarge(cells, maps[level].shape[-2:])
            elif vector is not None:
                maps[level] = maps[level] + vector
        return Output(
            logits=self.aerial.decode(maps),
            sentinel_cells=self.sentinel_head(centre),
            sentinel_upsampling=self.upsampling,
        )
