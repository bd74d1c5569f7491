"""The lightweight temporal attention encoder (L-TAE) of a satellite series.

Source: Garnot and Landrieu, "Lightweight temporal self-attention for classifying satellite image
time series" (2020), as used by U-TAE (2021), with the statistics over real dates only.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


class TemporalAttention(nn.Module):
    """One learned query per head over the dates of every place of the coarsest map.

    Published sizes: 128 channels in, 256 inside, 16 heads with keys of 4, 128 out; 83,200
    parameters.
    """

    def __init__(
        self,
        channels: int = 128,
        *,
        inner: int = 256,
        heads: int = 16,
        key_size: int = 4,
        dropout: float = 0.2,
        attention_dropout: float = 0.1,
        padded_statistics: bool = False,
    ) -> None:
        """Build the layers; `padded_statistics` lets padded dates into the first normalisation.

        The published code does so, which lets a padded date change the result; keep it off except
        to compare with published figures.
        """
        super().__init__()
        self.heads, self.key_size, self.inner = heads, key_size, inner
        self.padded_statistics = padded_statistics
        self.in_norm = nn.GroupNorm(heads, channels)
        self.embed = nn.Linear(channels, inner)
        self.query = nn.Parameter(torch.empty(heads, key_size))
        self.keys = nn.Linear(inner, heads * key_size)
        self.project = nn.Linear(inner, channels)
        self.project_norm = nn.BatchNorm1d(channels)
        self.out_norm = nn.GroupNorm(heads, channels)
        self.attention_dropout = nn.Dropout(attention_dropout)
        self.dropout = nn.Dropout(dropout)
        deviation = math.sqrt(2.0 / key_size)
        nn.init.normal_(self.query, std=deviation)
        nn.init.normal_(self.keys.weight, std=deviation)

    def forward(self, maps: Tensor, *, days: Tensor, padding: Tensor) -> tuple[Tensor, Tensor]:
        """Merge the dates of [B, T, C, h, w] into one map.

        `days` [B, T] are signed days, `padding` [B, T] is True where there is no date. Gives the
        map [B, C, h, w] and the attention [B, T, heads, h, w], 0 on padded dates.
        """
        batch, dates, channels, height, width = maps.shape
        places = height * width
        # [B, T, C, h, w] → [B, places, T, C]
        series = maps.flatten(3).permute(0, 3, 1, 2)
        series = self._normalise(series, padding=padding)
        values = self.embed(series) + self._position(days)[:, None]  # [B, places, T, inner]
        keys = self.keys(values).view(batch, places, dates, self.heads, self.key_size)
        scores = torch.einsum("bpthk,hk->bpht", keys, self.query) / math.sqrt(self.key_size)
        scores = scores.float().masked_fill(padding[:, None, None], -1000.0)
        attention = self.attention_dropout(scores.softmax(dim=-1)).to(values.dtype)
        chunks = values.view(batch, places, dates, self.heads, -1)
        merged = torch.einsum("bpht,bpthv->bphv", attention, chunks).flatten(2)
        tokens = self.project(merged).flatten(0, 1)  # [B·places, C]
        tokens = self.dropout(functional.relu(self.project_norm(tokens)))
        out = self.out_norm(tokens).view(batch, places, channels)
        out = out.permute(0, 2, 1).reshape(batch, channels, height, width)
        masks = attention.permute(0, 3, 2, 1).reshape(batch, dates, self.heads, height, width)
        return out, masks.masked_fill(padding[:, :, None, None, None], 0.0)

    def _normalise(self, series: Tensor, *, padding: Tensor) -> Tensor:
        """Normalise groups of channels over the dates of each place: [B, places, T, C]."""
        batch, places, dates, channels = series.shape
        groups = series.float().view(batch, places, dates, self.heads, -1)
        if self.padded_statistics:
            padding = torch.zeros_like(padding)
        real = (~padding).to(groups.dtype)[:, None, :, None, None]  # [B, 1, T, 1, 1]
        count = (real.sum(dim=2, keepdim=True) * groups.shape[-1]).clamp_min(1)
        mean = (groups * real).sum(dim=(2, 4), keepdim=True) / count
        centred = groups - mean
        variance = (centred.square() * real).sum(dim=(2, 4), keepdim=True) / count
        scaled = centred * torch.rsqrt(variance + self.in_norm.eps)
        scaled = scaled.reshape(batch, places, dates, channels)
        return scaled * self.in_norm.weight + self.in_norm.bias

    def _position(self, days: Tensor) -> Tensor:
        """Give the positional code [B, T, inner] of signed days [B, T]."""
        size = self.inner // self.heads
        slot = torch.arange(size, device=days.device)
        period = 1000.0 ** (2 * torch.div(slot, 2, rounding_mode="floor") / size)
        angle = days.float()[..., None] / period
        code = torch.where(slot % 2 == 0, angle.sin(), angle.cos())
        return code.repeat(1, 1, self.heads)
