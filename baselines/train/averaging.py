"""A moving mean of the weights beside a training: what is validated, kept and predicts."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

Tensors = tuple[Tensor, ...] | list[Tensor]


def of(
    network: nn.Module, *, decay: float | None, resumed: dict[str, Any] | None
) -> AveragedModel | None:
    """Give the mean of a network's weights with this decay a step, as resumed; None without.

    The first steps take less of the mean (:func:`decay_of`), or a short training would predict
    with little but its first weights.
    """
    if decay is None:
        return None

    def mean(means: Tensors, weights: Tensors, _steps: Tensor | int) -> None:
        # `averaged` counts on the CPU; reading `_steps` would wait for the device.
        now = decay_of(int(averaged.n_averaged), decay=decay)
        get_ema_multi_avg_fn(now)(means, weights, _steps)  # type: ignore[no-untyped-call]

    averaged = AveragedModel(network, multi_avg_fn=mean, use_buffers=True).requires_grad_(False)
    if resumed is not None:
        averaged.module.load_state_dict(resumed["network"])
        averaged.n_averaged.fill_(resumed["averaged_steps"])
    return averaged


def decay_of(step: int, *, decay: float) -> float:
    """Give the share of the mean that stays at a step, from 0: `decay`, less at first.

    Source: `num_updates` of TensorFlow's `tf.train.ExponentialMovingAverage`.
    """
    return min(decay, (1 + step) / (10 + step))


def predicting(network: nn.Module, averaged: AveragedModel | None) -> nn.Module:
    """Give the network whose weights predict."""
    return network if averaged is None else averaged.module


def state(network: nn.Module, averaged: AveragedModel | None) -> dict[str, Any]:
    """Give what a checkpoint must hold beside the weights that predict."""
    if averaged is None:
        return {}
    return {"moving": network.state_dict(), "averaged_steps": int(averaged.n_averaged)}
