"""The losses of the FLAIR papers, robust where the published ones are not."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional

from baselines.networks import Output


def class_weights(n_classes: int, *, without: Iterable[int]) -> Tensor:
    """Give [n_classes] ones, 0 for the classes whose pixels don't count."""
    weights = torch.ones(n_classes)
    weights[list(without)] = 0
    return weights


def cross_entropy(logits: Tensor, target: Tensor, *, weights: Tensor) -> Tensor:
    """Weighted mean cross-entropy of [B, C, H, W] and int64[B, H, W].

    As torch's, but 0 (with zero gradients) and not NaN where no pixel counts.
    """
    total = functional.cross_entropy(logits.float(), target, weight=weights, reduction="sum")
    counted = weights[target].sum()
    return total / counted.clamp_min(1)


def cell_cross_entropy(cells: Tensor, target: Tensor, *, weights: Tensor) -> Tensor:
    """As `cross_entropy` of the cells [B, C, h, w] enlarged to the target by nearest neighbours.

    Exact without enlarging: every pixel of a cell has the cell's logits, so a histogram of the
    labels in each cell is all that matters.
    """
    batch, classes, height, width = cells.shape
    rows = _nearest_source(target.shape[-2], height, device=target.device)
    columns = _nearest_source(target.shape[-1], width, device=target.device)
    sample = torch.arange(batch, device=target.device)[:, None, None]
    cell = (sample * height + rows[:, None]) * width + columns  # [B, H, W]
    counts = count(cell * classes + target, bins=batch * height * width * classes)
    counts = counts.view(batch, height, width, classes)
    counted = counts.permute(0, 3, 1, 2) * weights[:, None, None]
    losses = -(counted * functional.log_softmax(cells.float(), dim=1)).sum()
    return losses / counted.sum().clamp_min(1)


def count(values: Tensor, *, bins: int) -> Tensor:
    """Count int64 values 0..bins-1 of any shape: int64[bins].

    As torch's bincount, which is quickest on a CPU and makes the others wait for their device.
    """
    flat = values.flatten()
    if flat.device.type == "cpu":
        return torch.bincount(flat, minlength=bins)
    return _count_by_adding(flat, bins=bins)


def _count_by_adding(flat: Tensor, *, bins: int) -> Tensor:
    return flat.new_zeros(bins).scatter_add_(0, flat, torch.ones_like(flat))


def _nearest_source(size: int, cells: int, *, device: torch.device) -> Tensor:
    """Tell from which cell each of `size` pixels comes, as torch's nearest upsampling does."""
    return torch.div(torch.arange(size, device=device) * cells, size, rounding_mode="floor")


def total(
    out: Output,
    target: Tensor,
    *,
    weights: Tensor,
    sentinel_weights: Tensor,
    sentinel_factor: float = 1.0,
) -> Tensor:
    """Add the aerial loss and, where there is a satellite head, its loss times the factor."""
    loss = cross_entropy(out.logits, target, weights=weights)
    if out.sentinel_cells is None or sentinel_factor == 0:
        return loss
    if out.sentinel_upsampling == "nearest":
        aside = cell_cross_entropy(out.sentinel_cells, target, weights=sentinel_weights)
    else:
        logits = out.sentinel_logits
        assert logits is not None
        aside = cross_entropy(logits, target, weights=sentinel_weights)
    return loss + sentinel_factor * aside
