"""U-TAE: a small U-Net over every date of a satellite series, the dates merged by attention.

Source: Garnot and Landrieu, "Panoptic segmentation of satellite image time series with
convolutional temporal attention networks" (2021), in the sizes of the second FLAIR paper.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from baselines.networks.attention import TemporalAttention
from baselines.networks.metadata import MetadataEncoder, Spread
from baselines.networks.output import Output, Upsampling, upsample

WIDTHS = (64, 64, 128, 128)
SENTINEL_BANDS = 10


def convolution(
    inside: int, outside: int, *, norm: str, kernel: int = 3, stride: int = 1
) -> nn.Sequential:
    """Give convolution (reflected border), normalisation ("group" or "batch") and rectification."""
    layers: list[nn.Module] = [
        nn.Conv2d(
            inside, outside, kernel, stride=stride, padding=0 if kernel == 1 else 1,
            padding_mode="zeros" if kernel == 1 else "reflect",
        ),
        nn.GroupNorm(4, outside) if norm == "group" else nn.BatchNorm2d(outside),
        nn.ReLU(),
    ]  # fmt: skip
    return nn.Sequential(*layers)


class Down(nn.Module):
    """Halve a frame's map, then widen it with a residual step."""

    def __init__(self, inside: int, outside: int, *, norm: str = "group") -> None:
        """Take `inside` channels to `outside`."""
        super().__init__()
        self.down = convolution(inside, inside, norm=norm, kernel=4, stride=2)
        self.widen = convolution(inside, outside, norm=norm)
        self.refine = convolution(outside, outside, norm=norm)

    def forward(self, frames: Tensor) -> Tensor:
        """Turn [N, inside, h, w] into [N, outside, h/2, w/2]."""
        out = self.widen(self.down(frames))
        refined: Tensor = out + self.refine(out)
        return refined


class Up(nn.Module):
    """Double a map and join the skip of that size."""

    def __init__(self, inside: int, outside: int, *, skip: int) -> None:
        """Take `inside` channels and `skip` channels to `outside`."""
        super().__init__()
        self.skip = convolution(skip, skip, norm="batch", kernel=1)
        self.up = nn.Sequential(
            nn.ConvTranspose2d(inside, outside, 4, stride=2, padding=1),
            nn.BatchNorm2d(outside),
            nn.ReLU(),
        )
        self.join = convolution(outside + skip, outside, norm="batch")
        self.refine = convolution(outside, outside, norm="batch")

    def forward(self, coarse: Tensor, skip: Tensor) -> Tensor:
        """Turn [B, inside, h, w] and [B, skip, 2h, 2w] into [B, outside, 2h, 2w]."""
        out = self.join(torch.cat([self.up(coarse), self.skip(skip)], dim=1))
        refined: Tensor = out + self.refine(out)
        return refined


class SeriesEncoder(nn.Module):
    """The part of U-TAE that U-T&T uses: a series in, one map of 64 channels at 10 m out."""

    def __init__(
        self,
        *,
        bands: int = SENTINEL_BANDS,
        widths: Sequence[int] = WIDTHS,
        heads: int = 16,
        padded_statistics: bool = False,
        encoder_norm: str = "group",
    ) -> None:
        """Build encoder, attention and decoder; `widths` from fine to coarse, alike for both.

        With one width there is no coarser level. `encoder_norm` "batch" replaces the published
        group normalisation, through whose statistics each cell knows of its whole frame.
        Raises ValueError when the heads don't divide the widths.
        """
        super().__init__()
        if any(width % heads for width in widths):
            raise ValueError(f"{heads} heads don't divide widths {tuple(widths)}")
        self.widths = tuple(widths)
        self.stem = nn.Sequential(
            convolution(bands, widths[0], norm=encoder_norm),
            convolution(widths[0], widths[0], norm=encoder_norm),
        )
        pairs = list(itertools.pairwise(widths))
        self.down = nn.ModuleList(
            Down(inside, outside, norm=encoder_norm) for inside, outside in pairs
        )
        self.attention = TemporalAttention(
            widths[-1], heads=heads, inner=heads * 16, padded_statistics=padded_statistics
        )
        self.up = nn.ModuleList(
            Up(inside, outside, skip=outside) for outside, inside in reversed(pairs)
        )

    def forward(
        self,
        sentinel: Tensor,
        *,
        days: Tensor,
        padding: Tensor | None = None,
        addend: Tensor | None = None,
    ) -> Tensor:
        """Turn [B, T, bands, H, W] into [B, widths[0], H, W].

        Only real dates (`padding` [B, T] False) are computed; without `padding` all are real, which
        an exporter can follow, as no step then depends on its values. `addend` is added to the
        merged coarsest map. `padding` may stay on the CPU, as loaders leave it: which dates are
        real is then known without waiting for the device.
        """
        batch, dates = sentinel.shape[:2]
        owner = None
        if padding is not None:
            real = ~padding.flatten()
            owner = None if bool(real.all()) else torch.nonzero(real).squeeze(1)
        padding = no_padding(sentinel) if padding is None else padding
        padding = padding.to(sentinel.device, non_blocking=True)
        packed = sentinel.flatten(0, 1)
        if owner is not None:
            owner = owner.to(sentinel.device, non_blocking=True)
            packed = packed[owner]
        maps = [self.stem(packed)]
        for down in self.down:
            maps.append(down(maps[-1]))
        coarsest = maps[-1]
        if owner is not None:
            spread = coarsest.new_zeros(batch * dates, *coarsest.shape[1:])
            coarsest = spread.index_copy(0, owner, coarsest)
        merged, attention = self.attention(
            coarsest.view(batch, dates, *coarsest.shape[1:]), days=days, padding=padding
        )
        if addend is not None:
            merged = merged + addend
        weights = attention.flatten(0, 1)  # [B·T, heads, h, w]
        if owner is not None:
            weights = weights[owner]
        sample = torch.arange(batch * dates, device=sentinel.device)
        sample = torch.div(sample if owner is None else sample[owner], dates, rounding_mode="floor")
        out: Tensor = merged
        for up, skip in zip(self.up, reversed(maps[:-1]), strict=True):
            out = up(out, _merge_dates(skip, weights, sample=sample, batch=batch))
        return out


def _merge_dates(maps: Tensor, weights: Tensor, *, sample: Tensor, batch: int) -> Tensor:
    """Sum the maps [N, C, h, w] of each sample's dates, weighted by the heads' attention.

    Head k weighs the k-th of equal runs of channels. `sample` [N] tells whose date each map is.
    """
    count, channels, height, width = maps.shape
    resized = functional.interpolate(
        weights, size=(height, width), mode="bilinear", align_corners=False
    )
    heads = resized.shape[1]
    chunks = maps.reshape(count, heads, channels // heads, height, width)
    weighted = chunks * resized.unsqueeze(2).to(maps.dtype)
    # A product with the membership matrix: index_add would not be deterministic on a GPU.
    every = torch.arange(batch, device=sample.device)
    member = (every[:, None] == sample[None]).to(weighted.dtype)  # [B, N]
    summed = member @ weighted.reshape(count, -1)
    return summed.view(batch, channels, height, width)


def crop_centre(maps: Tensor, *, cells: int) -> Tensor:
    """Give the centre [B, C, cells, cells] of maps [B, C, H, W]."""
    top, left = ((side - cells) // 2 for side in maps.shape[-2:])
    return maps[:, :, top : top + cells, left : left + cells]


class Utae(nn.Module):
    """U-TAE alone: the centre of the series' map, classified (2,284,199 parameters).

    Unlike the published code, the last layer's logits are not rectified.
    """

    def __init__(
        self,
        *,
        n_classes: int = 13,
        widths: Sequence[int] = WIDTHS,
        heads: int = 16,
        sentinel_bands: int = SENTINEL_BANDS,
        patch_cells: int = 10,
        patch_px: int = 512,
        metadata: bool = False,
        metadata_spread: Spread = "channels",
        upsampling: Upsampling = "bilinear",
        padded_statistics: bool = False,
    ) -> None:
        """Build for patches of `patch_cells` × 10 m, given as `patch_px` pixels."""
        super().__init__()
        self.patch_cells, self.patch_px, self.upsampling = patch_cells, patch_px, upsampling
        self.series = SeriesEncoder(
            bands=sentinel_bands, widths=widths, heads=heads, padded_statistics=padded_statistics
        )
        self.metadata = MetadataEncoder(spread=metadata_spread) if metadata else None
        half = widths[0] // 2
        self.head = nn.Sequential(
            convolution(widths[0], half, norm="batch"),
            nn.Conv2d(half, n_classes, 3, padding=1, padding_mode="reflect"),
            nn.BatchNorm2d(n_classes),
        )

    def forward(
        self,
        *,
        sentinel: Tensor,
        days: Tensor,
        padding: Tensor | None = None,
        metadata: Tensor | None = None,
        aerial: Tensor | None = None,
    ) -> Output:
        """Classify [B, T, bands, H, W]; an aerial image only tells how many pixels to give."""
        addend = None
        if self.metadata is not None:
            rows = sentinel.shape[-2] >> len(self.series.down)
            given = required(metadata, "metadata")
            addend = self.metadata(given, channels=self.series.widths[-1], rows=rows)
        maps = self.series(sentinel, days=days, padding=padding, addend=addend)
        cells = crop_centre(self.head(maps), cells=self.patch_cells)
        size = (self.patch_px, self.patch_px) if aerial is None else tuple(aerial.shape[-2:])
        return Output(logits=upsample(cells, size, how=self.upsampling))


def no_padding(sentinel: Tensor) -> Tensor:
    """Give the mask [B, T] of a series in which every date is real."""
    return torch.zeros(sentinel.shape[:2], dtype=torch.bool, device=sentinel.device)


def required(given: Tensor | None, name: str) -> Tensor:
    """Give the tensor, or raise ValueError saying which input is missing."""
    if given is None:
        raise ValueError(f"this network needs the input {name!r}")
    return given
