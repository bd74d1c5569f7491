"""A soup: one network whose weights are the mean of several runs' weights.

Source: Wortsman et al., "Model soups: averaging weights of multiple fine-tuned models improves
accuracy without increasing inference time" (2022). The runs must begin with the same weights,
those of the decoder included (the same seed), to lie close enough together. Statistics of batch
normalisation are not averaged: they are measured anew on training patches, since those of the mean
weights are none of the runs'.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from baselines import evaluate, predict
from baselines.data import batches, layout
from baselines.data.layout import Patch
from baselines.data.samples import Files
from baselines.train import exported, state
from baselines.train.events import Event
from scoring.engine.metrics import metrics

NORM_PATCHES = 256
_NORMS = nn.modules.batchnorm._BatchNorm


@dataclass(frozen=True)
class _Member:
    name: str
    share: float
    tensors: dict[str, Tensor]


def run(
    run_dirs: Sequence[Path],
    *,
    data_root: Path,
    out_dir: Path,
    weights: Sequence[float] | None = None,
    greedy: bool = False,
    norm_patches: int = NORM_PATCHES,
    batch_size: int | None = None,
    device: str = "auto",
    allow_unfinished: bool = False,
    on_event: Callable[[Event], None] = lambda event: None,
) -> dict[str, Any]:
    """Write the mean of the runs' best epochs into `out_dir`, in the form of an export.

    `weights` is a number for each run, 1 without. With `greedy` the runs are tried one by one,
    from the best of validation down, and one that lowers the soup's validation mIoU is left out;
    their seeds may differ then.
    Batch normalisation is measured on `norm_patches` training patches, spread over all of them.

    Gives `folder`, `members` (the runs that are in it), `miou` of each run and of the soup on the
    validation part, and `weights_sha256`.
    Raises ValueError for fewer than two runs, runs whose networks, inputs or first weights differ
    (naming the key), and a folder that is not empty; what `predict.Predictor` raises.
    """
    if out_dir.exists() and any(out_dir.iterdir()):
        raise ValueError(f"{out_dir} is not empty; give a new folder, or empty it")
    shares = predict.shares_of(run_dirs, weights)
    if len(run_dirs) < 2:
        raise ValueError("a soup needs two runs or more")
    predictors = [
        predict.Predictor(run_dir, device=device, allow_unfinished=allow_unfinished)
        for run_dir in run_dirs
    ]
    facts = [
        _of_weights(predictor) | ({} if greedy else {"seed": _seed(run_dir)})
        for run_dir, predictor in zip(run_dirs, predictors, strict=True)
    ]
    for run_dir, other in zip(run_dirs[1:], facts[1:], strict=True):
        _require_alike(facts[0], other, names=(str(run_dirs[0]), str(run_dir)))
    members = [
        _Member(str(run_dir), share, _copied(predictor.network))
        for run_dir, share, predictor in zip(run_dirs, shares, predictors, strict=True)
        if share > 0
    ]
    mixer = _Mixer(
        predictors[0], data_root, norm_patches=norm_patches, batch_size=batch_size,
        on_event=on_event,
    )  # fmt: skip
    alone = {one.name: mixer.miou(one.tensors) for one in members}
    chosen = members
    if greedy:
        members.sort(key=lambda one: -alone[one.name])
        chosen = _kept(mixer, members, first=alone[members[0].name])
    tensors = mixer.mean(chosen)
    miou = mixer.miou(tensors)
    recipe = predictors[0].recipe
    whole = sum(one.share for one in chosen)
    config = exported.write(
        out_dir, recipe, tensors, patch_px=predictors[0].patch_px, spec=recipe.spec,
        made_from=[
            {"run": one.name, "share": one.share / whole,
             "weights_sha256": exported.digest_of(one.tensors)}
            for one in chosen
        ],
    )  # fmt: skip
    return {
        "folder": str(out_dir),
        "members": [one.name for one in chosen],
        "miou_of_runs": alone,
        "miou": miou,
        "weights_sha256": config["weights_sha256"],
    }


def _kept(mixer: _Mixer, members: Sequence[_Member], *, first: float) -> list[_Member]:
    """Give the members, tried in their order, that don't lower the validation mIoU."""
    kept, best = [members[0]], first
    for one in members[1:]:
        miou = mixer.miou(mixer.mean([*kept, one]))
        if miou >= best:
            kept, best = [*kept, one], miou
    return kept


class _Mixer:
    """Means of weights, their batch normalisation measured, and their validation mIoU."""

    def __init__(
        self,
        predictor: predict.Predictor,
        data_root: Path,
        *,
        norm_patches: int,
        batch_size: int | None,
        on_event: Callable[[Event], None],
    ) -> None:
        """Take the network of a predictor, whose weights are replaced again and again."""
        self.predictor = predictor
        self.size = batch_size or predictor.recipe.training.batch_size
        train, self.validation = predictor.recipe.split(
            layout.index(data_root, part="train", spec=predictor.recipe.spec)
        )
        step = max(1, len(train) // norm_patches)
        self.train: tuple[Patch, ...] = train[::step][:norm_patches]
        self.on_event = on_event

    def mean(self, members: Sequence[_Member]) -> dict[str, Tensor]:
        """Give the weighted mean of the members' weights, with batch normalisation measured anew.

        Whole numbers (how many batches a normalisation has seen) are the first member's. One
        member alone is given as it is.
        """
        if len(members) == 1:
            return members[0].tensors
        whole = sum(one.share for one in members)
        mixed = {}
        for name, first in members[0].tensors.items():
            if first.is_floating_point():
                summed = sum(one.tensors[name].double() * (one.share / whole) for one in members)
                mixed[name] = torch.as_tensor(summed).to(first.dtype)
            else:
                mixed[name] = first
        network = self.predictor.network
        network.load_state_dict(mixed)
        self._measure_norms(network)
        return _copied(network)

    def _measure_norms(self, network: nn.Module) -> None:
        """Let batch normalisations take the mean over all batches; dropout stays off."""
        norms = [module for module in network.modules() if isinstance(module, _NORMS)]
        if not norms:
            return
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # torch then takes the mean over all batches
            norm.train()
        source = Files(self.train, options=self.predictor.recipe.options(masks=False))
        for batch in batches.Epoch(source, self.size, shuffle=True):
            self.predictor.probabilities(batch)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.eval()

    def miou(self, tensors: dict[str, Tensor]) -> float:
        """Give the mIoU of weights on the validation part."""
        self.predictor.network.load_state_dict(tensors)
        recipe = self.predictor.recipe
        counted = evaluate.matrices(
            self.predictor, self.validation, batch_size=self.size, on_event=self.on_event
        )
        return float(metrics.measure(counted.sum(axis=0), spec=recipe.spec).miou)


def _require_alike(was: dict[str, Any], now: dict[str, Any], *, names: tuple[str, str]) -> None:
    """Raise ValueError, naming every key that differs, for runs that cannot be averaged."""
    differing = [
        f"{key} is {was.get(key)!r} in {names[0]} and {now.get(key)!r} in {names[1]}"
        for key in sorted({*was, *now})
        if was.get(key) != now.get(key)
    ]
    if differing:
        raise ValueError(
            f"a soup needs runs of one network with the same inputs and start: "
            f"{'; '.join(differing)}. --greedy takes runs of several seeds and leaves out those "
            "that do harm; `predict RUN RUN` averages the predictions of any runs"
        )


def _copied(network: nn.Module) -> dict[str, Tensor]:
    """Give a network's weights, which stay when the network gets others."""
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def _seed(run_dir: Path) -> int | None:
    """Give the seed of a run, which decides the first weights of its decoder; None of an export."""
    path = run_dir / state.RUN
    return json.loads(path.read_text())["seed"] if path.is_file() else None


def _of_weights(predictor: predict.Predictor) -> dict[str, Any]:
    """Give what decides which weights a network has and what they look at."""
    recipe = predictor.recipe
    network, data = recipe.network, recipe.data
    options = {f"network.options.{key}": value for key, value in network.options.items()}
    return {
        "task": recipe.task_id,
        "patch side": predictor.patch_px,
        "network.name": network.name,
        "network.published": network.published,
        "data.bands": data.bands,
        "data.normalisation": data.normalisation,
        "data.metadata": data.metadata,
        "data.metadata_encoding": data.metadata_encoding,
        "data.crop_cells": data.crop_cells,
        **options,
    }
