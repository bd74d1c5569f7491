"""Predict a part of a data set with a run's best epoch: every patch exactly once."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from baselines.data import batches, layout, rasters
from baselines.data.layout import Patch
from baselines.data.samples import Files
from baselines.train import loop, state
from baselines.train.events import Event
from baselines.train.recipe import Recipe

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
        from baselines.train import module

        self.recipe: Recipe
        self.recipe, saved = state.load_best(run_dir)
        if not allow_unfinished:
            state.require_finished(run_dir)
        self.patch_px: int = saved["patch_px"]
        self.device = _choose(device)
        self.memory_format = module.memory_format(self.recipe)
        network = module.build_network(self.recipe, patch_px=self.patch_px, trained=True)
        try:
            network.load_state_dict(saved["network"])
        except RuntimeError as wrong:
            raise ValueError(
                f"{run_dir}: weights of another network than its recipe {self.recipe.name!r} says"
            ) from wrong
        self.network: nn.Module = network.to(self.device).eval()
        self._is_mixed = self.recipe.training.precision == "bf16" and loop.has_bfloat16(self.device)

    def probabilities(self, batch: batches.Tensors, *, flips: bool = False) -> Tensor:
        """Give float32[B, classes, H, W], the mean over the square's symmetries with `flips`."""
        codes = range(8) if flips else range(1)
        summed: Tensor | None = None
        with torch.inference_mode(), self._autocast():
            for code in codes:
                turn = torch.full((len(batch["index"]),), code)
                inputs = batches.to_inputs(
                    {**batch, "turn": turn},
                    device=self.device,
                    moved="together" if code else "none",
                    memory_format=self.memory_format,
                )
                inputs.pop("target", None)
                logits = self.network(**inputs).logits.float()
                scores = batches.turn_back(logits.softmax(dim=1), turn.to(self.device))
                summed = scores if summed is None else summed + scores
        assert summed is not None
        return summed / len(codes)

    @contextmanager
    def _autocast(self) -> Iterator[None]:
        with torch.autocast(
            self.device.type,
            dtype=torch.bfloat16,
            enabled=self._is_mixed,
        ):
            yield


def run(
    run_dir: Path,
    *,
    data_root: Path,
    out_dir: Path,
    part: str = "test",
    ids: Collection[str] | None = None,
    batch_size: int | None = None,
    flips: bool = False,
    probabilities: bool = False,
    georeferenced: bool = False,
    device: str = "auto",
    allow_unfinished: bool = False,
    on_event: Callable[[Event], None] = lambda event: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Write `PRED_<id>.tif` (uint8 class ids, LZW) for every patch of a part into `out_dir`.

    `ids` keeps only these patches, all of which must be there, in this part or in the other.
    `flips` averages over the eight symmetries of the square; `probabilities` also writes
    `PROB_<id>.tif`, one band a class, probability × 255; `georeferenced` copies the
    image's georeference.
    Files that are there already are written anew. Events: "predicted" with `done` and `total`.

    Gives `state` ("finished" or "stopped"), `patches`, `seconds`, `patches_per_s`.
    Raises FileNotFoundError without a trained epoch or data, ValueError when patches lack an input
    or the training is not finished (unless `allow_unfinished`).
    """
    predictor = Predictor(run_dir, device=device, allow_unfinished=allow_unfinished)
    patches = find(data_root, part=part, ids=ids)
    source = Files(patches, options=predictor.recipe.options(masks=False))
    size = batch_size or predictor.recipe.training.batch_size
    out_dir.mkdir(parents=True, exist_ok=True)
    begun = time.perf_counter()
    done = 0
    written: list[Future[None]] = []
    with ThreadPoolExecutor(4) as pool:
        for batch in batches.Epoch(source, size, pinned=predictor.device.type == "cuda"):
            if should_stop():
                break
            shares = predictor.probabilities(batch, flips=flips)
            classes = classes_of(shares)
            scaled = (
                (shares * PROBABILITY_SCALE).round().to(torch.uint8).cpu().numpy()
                if probabilities
                else None
            )
            for row, position in enumerate(batch["index"].tolist()):
                patch = patches[position]
                georeference = rasters.georeference(patch.image) if georeferenced else None
                target = out_dir / f"PRED_{patch.id}.tif"
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
        "seconds": seconds,
        "patches_per_s": done / seconds,
    }


def find(data_root: Path, *, part: str, ids: Collection[str] | None) -> tuple[Patch, ...]:
    """Give a part's patches, or the wanted ones, of the other part where this one lacks them.

    A phase may ask for validation patches, which lie in the train part.
    Raises FileNotFoundError when there is none, or one of the wanted is missing.
    """
    if ids is None:
        patches = layout.index(data_root, part=part).patches
        if not patches:
            raise FileNotFoundError(f"{data_root} holds no {part} patch")
        return patches
    wanted = set(ids)
    found: dict[str, Patch] = {}
    for patch in layout.index(data_root).patches:
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
