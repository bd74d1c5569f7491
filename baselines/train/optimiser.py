"""The optimiser of a recipe: its groups of weights, and rates that follow a plan."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from baselines.train.recipe import Optimiser

PLANNED = frozenset({"one-cycle", "cosine"})
_ONE_CYCLE_WARM = 0.25


def build(network: nn.Module, settings: Optimiser) -> torch.optim.Optimizer:
    """Build the optimiser with a group of weights for each rate and decay.

    The aerial encoder has `encoder_lr_factor` times the rate; without `decay_norms` normalisations,
    biases and other vectors are not decayed. One group where neither is asked for.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        is_encoder = name.startswith(("encoder.", "aerial.encoder."))
        factor = settings.encoder_lr_factor if is_encoder else 1.0
        is_decayed = settings.decay_norms or parameter.ndim > 1
        decay = settings.weight_decay if is_decayed else 0.0
        groups.setdefault((factor, decay), []).append(parameter)
    listed: list[dict[str, Any]] = [
        {"params": parameters, "lr": settings.lr * factor, "weight_decay": decay, "factor": factor}
        for (factor, decay), parameters in groups.items()
    ]
    if settings.name == "sgd":
        return torch.optim.SGD(listed, lr=settings.lr, momentum=settings.momentum)
    return torch.optim.AdamW(listed, lr=settings.lr, betas=settings.betas)


def rate_factor(settings: Optimiser, *, share: float) -> float | None:
    """Give what the rate is multiplied with after a share 0..1 of the run; None: left alone.

    "cosine" rises in a line over the share `warmup` and falls as half a cosine to 0; "one-cycle"
    rises and falls as half cosines.
    """
    if settings.schedule == "cosine":
        if share < settings.warmup:
            return max(share / settings.warmup, 1e-3)
        rest = (share - settings.warmup) / (1 - settings.warmup)
        return (1 + math.cos(math.pi * rest)) / 2
    if settings.schedule == "one-cycle":
        warm = _ONE_CYCLE_WARM
        if share < warm:
            return 0.04 + 0.96 * (1 - math.cos(math.pi * share / warm)) / 2
        return 1e-3 + (1 + math.cos(math.pi * (share - warm) / (1 - warm))) / 2
    return None


def set_rate(optimiser: torch.optim.Optimizer, settings: Optimiser, *, factor: float) -> None:
    """Set the rate of every group, each by its own factor."""
    for group in optimiser.param_groups:
        group["lr"] = settings.lr * factor * group.get("factor", 1.0)
