"""The Lightning module: one network, its losses, its rate, what happens at an epoch's end."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from baselines import dependencies, networks
from baselines.data import ahead, batches, cache, choices, rasters
from baselines.data.layout import Patch
from baselines.train import (
    averaging,
    building,
    epoch_log,
    losses,
    measure,
    optimiser,
    scaling,
    state,
    stopping,
)
from baselines.train.events import Event
from baselines.train.progress import STEP_EVENT_EVERY_S, Clock, Partial, Progress, require_finite
from baselines.train.recipe import Recipe
from scoring.engine.task.specification import TaskSpec

# Several processes must stop at one step, which costs an exchange between them.
STOP_EVERY_STEPS = 10


class Stopped(Exception):
    """Training was asked to stop; the checkpoint goes on from the last step."""


@dataclass(frozen=True)
class RawBatch:
    """A batch that only the step unpacks.

    Of several GPUs' processes each would else have its tensors moved beforehand, one blocking copy
    after the other, the padding among them, which is looked at on the CPU.
    """

    batch: batches.Tensors


_lightning = dependencies.lightning()


class SegmentationModule(_lightning.LightningModule):  # type: ignore[name-defined, misc]
    """Train one recipe in one folder; every epoch leaves a whole checkpoint."""

    def __init__(
        self,
        recipe: Recipe,
        *,
        spec: TaskSpec,
        folder: Path,
        seed: int,
        patches: tuple[tuple[Patch, ...], tuple[Patch, ...]],
        cache_root: Path,
        accumulate: int,
        resumed: dict[str, Any] | None,
        weights_folder: Path | None,
        on_event: Callable[[Event], None],
        should_stop: Callable[[], bool],
    ) -> None:
        """Build the network from the seed, or take up a saved state."""
        super().__init__()
        self.recipe, self.spec, self.folder, self.seed = recipe, spec, folder, seed
        self.patches, self.cache_root, self.accumulate = patches, cache_root, accumulate
        self.on_event, self.should_stop = on_event, should_stop
        torch.manual_seed(seed)
        self.patch_px = rasters.side_px(patches[0][0].image)
        self.network = building.build_network(
            recipe, patch_px=self.patch_px, trained=resumed is not None,
            weights_folder=weights_folder,
        )  # fmt: skip
        self.progress = Progress()
        self._resumed = resumed
        if resumed is not None:
            self.network.load_state_dict(resumed.get("moving", resumed["network"]))
        self.averaged = averaging.of(self.network, decay=recipe.training.ema, resumed=resumed)
        if resumed is not None:
            self.progress = Progress(**resumed["progress"])
        partial = (resumed or {}).get("partial")
        self._partial = Partial(**partial) if partial else None
        # Lightning sets a handler of its own for SIGTERM, which ends with exit code 0.
        self._handlers = {number: signal.getsignal(number) for number in stopping.SIGNALS}
        self.compute: Callable[..., networks.Output] = (
            torch.compile(self.network) if recipe.training.compiled else self.network
        )
        loss = recipe.loss
        self.register_buffer(
            "weights",
            losses.class_weights(spec.n_classes, without=loss.unweighted, given=loss.class_weights),
            persistent=False,
        )
        self._beside = losses.beside(loss.beside, weights=self.get_buffer("weights"))
        self.register_buffer(
            "sentinel_weights",
            losses.class_weights(spec.n_classes, without=loss.sentinel_unweighted),
            persistent=False,
        )
        self._first_epoch = self.progress.epochs_done
        self._clock = Clock()
        self._steps_since_asked = 0
        self._is_stopping = False

    @property
    def epoch(self) -> int:
        """Give the epoch's number from the run's first start on."""
        return self._first_epoch + int(self.current_epoch)

    # Data ---------------------------------------------------------------------------------------

    def prepare_data(self) -> None:
        """Decode both parts once; one process of a machine does it."""
        for name, part in zip(("train", "validation"), self.patches, strict=True):
            cache.build(
                self.cache_root, part, options=self.recipe.options(),
                on_progress=self._caching_event(name),
            )  # fmt: skip

    def _caching_event(self, part: str) -> Callable[[int, int], None]:
        """Give what tells, once a second, how many patches are decoded, and stops where asked."""
        told = time.perf_counter()

        def tell(done: int, total: int) -> None:
            nonlocal told
            if time.perf_counter() - told < STEP_EVENT_EVERY_S:
                return
            told = time.perf_counter()
            self.on_event({"event": "caching", "part": part, "done": done, "total": total})
            if self.trainer.world_size == 1 and self.should_stop():
                raise Stopped

        return tell

    def on_train_start(self) -> None:
        """Take back the handlers of the signals that stop a training."""
        if self.trainer.received_sigterm:  # it came before: Lightning would end with exit code 0
            raise Stopped
        if threading.current_thread() is threading.main_thread():
            for number, handler in self._handlers.items():
                if handler is not None:
                    signal.signal(number, handler)

    def setup(self, stage: str) -> None:
        """Open what was decoded."""
        self.sources = tuple(
            cache.build(self.cache_root, part, options=self.recipe.options())
            for part in self.patches
        )

    def train_dataloader(self) -> ahead.OnDevice:
        """Give the order of this epoch, the same whenever it is taken up again."""
        return self._batches(
            self.sources[0], seed=self.seed, epoch=self.epoch, shuffle=True,
            start=self._steps_before, symmetries=self.recipe.data.symmetries,
        )  # fmt: skip

    def _batches(self, source: cache.Cache, **more: Any) -> ahead.OnDevice:
        epoch = batches.Epoch(
            source, self.recipe.training.batch_size, rank=self.global_rank,
            world=self.trainer.world_size, pinned=self.device.type == "cuda", **more,
        )  # fmt: skip
        return ahead.OnDevice(epoch, self.device)

    @property
    def _steps_before(self) -> int:
        """Give how many of this epoch's steps an earlier process did."""
        here = self._partial is not None and self.epoch == self._first_epoch
        return self._partial.steps if here and self._partial is not None else 0

    def val_dataloader(self) -> ahead.OnDevice:
        """Give every validation patch once."""
        return self._batches(self.sources[1])

    def transfer_batch_to_device(self, batch: Any, device: torch.device, index: int) -> RawBatch:
        """Leave it to the step, which turns bytes into floats on the device."""
        return RawBatch(batch)

    # Optimiser ----------------------------------------------------------------------------------

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Build the optimiser and its rate; both take up a saved state."""
        settings = self.recipe.optimiser
        made = optimiser.build(self.network, settings)
        self.plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
            made, factor=settings.plateau_factor, patience=settings.plateau_patience,
            cooldown=settings.plateau_cooldown, min_lr=settings.lr_min,
        )  # fmt: skip
        if self._resumed is not None:
            made.load_state_dict(self._resumed["optimiser"])
            self.plateau.load_state_dict(self._resumed["plateau"])
        self._steps_taken = scaling.Counter(made)
        scaling.resume(self.trainer, self._resumed)
        return made

    def _set_rate(self, step: int, steps: int) -> None:
        """Set a rate that follows from the position in the whole run alone."""
        share = (self.epoch * steps + step) / (self.recipe.training.epochs * steps)
        factor = optimiser.rate_factor(self.recipe.optimiser, share=share)
        if factor is not None:
            optimiser.set_rate(self.trainer.optimizers[0], self.recipe.optimiser, factor=factor)

    # Steps --------------------------------------------------------------------------------------

    def on_train_epoch_start(self) -> None:
        """Start counting, from where a stopped process came to."""
        before = self._partial if self._steps_before else None
        self._loss_sum = torch.full((), before.loss_sum if before else 0.0, device=self.device)
        self._steps = self._steps_before
        self._steps_taken.start(skipped=before.skipped_steps if before else 0)
        epoch = self.train_dataloader().epoch
        self._clock.start(
            epoch.steps, seconds=before.seconds if before else 0.0,
            samples=before.samples if before else 0,
        )  # fmt: skip

    def training_step(self, raw: RawBatch, index: int) -> Tensor | None:
        """Give the loss of one batch; None for the batch of an epoch that lacks validation only."""
        step = self._steps_before + index
        if step >= self._clock.steps:
            return None
        # Chance depends on seed and position alone, so that a resume repeats it.
        torch.manual_seed(hash((self.seed, self.epoch, step, self.global_rank)) % 2**63)
        self._set_rate(step, self._clock.steps)
        loss, _, _ = self._loss(raw.batch, moved=self.recipe.data.augmentation, is_training=True)
        self._loss_sum += loss.detach()
        self._steps += 1
        return loss

    def on_train_batch_end(self, outputs: Any, raw: RawBatch, index: int) -> None:
        """Tell how far we are, at most once a second, and stop where asked to."""
        step = self._steps
        is_told = self._clock.tick(len(raw.batch["index"]) * self.trainer.world_size)
        # Between two steps of the optimiser gradients are pending that no checkpoint holds.
        is_whole = step % self.accumulate == 0 or step == self._clock.steps
        if is_whole and outputs is not None:
            is_taken = self._steps_taken.look()  # not where a gradient of float16 was no number
            if is_taken and self.averaged is not None:
                self.averaged.update_parameters(self.network)
        if self._must_stop(may=is_whole):
            self._stop()
        if is_told:
            epochs_left = self.recipe.training.epochs - self.epoch - 1
            self.on_event(
                {
                    "event": "step", "epoch": self.epoch, "step": step,
                    "steps": self._clock.steps, "loss": float(self._loss_sum / max(step, 1)),
                    "lr": float(self.trainer.optimizers[0].param_groups[0]["lr"]),
                    "samples_per_s": self._clock.samples_per_s,
                    "eta_s": self._clock.eta_s(step, epochs_left=epochs_left),
                    "skipped_steps": self._steps_taken.skipped,
                    "gpu_memory_bytes": measure.gpu_memory_bytes(self.device),
                }
            )  # fmt: skip

    def _must_stop(self, *, may: bool) -> bool:
        """Ask, each step; where this is no moment to stop (`may`), the next moment is taken."""
        if self.trainer.world_size == 1:
            self._is_stopping = self.should_stop() or self._is_stopping
            return may and self._is_stopping
        self._steps_since_asked += 1
        if not self._is_stopping and self._steps_since_asked >= STOP_EVERY_STEPS:
            self._steps_since_asked = 0
            stop = self.should_stop()
            self._is_stopping = bool(self.trainer.strategy.reduce_boolean_decision(stop, all=False))
        return may and self._is_stopping

    def _stop(self) -> None:
        """Keep what is needed to go on from this step, and raise Stopped."""
        loss_sum = self._loss_sum
        if self.trainer.world_size > 1:
            loss_sum = self.trainer.strategy.reduce(loss_sum, reduce_op="mean")
        partial = Partial(
            steps=self._steps, loss_sum=float(loss_sum), seconds=self._clock.seconds,
            samples=self._clock.samples, skipped_steps=self._steps_taken.skipped,
        )  # fmt: skip
        if self.trainer.is_global_zero:
            self._keep(is_best=False, partial=partial)
        raise Stopped

    def on_validation_epoch_start(self) -> None:
        """Start counting."""
        self._matrix = measure.Matrix(self.spec.n_classes, device=self.device)
        self._val_loss = torch.zeros((), dtype=torch.float64, device=self.device)
        self._val_count = 0

    def validation_step(self, raw: RawBatch, index: int) -> None:
        """Count one batch."""
        loss, out, target = self._loss(raw.batch, moved="none", is_training=False)
        self._matrix.add(out.logits, target)
        count = len(raw.batch["index"])
        self._val_loss += loss.double() * count
        self._val_count += count
        # Of several processes some have a batch more, which the others would never ask about.
        common = len(self.patches[1]) // self.trainer.world_size
        is_second_over = self._clock.is_second_over()
        if is_second_over:
            total = len(self.patches[1])
            done = min(self._val_count * self.trainer.world_size, total)
            self.on_event(epoch_log.validating(self.epoch, done=done, total=total))
        if self.trainer.world_size > 1 or is_second_over:
            is_common = index * self.recipe.training.batch_size < common
            if is_common and self._must_stop(may=True):
                self._stop()

    def _loss(
        self, batch: batches.Tensors, *, moved: choices.Moved, is_training: bool
    ) -> tuple[Tensor, networks.Output, Tensor]:
        data, loss = self.recipe.data, self.recipe.loss
        inputs = batches.to_inputs(
            batch, device=self.device, moved=moved,
            memory_format=building.memory_format(self.recipe), normalisation=data.normalisation,
            bands=data.bands, affine_share=data.affine if is_training else 0.0,
            n_classes=self.spec.n_classes,
        )  # fmt: skip
        target = inputs.pop("target")
        compute = self.compute if is_training or self.averaged is None else self.averaged
        out = compute(**inputs)
        value = losses.total(
            out, target, weights=self.get_buffer("weights"),
            sentinel_weights=self.get_buffer("sentinel_weights"),
            sentinel_factor=loss.sentinel_factor,
            label_smoothing=loss.label_smoothing if is_training else 0.0,
            beside=self._beside, beside_factor=loss.beside_factor,
        )  # fmt: skip
        return value, out, target

    # The end of an epoch ------------------------------------------------------------------------

    def on_train_epoch_end(self) -> None:
        """Measure, lower the rate, keep the state, tell, and stop when nothing is gained.

        Raises ValueError when the loss is no number any more.
        """
        mean_loss = self._loss_sum / max(self._steps, 1)
        if self.trainer.world_size > 1:  # before the check: all go on, or none
            mean_loss = self.trainer.strategy.reduce(mean_loss, reduce_op="mean")
        train_loss = require_finite(float(mean_loss), epoch=self.epoch)
        self._steps_taken.require_some(self.epoch, scale=scaling.scale_of(self.trainer))
        if self.trainer.world_size > 1:
            self._matrix.counts = self.trainer.strategy.reduce(self._matrix.counts, reduce_op="sum")
            self._val_loss = self.trainer.strategy.reduce(self._val_loss, reduce_op="sum")
        quality = measure.quality(self._matrix.counts, spec=self.spec)
        val_loss = float(self._val_loss) / max(len(self.patches[1]), 1)
        lr = float(self.trainer.optimizers[0].param_groups[0]["lr"])
        if self.recipe.optimiser.schedule == "plateau":
            self.plateau.step(val_loss)
        epoch = self.epoch
        monitored = val_loss if self.recipe.training.monitor == "val_loss" else -quality.miou
        is_best = self.progress.take(monitored, miou=quality.miou)
        row = {
            "epoch": epoch, "train_loss": train_loss, "val_loss": val_loss,
            "val_miou": quality.miou, "lr": lr, "samples_per_s": self._clock.samples_per_s,
            "seconds": self._clock.seconds, "is_best": is_best,
            "overall_accuracy": quality.overall_accuracy, "mean_f1": quality.mean_f1,
            "skipped_steps": self._steps_taken.skipped,
            "ious": list(quality.ious), "f1s": list(quality.f1s),
        }  # fmt: skip
        if self.trainer.is_global_zero:
            # The checkpoint last: a kill in between repeats the epoch and its row, and loses none.
            classes = [entry.key for entry in self.spec.classes]
            epoch_log.write(self.folder, row, classes=classes)
            self._keep(is_best=is_best)
        self.on_event(
            {"event": "epoch", **row, "gpu_memory_bytes": measure.gpu_memory_bytes(self.device)}
        )
        if self.progress.epochs_without_gain >= self.recipe.training.patience:
            self.trainer.should_stop = True

    def _keep(self, *, is_best: bool, partial: Partial | None = None) -> None:
        about = {
            "recipe": self.recipe.to_json(),
            "seed": self.seed,
            "patch_px": self.patch_px,
            "progress": vars(self.progress),
            "network": averaging.predicting(self.network, self.averaged).state_dict(),
        }
        # The best first: a kill between the two repeats the epoch and finds the same best.
        if is_best:
            state.save(self.folder / state.BEST, about)
        more = {
            "optimiser": self.trainer.optimizers[0].state_dict(),
            "plateau": self.plateau.state_dict(),
            "partial": None if partial is None else vars(partial),
            **averaging.state(self.network, self.averaged),
            **scaling.state(self.trainer),
        }
        state.save(self.folder / state.LAST, about | more)
