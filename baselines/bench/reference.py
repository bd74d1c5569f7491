"""U-T&T as the published code computes it: the reference of the benchmark and tests.

Written from the specification (decision 061 has its source), defects
included: dense dates, a dummy pass of every encoder block, parts without gradient, padded dates
found by their zeros, satellite logits at full size. Nothing in the product uses it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from baselines.dependencies import segmentation_models
from baselines.networks.utt import Utt

WIDTHS = (64, 64, 128, 128)


def _group(inside: int, outside: int, *, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inside, outside, kernel, stride, 1, padding_mode="reflect"),
        nn.GroupNorm(4, outside),
        nn.ReLU(),
    )


def _batch(inside: int, outside: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, 1, 1, padding_mode="reflect"),
        nn.BatchNorm2d(outside),
        nn.ReLU(),
    )


class _PerDate(nn.Module):
    """Run a block over the dates that aren't all zero, leaving zeros for the others."""

    def smart(self, series: Tensor) -> Tensor:
        batch, dates = series.shape[:2]
        frames = series.reshape(batch * dates, *series.shape[2:])
        shape = self.block(torch.zeros_like(frames)).shape  # the dummy pass, to learn the shape
        empty = (frames == 0).flatten(1).all(dim=1)
        out = torch.zeros(shape, dtype=series.dtype)
        out[~empty] = self.block(frames[~empty])
        return out.view(batch, dates, *shape[1:])

    def block(self, frames: Tensor) -> Tensor:
        raise NotImplementedError


class _Stem(_PerDate):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(_group(10, 64), _group(64, 64))

    def block(self, frames: Tensor) -> Tensor:
        out: Tensor = self.layers(frames)
        return out


class _Down(_PerDate):
    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.down = _group(inside, inside, kernel=4, stride=2)
        self.first = _group(inside, outside)
        self.second = _group(outside, outside)

    def block(self, frames: Tensor) -> Tensor:
        out = self.first(self.down(frames))
        result: Tensor = out + self.second(out)
        return result


class _Up(nn.Module):
    def __init__(self, inside: int, outside: int, skip: int) -> None:
        super().__init__()
        self.skip = nn.Sequential(nn.Conv2d(skip, skip, 1), nn.BatchNorm2d(skip), nn.ReLU())
        self.up = nn.Sequential(
            nn.ConvTranspose2d(inside, outside, 4, 2, 1), nn.BatchNorm2d(outside), nn.ReLU()
        )
        self.first = _batch(outside + skip, outside)
        self.second = _batch(outside, outside)

    def forward(self, coarse: Tensor, skip: Tensor) -> Tensor:
        out = self.first(torch.cat([self.up(coarse), self.skip(skip)], 1))
        result: Tensor = out + self.second(out)
        return result


class _Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.in_norm = nn.GroupNorm(16, 128)
        self.embed = nn.Conv1d(128, 256, 1)
        self.query = nn.Parameter(torch.zeros(16, 4).normal_(0, math.sqrt(0.5)))
        self.keys = nn.Linear(256, 64)
        nn.init.normal_(self.keys.weight, 0, math.sqrt(0.5))
        self.project = nn.Linear(256, 128)
        self.project_norm = nn.BatchNorm1d(128)
        self.out_norm = nn.GroupNorm(16, 128)
        self.attention_dropout = nn.Dropout(0.1)
        self.dropout = nn.Dropout(0.2)

    def forward(self, maps: Tensor, days: Tensor, padding: Tensor) -> tuple[Tensor, Tensor]:
        b, t, c, h, w = maps.shape
        sequences = maps.permute(0, 3, 4, 1, 2).reshape(b * h * w, t, c)
        sequences = self.in_norm(sequences.permute(0, 2, 1))
        sequences = self.embed(sequences).permute(0, 2, 1)  # [N, T, 256]
        code = torch.zeros(b, t, 16)
        for slot in range(16):
            angle = days / 1000 ** (2 * (slot // 2) / 16)
            code[:, :, slot] = torch.sin(angle) if slot % 2 == 0 else torch.cos(angle)
        code = torch.cat([code] * 16, dim=-1)
        sequences = sequences + code[:, None].expand(b, h * w, t, 256).reshape(b * h * w, t, 256)
        keys = self.keys(sequences).view(b * h * w, t, 16, 4).permute(2, 0, 1, 3)
        pads = padding[:, None].expand(b, h * w, t).reshape(b * h * w, t)
        heads, weights = [], []
        for head in range(16):
            scores = keys[head] @ self.query[head] / 2.0
            scores = scores.masked_fill(pads, -1000.0)
            attention = self.attention_dropout(torch.softmax(scores, dim=-1))
            weights.append(attention)
            value = sequences[:, :, 16 * head : 16 * head + 16]
            heads.append(torch.bmm(attention[:, None], value)[:, 0])
        merged = self.project(torch.cat(heads, dim=-1))
        merged = self.dropout(torch.relu(self.project_norm(merged)))
        merged = self.out_norm(merged).view(b, h, w, 128).permute(0, 3, 1, 2)
        stacked = torch.stack(weights).view(16, b, h, w, t).permute(0, 1, 4, 2, 3)
        return merged, stacked


class ReferenceUtae(nn.Module):
    """U-TAE with its unused output convolution; 2,284,199 parameters."""

    def __init__(self) -> None:
        """Build the published sizes."""
        super().__init__()
        self.stem = _Stem()
        self.down = nn.ModuleList([_Down(64, 64), _Down(64, 128), _Down(128, 128)])
        self.attention = _Attention()
        self.up = nn.ModuleList([_Up(128, 128, 128), _Up(128, 64, 64), _Up(64, 64, 64)])
        self.out = nn.Sequential(_batch(64, 32), _batch(32, 13))

    def forward(self, series: Tensor, days: Tensor) -> Tensor:
        """Turn [B, T, 10, 40, 40] into [B, 64, 40, 40]; frames of zeros are padding."""
        padding = (series == 0).flatten(2).all(dim=2)
        maps = [self.stem.smart(series)]
        for down in self.down:
            assert isinstance(down, _PerDate)
            maps.append(down.smart(maps[-1]))
        out, attention = self.attention(maps[-1], days, padding)
        for index, up in enumerate(self.up):
            skip = maps[-(index + 2)]
            b, t, _, h, w = skip.shape
            resized = functional.interpolate(
                attention.reshape(16 * b, t, *attention.shape[-2:]),
                size=(h, w), mode="bilinear", align_corners=False,
            ).view(16, b, t, h, w)  # fmt: skip
            resized = resized * (~padding)[None, :, :, None, None]
            groups = torch.stack(skip.chunk(16, dim=2))  # [16, B, T, C/16, h, w]
            summed = (resized[:, :, :, None] * groups).sum(dim=2)
            out = up(out, torch.cat(list(summed), dim=1))
        self.out(out)  # computed and discarded
        result: Tensor = out
        return result


def _mlp(channels: int) -> nn.Sequential:
    step = int(abs(64 - channels) / 3)
    first, second = (64 + step, 64 + 2 * step) if channels > 64 else (64 - step, 64 - 2 * step)
    if channels == 64:
        first = second = 128
    return nn.Sequential(
        nn.Linear(64, first), nn.Dropout(0.3), nn.ReLU(),
        nn.Linear(first, second), nn.Dropout(0.3), nn.ReLU(),
        nn.Linear(second, channels),
    )  # fmt: skip


class ReferenceUtt(nn.Module):
    """U-T&T as published; 27,254,744 parameters."""

    def __init__(self) -> None:
        """Build the published sizes."""
        super().__init__()
        self.unet = segmentation_models().Unet(
            "resnet34", encoder_weights=None, in_channels=5, classes=13
        )
        self.utae = ReferenceUtae()
        channels = (5, 64, 64, 128, 256, 512)
        self.cropped = nn.ModuleList(nn.Conv2d(64, out, 1) for out in channels)
        self.collapsed = nn.ModuleList(_mlp(out) for out in channels)
        self.head = nn.Conv2d(64, 13, 1)

    def forward(self, aerial: Tensor, series: Tensor, days: Tensor) -> tuple[Tensor, Tensor]:
        """Give the satellite's and the aerial logits, both [B, 13, H, W]."""
        decoded = self.utae(series, days)
        crop = decoded[:, :, 15:25, 15:25]
        mean = decoded.mean(dim=(2, 3))[0]  # of the first sample, for the whole batch
        maps = self.unet.encoder(aerial)
        fused = []
        for index, level in enumerate(maps):
            part = functional.interpolate(
                self.cropped[index](crop), size=level.shape[-2:], mode="bilinear",
                align_corners=False,
            )  # fmt: skip
            whole = self.collapsed[index](mean)[None, :, None, None].expand_as(level)
            fused.append(level + part + whole)
        satellite = functional.interpolate(crop, size=aerial.shape[-2:], mode="nearest")
        logits = self.unet.segmentation_head(self.unet.decoder(fused))
        return self.head(satellite), logits


def copy_weights(reference: ReferenceUtt, ours: Utt) -> None:
    """Copy the reference's weights into our U-T&T, part by part in the order of the layers.

    Raises ValueError when two parts differ in more than names.
    """
    pairs = [
        (reference.unet.encoder, ours.aerial.encoder),
        (reference.unet.decoder, ours.aerial.decoder),
        (reference.unet.segmentation_head, ours.aerial.head),
        (reference.utae.stem, ours.series.stem),
        (reference.utae.down, ours.series.down),
        (reference.utae.attention, ours.series.attention),
        (reference.utae.up, ours.series.up),
        (reference.cropped[1:], ours.cropped),
        (reference.collapsed[1:], ours.collapsed),
        (reference.head, ours.sentinel_head),
    ]
    with torch.no_grad():
        for theirs, mine in pairs:
            if mine is None:
                raise ValueError("our network lacks a branch of the published one")
            source, target = theirs.state_dict(), mine.state_dict()
            if len(source) != len(target):
                raise ValueError(f"{len(source)} tensors against {len(target)}")
            for (name, value), (own_name, slot) in zip(source.items(), target.items(), strict=True):
                if value.numel() != slot.numel():
                    raise ValueError(f"{name} {value.shape} against {own_name} {slot.shape}")
                slot.copy_(value.view_as(slot))
