"""The losses of the FLAIR papers, robust where the published ones are not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from baselines.dependencies import segmentation_models
from baselines.networks import Output

IGNORED = -100
Beside = Callable[[Tensor, Tensor], Tensor]


def class_weights(n_classes: int, *, without: Iterable[int], given: Sequence[float] = ()) -> Tensor:
    """Give [n_classes] weights: those given, else ones; 0 for classes whose pixels don't count."""
    weights = torch.tensor(given) if given else torch.ones(n_classes)
    weights[list(without)] = 0
    return weights


def cross_entropy(
    logits: Tensor, target: Tensor, *, weights: Tensor, label_smoothing: float = 0.0
) -> Tensor:
    """Weighted mean cross-entropy of [B, C, H, W] and int64[B, H, W].

    As torch's, but 0 (with zero gradients) and not NaN where no pixel counts; smoothed labels are
    those of pixels that count. A target C is outside of the patch and counts nowhere.
    """
    labels, ignored = target, len(weights)
    if label_smoothing != 0:
        labels, ignored = counted_only(target, weights=weights), IGNORED
    total = functional.cross_entropy(
        logits.float(), labels, weight=weights, reduction="sum", ignore_index=ignored,
        label_smoothing=label_smoothing,
    )  # fmt: skip
    counted = _weights_of(target, weights=weights).sum()
    return total / counted.clamp_min(1)


def counted_only(target: Tensor, *, weights: Tensor) -> Tensor:
    """Give the target with `IGNORED` where a pixel's class has no weight."""
    return target.masked_fill(_weights_of(target, weights=weights) == 0, IGNORED)


def _weights_of(target: Tensor, *, weights: Tensor) -> Tensor:
    """Give each pixel's weight; 0 outside of the patch, where the target is one past the ids."""
    return functional.pad(weights, (0, 1))[target]


def beside(kind: str, *, weights: Tensor) -> Beside | None:
    """Give the loss `dice`, `focal` or `lovasz` of logits and target, None for `none`.

    From segmentation-models-pytorch, over the classes that have a weight; all of those alike.
    """
    if kind == "none":
        return None
    library = segmentation_models().losses
    if kind == "focal":
        summed = library.FocalLoss("multiclass", ignore_index=IGNORED, reduction="sum")
        # Its own mean is no number where no pixel counts.
        return lambda logits, target: (
            summed(logits, target) / ((target != IGNORED).sum().clamp_min(1))
        )
    if kind == "lovasz":
        lovasz: Beside = library.LovaszLoss("multiclass", ignore_index=IGNORED)
        return lovasz
    classes = torch.nonzero(weights).squeeze(1).tolist()
    dice: Beside = library.DiceLoss("multiclass", classes=classes, ignore_index=IGNORED)
    return dice


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
    bins = classes + 1  # one past the ids: outside of the patch
    counts = count(cell * bins + target, bins=batch * height * width * bins)
    counts = counts.view(batch, height, width, bins)[..., :classes]
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
    label_smoothing: float = 0.0,
    beside: Beside | None = None,
    beside_factor: float = 1.0,
) -> Tensor:
    """Add the aerial losses and, where there is a satellite head, its loss times the factor."""
    loss = cross_entropy(out.logits, target, weights=weights, label_smoothing=label_smoothing)
    if beside is not None:  # the sum: without any pixel that counts Lovász's is empty
        labels = counted_only(target, weights=weights)
        loss = loss + beside_factor * beside(out.logits.float(), labels).sum()
    if out.sentinel_cells is None or sentinel_factor == 0:
        return loss
    if out.sentinel_upsampling == "nearest":
        aside = cell_cross_entropy(out.sentinel_cells, target, weights=sentinel_weights)
    else:
        logits = out.sentinel_logits
        assert logits is not None
        aside = cross_entropy(logits, target, weights=sentinel_weights)
    return loss + sentinel_factor * aside
