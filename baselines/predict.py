"""Predict a part of a data set with a run's best epoch: every patch exactly once."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from baselines.data import batches, layout, rasters
from baselines.data.layout import Patch
from baselines.data.samples import Files
from baselines.train import arithmetic, building, state
from baselines.train.events import Event
from baselines.train.recipe import Recipe
from scoring.engine.task.specification import TaskSpec

PROBABILITY_SCALE = 255


class Predictor:
    """A trained network on a device: inputs in, class probabilities out."""

    def __init__(
        self, run_dir: Path, *, device: str = "auto", allow_unfinished: bool = False
    ) -> None:
        """Load a run's best epoch.

        Raises FileNotFoundError when there is none, ValueError when it is damaged or of another
        network, the training is not finished and that isn't allowed, or the device isn't there.
        """
        self.recipe: Recipe
        self.recipe, saved = state.load_best(run_dir)
        if not allow_unfinished:
            state.require_finished(run_dir)
        self.patch_px: int = saved["patch_px"]
        self.device = _choose(device)
        self.memory_format = building.memory_format(self.recipe)
        network = building.build_network(self.recipe, patch_px=self.patch_px, trained=True)
        try:
            network.load_state_dict(saved["network"])
        except RuntimeError as wrong:
            raise ValueError(
                f"{run_dir}: weights of another network than its recipe {self.recipe.name!r} says"
            ) from wrong
        self.network: nn.Module = network.to(self.device).eval()
        self._mixed = arithmetic.predicting_dtype(self.recipe, device=self.device)

    def probabilities(self, batch: batches.Tensors, *, symmetries: int = 1) -> Tensor:
        """Give float32[B, classes, H, W], the mean over so many of the square's symmetries.

        2 mirrors columns, 4 mirrors rows as well, 8 transposes as well.
        """
        codes = range(symmetries)
        summed: Tensor | None = None
        with torch.inference_mode(), self._autocast():
            for code in codes:
                turn = torch.full((len(batch["index"]),), code)
                inputs = batches.to_inputs(
                    {**batch, "turn": turn},
                    device=self.device,
                    moved="together" if code else "none",
                    memory_format=self.memory_format,
                    normalisation=self.recipe.data.normalisation,
                    bands=self.recipe.data.bands,
                )
                inputs.pop("target", None)
                logits = self.network(**inputs).logits.float()
                scores = batches.turn_back(logits.softmax(dim=1), turn.to(self.device))
                summed = scores if summed is None else summed + scores
        assert summed is not None
        return summed / len(codes)

    @contextmanager
    def _autocast(self) -> Iterator[None]:
        mixed = torch.autocast(
            self.device.type, dtype=self._mixed or torch.bfloat16, enabled=self._mixed is not None
        )
        with mixed, arithmetic.kernels(self.recipe):
            yield


@dataclass(frozen=True)
class Member:
    """A run of an ensemble: its predictor, its patches as it sees them, its share of the mean."""

    predictor: Predictor
    source: Files
    share: float

    def batches(self, size: int) -> Iterator[batches.Tensors]:
        """Yield every patch once, in the order of the files."""
        pinned = self.predictor.device.type == "cuda"
        return iter(batches.Epoch(self.source, size, pinned=pinned))


def run(
    run_dirs: Path | Sequence[Path],
    *,
    data_root: Path,
    out_dir: Path,
    part: str = "test",
    ids: Collection[str] | None = None,
    batch_size: int | None = None,
    weights: Sequence[float] | None = None,
    flips: bool = False,
    time_budget_s: float | None = None,
    probabilities: bool = False,
    georeferenced: bool = False,
    device: str = "auto",
    allow_unfinished: bool = False,
    on_event: Callable[[Event], None] = lambda event: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Write `PRED_<id>.tif` (uint8 class ids, LZW) for every patch of a part into `out_dir`.

    The name is the task's (`prediction_name`).

    Several runs make an ensemble: the mean of their probabilities, weighted by `weights`.
    `ids` keeps only these patches, all of which must be there, in this part or in the other.
    `flips` averages over the eight symmetries of the square; with `time_budget_s` over as many of
    8, 4, 2 or 1 as fit into that time, by a trial on the first batch. `probabilities` also writes
    `PROB_<id>.tif`, one band a class, probability × 255; `georeferenced` copies the
    image's georeference.
    Files that are there already are written anew. Events: "predicted" with `done` and `total`.

    Gives `state` ("finished" or "stopped"), `patches`, `symmetries`, `seconds`, `patches_per_s`.
    Raises FileNotFoundError without a trained epoch or data, ValueError when patches lack an input,
    the weights don't fit the runs, or a training is not finished (unless `allow_unfinished`).
    """
    begun = time.perf_counter()
    members = _members(
        [run_dirs] if isinstance(run_dirs, Path) else run_dirs,
        weights=weights, device=device, allow_unfinished=allow_unfinished,
        patches_of=lambda spec: find(data_root, part=part, ids=ids, spec=spec),
    )  # fmt: skip
    spec, patches = members[0].predictor.recipe.spec, members[0].source.patches
    size = batch_size or min(member.predictor.recipe.training.batch_size for member in members)
    out_dir.mkdir(parents=True, exist_ok=True)
    symmetries = 8 if flips else 1
    if time_budget_s is not None:
        left_s = time_budget_s - (time.perf_counter() - begun)
        symmetries = _affordable(members, size=size, left_s=left_s)
    done = 0
    written: list[Future[None]] = []
    with ThreadPoolExecutor(4) as pool:
        for seen in zip(*(member.batches(size) for member in members), strict=True):
            if should_stop():
                break
            batch = seen[0]
            shares = _mean(members, seen, symmetries=symmetries)
            classes = classes_of(shares)
            scaled = (
                (shares * PROBABILITY_SCALE).round().to(torch.uint8).cpu().numpy()
                if probabilities
                else None
            )
            for row, position in enumerate(batch["index"].tolist()):
                patch = patches[position]
                georeference = rasters.georeference(patch.image) if georeferenced else None
                target = out_dir / spec.prediction_name.replace("{id}", patch.id)
                written.append(
                    pool.submit(rasters.write, target, classes[row], georeference=georeference)
                )
                if scaled is not None:
                    target = out_dir / f"PROB_{patch.id}.tif"
                    written.append(
                        pool.submit(rasters.write, target, scaled[row], georeference=georeference)
                    )
            done += len(batch["index"])
            on_event({"event": "predicted", "done": done, "total": len(patches)})
            written = _raise_or_wait(written, limit=4 * size)
        _raise_or_wait(written, limit=0)
    seconds = time.perf_counter() - begun
    return {
        "state": "finished" if done == len(patches) else "stopped",
        "patches": done,
        "symmetries": symmetries,
        "seconds": seconds,
        "patches_per_s": done / seconds,
    }


def _members(
    run_dirs: Sequence[Path],
    *,
    weights: Sequence[float] | None,
    device: str,
    allow_unfinished: bool,
    patches_of: Callable[[TaskSpec], tuple[Patch, ...]],
) -> list[Member]:
    """Load the runs. Raises ValueError when the weights don't fit them, or their classes differ."""
    shares = shares_of(run_dirs, weights)
    predictors = [
        Predictor(run_dir, device=device, allow_unfinished=allow_unfinished) for run_dir in run_dirs
    ]
    first = predictors[0].recipe
    for run_dir, predictor in zip(run_dirs, predictors, strict=True):
        if not predictor.recipe.learns_like(first.spec):
            raise ValueError(
                f"{run_dir} learned the classes of task {predictor.recipe.task_id!r}, "
                f"{run_dirs[0]} those of {first.task_id!r}; an ensemble needs one list of classes"
            )
    patches = patches_of(first.spec)
    return [
        Member(
            predictor,
            Files(patches, options=predictor.recipe.options(masks=False)),
            share,
        )
        for predictor, share in zip(predictors, shares, strict=True)
    ]


def shares_of(run_dirs: Sequence[Path], weights: Sequence[float] | None) -> list[float]:
    """Give each run's share of a mean, together 1; equal ones without weights.

    Raises ValueError when the weights don't fit the runs.
    """
    given = [1.0] * len(run_dirs) if weights is None else list(weights)
    if len(given) != len(run_dirs) or min(given) < 0 or sum(given) <= 0:
        raise ValueError(
            f"weights {given} for {len(run_dirs)} runs; one number from 0 on for each is needed, "
            "not all 0"
        )
    return [weight / sum(given) for weight in given]


def _mean(members: Sequence[Member], seen: Sequence[batches.Tensors], *, symmetries: int) -> Tensor:
    """Give the weighted mean of the members' probabilities [B, classes, H, W]."""
    summed: Tensor | None = None
    for member, batch in zip(members, seen, strict=True):
        shares = member.predictor.probabilities(batch, symmetries=symmetries) * member.share
        summed = shares if summed is None else summed + shares
    assert summed is not None
    return summed


def _affordable(members: Sequence[Member], *, size: int, left_s: float) -> int:
    """Tell how many symmetries fit into the time that is left, by a trial on the first batch.

    The first call of a network takes longer than the others: the estimate is cautious.
    """
    begun = time.perf_counter()
    seen = [next(member.batches(size)) for member in members]
    _mean(members, seen, symmetries=1).cpu()
    one_s = time.perf_counter() - begun
    rest_s = left_s - one_s
    count = -(-len(members[0].source) // size)
    return next((number for number in (8, 4, 2) if number * one_s * count <= rest_s), 1)


def find(
    data_root: Path, *, part: str, ids: Collection[str] | None, spec: TaskSpec | None = None
) -> tuple[Patch, ...]:
    """Give a part's patches, or the wanted ones, of the other part where this one lacks them.

    A phase may ask for validation patches, which lie in the train part. `spec` says which ids
    there are (None: FLAIR's numbers).
    Raises FileNotFoundError when there is none, or one of the wanted is missing.
    """
    if ids is None:
        patches = layout.index(data_root, part=part, spec=spec).patches
        if not patches:
            raise FileNotFoundError(f"{data_root} holds no {part} patch")
        return patches
    wanted = set(ids)
    found: dict[str, Patch] = {}
    for patch in layout.index(data_root, spec=spec).patches:
        if patch.id in wanted and (patch.part == part or patch.id not in found):
            found[patch.id] = patch
    missing = sorted(wanted - found.keys())
    if missing:
        raise FileNotFoundError(
            f"{data_root} lacks {len(missing)} of the {len(wanted)} patches to predict "
            f"(first: {missing[0]})"
        )
    return tuple(found[patch_id] for patch_id in sorted(wanted))


def classes_of(shares: Tensor) -> NDArray[np.uint8]:
    """Give the likeliest classes uint8[B, H, W] of probabilities [B, classes, H, W]."""
    classes: NDArray[np.uint8] = shares.argmax(dim=1).to(torch.uint8).cpu().numpy()
    return classes


def _raise_or_wait(written: list[Future[None]], *, limit: int) -> list[Future[None]]:
    """Raise what a writer raised; wait while more than `limit` files are unwritten."""
    while len(written) > limit or (written and written[0].done()):
        written.pop(0).result()
    return written


def _choose(device: str) -> torch.device:
    """Find a device by name. Raises ValueError saying which there are."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "auto":
        return torch.device("cuda" if count else "cpu")
    try:
        chosen = torch.device("cuda" if device == "gpu" else device)
    except RuntimeError as wrong:
        raise ValueError(f"device {device!r}; allowed are auto, cpu, gpu, cuda:0 …") from wrong
    if chosen.type == "cuda" and (chosen.index or 0) >= count:
        raise ValueError(f"device {device!r}: torch sees {count} GPUs here")
    return chosen
