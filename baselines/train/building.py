"""A recipe's network, as it is trained and as it predicts."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from baselines import networks
from baselines.train.recipe import Recipe


def build_network(
    recipe: Recipe, *, patch_px: int, trained: bool = False, weights_folder: Path | None = None
) -> nn.Module:
    """Build a recipe's network for patches of that side, in the memory layout it trains in.

    `trained`: its own weights are put in at once, so pre-trained ones are not asked for;
    `weights_folder` holds copies of those.
    """
    options = {**recipe.network_options(), "patch_px": patch_px}
    if trained:
        options.pop("encoder_weights", None)
    if "aerial" in recipe.inputs:
        options["weights_folder"] = weights_folder
    network = networks.build(recipe.network.name, **options)
    return network.to(memory_format=memory_format(recipe))  # type: ignore[call-overload, no-any-return]


def memory_format(recipe: Recipe) -> torch.memory_format:
    """Give the layout of images and weights that a recipe asks for."""
    return torch.channels_last if recipe.training.channels_last else torch.contiguous_format
