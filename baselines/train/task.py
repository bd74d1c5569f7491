"""The Lightning module: one network, its losses, its rate, what happens at an epoch's end."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from baselines import networks
from baselines.data import batches, cache, rasters
from baselines.data.layout import Patch
from baselines.data.nomenclature import N_CLASSES
from baselines.networks import operators
from baselines.train import Event, losses, measure, state
from baselines.train.recipe import Recipe
from scoring.engine.spec import TaskSpec

STEP_EVENT_EVERY_S = 1.0
# Several processes must stop at one step, which costs an exchange between them.
STOP_EVERY_STEPS = 10


class Stopped(Exception):
    """Training was asked to stop; the last whole epoch is kept."""


@dataclass(frozen=True)
class Held:
    """A batch that only the step unpacks.

    Of several GPUs' processes each would else have its tensors moved beforehand, one blocking copy
    after the other, the padding among them, which is looked at on the CPU.
    """

    batch: batches.Tensors


@dataclass
class Progress:
    """What a resumed run must know beside weights: epochs done, the best of them, patience."""

    epochs_done: int = 0
    best_epoch: int = -1
    best_value: float = math.inf
    best_miou: float = 0.0
    epochs_without_gain: int = 0

    def take(self, value: float, *, miou: float) -> bool:
        """Take an epoch's monitored value (smaller is better); tell whether it is the best."""
        self.epochs_done += 1
        if value < self.best_value:
            self.best_epoch, self.best_value = self.epochs_done - 1, value
            self.best_miou, self.epochs_without_gain = miou, 0
            return True
        self.epochs_without_gain += 1
        return False


def build_network(recipe: Recipe, *, patch_px: int) -> nn.Module:
    """Build a recipe's network for patches of that side, in the memory layout it trains in."""
    options = recipe.network_options()
    if recipe.network.name == "utae":  # it sees no image that could tell
        options["patch_px"] = patch_px
    network = networks.build(recipe.network.name, **options)
    return network.to(memory_format=memory_format(recipe))  # type: ignore[call-overload, no-any-return]


def memory_format(recipe: Recipe) -> torch.memory_format:
    """Give the layout of images and weights that a recipe asks for."""
    return torch.channels_last if recipe.training.channels_last else torch.contiguous_format


_lightning = operators.lightning()


class Task(_lightning.LightningModule):  # type: ignore[name-defined, misc]
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
        self.network = build_network(recipe, patch_px=self.patch_px)
        self.progress = Progress()
        self._resumed = resumed
        if resumed is not None:
            self.network.load_state_dict(resumed["network"])
            self.progress = Progress(**resumed["progress"])
        self.compute: Callable[..., networks.Output] = (
            torch.compile(self.network) if recipe.training.compiled else self.network
        )
        loss = recipe.loss
        self.register_buffer(
            "weights", losses.class_weights(N_CLASSES, without=loss.unweighted), persistent=False
        )
        self.register_buffer(
            "sentinel_weights",
            losses.class_weights(N_CLASSES, without=loss.sentinel_unweighted),
            persistent=False,
        )
        self._first_epoch = self.progress.epochs_done
        self._clock = _Clock()
        self._steps_since_asked = 0

    @property
    def epoch(self) -> int:
        """Give the epoch's number from the run's first start on."""
        return self._first_epoch + int(self.current_epoch)

    # Data ---------------------------------------------------------------------------------------

    def prepare_data(self) -> None:
        """Decode both parts once; one process of a machine does it."""
        for part in self.patches:
            cache.build(self.cache_root, part, options=self.recipe.options())

    def setup(self, stage: str) -> None:
        """Open what was decoded."""
        self.sources = tuple(
            cache.build(self.cache_root, part, options=self.recipe.options())
            for part in self.patches
        )

    def train_dataloader(self) -> batches.Epoch:
        """Give the order of this epoch, the same whenever it is taken up again."""
        return batches.Epoch(
            self.sources[0], self.recipe.training.batch_size, seed=self.seed, epoch=self.epoch,
            shuffle=True, rank=self.global_rank, world=self.trainer.world_size,
            pinned=self.device.type == "cuda",
        )  # fmt: skip

    def val_dataloader(self) -> batches.Epoch:
        """Give every validation patch once."""
        return batches.Epoch(
            self.sources[1], self.recipe.training.batch_size,
            rank=self.global_rank, world=self.trainer.world_size,
            pinned=self.device.type == "cuda",
        )  # fmt: skip

    def transfer_batch_to_device(self, batch: Any, device: torch.device, index: int) -> Held:
        """Leave it to the step, which turns bytes into floats on the device."""
        return Held(batch)

    # Optimiser ----------------------------------------------------------------------------------

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Build the optimiser and its rate; both take up a saved state."""
        settings = self.recipe.optimiser
        kinds: dict[str, Callable[..., torch.optim.Optimizer]] = {
            "sgd": torch.optim.SGD, "adamw": torch.optim.AdamW,
        }  # fmt: skip
        optimiser = kinds[settings.name](
            self.network.parameters(), lr=settings.lr, weight_decay=settings.weight_decay
        )
        self.plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimiser, factor=settings.plateau_factor, patience=settings.plateau_patience,
            cooldown=settings.plateau_cooldown, min_lr=settings.lr_min,
        )  # fmt: skip
        if self._resumed is not None:
            optimiser.load_state_dict(self._resumed["optimiser"])
            self.plateau.load_state_dict(self._resumed["plateau"])
        return optimiser

    def _set_rate(self, step: int, steps: int) -> None:
        """Set a one-cycle rate from the position in the whole run alone."""
        settings = self.recipe.optimiser
        if settings.schedule != "one-cycle":
            return
        share = (self.epoch * steps + step) / (self.recipe.training.epochs * steps)
        warm = 0.25
        if share < warm:
            factor = 0.04 + 0.96 * (1 - math.cos(math.pi * share / warm)) / 2
        else:
            factor = 1e-3 + (1 + math.cos(math.pi * (share - warm) / (1 - warm))) / 2
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = settings.lr * factor

    # Steps --------------------------------------------------------------------------------------

    def on_train_epoch_start(self) -> None:
        """Make the epoch's chance depend on seed and number alone, so that a resume repeats it."""
        torch.manual_seed(hash((self.seed, self.epoch, self.global_rank)) % 2**63)
        self._loss_sum = torch.zeros((), device=self.device)
        self._steps = 0
        self._clock.start(len(self.train_dataloader()))

    def training_step(self, held: Held, index: int) -> Tensor:
        """Give the loss of one batch."""
        self._set_rate(index, self._clock.steps)
        loss, _, _ = self._loss(held.batch, moved=self.recipe.data.augmentation)
        self._loss_sum += loss.detach()
        self._steps += 1
        return loss

    def on_train_batch_end(self, outputs: Any, held: Held, index: int) -> None:
        """Tell how far we are, at most once a second, and stop where asked to."""
        if self._must_stop():
            raise Stopped
        if self._clock.tick(len(held.batch["index"]) * self.trainer.world_size):
            epochs_left = self.recipe.training.epochs - self.epoch - 1
            self.on_event(
                {
                    "event": "step", "epoch": self.epoch, "step": index + 1,
                    "steps": self._clock.steps, "loss": float(self._loss_sum / self._steps),
                    "samples_per_s": self._clock.samples_per_s,
                    "eta_s": self._clock.eta_s(index + 1, epochs_left=epochs_left),
                    "gpu_memory_bytes": _gpu_memory_bytes(self.device),
                }
            )  # fmt: skip

    def _must_stop(self) -> bool:
        if self.trainer.world_size == 1:
            return self.should_stop()
        self._steps_since_asked += 1
        if self._steps_since_asked < STOP_EVERY_STEPS:
            return False
        self._steps_since_asked = 0
        stop = self.should_stop()
        return bool(self.trainer.strategy.reduce_boolean_decision(stop, all=False))

    def on_validation_epoch_start(self) -> None:
        """Start counting."""
        self._matrix = measure.Matrix(N_CLASSES, device=self.device)
        self._val = torch.zeros(2, dtype=torch.float64, device="cpu")

    def validation_step(self, held: Held, index: int) -> None:
        """Count one batch."""
        loss, out, target = self._loss(held.batch, moved="none")
        self._matrix.add(out.logits, target)
        count = len(held.batch["index"])
        self._val += torch.tensor([float(loss) * count, count], dtype=torch.float64)

    def _loss(
        self, batch: batches.Tensors, *, moved: batches.Moved
    ) -> tuple[Tensor, networks.Output, Tensor]:
        inputs = batches.to_inputs(
            batch, device=self.device, moved=moved, memory_format=memory_format(self.recipe)
        )
        target = inputs.pop("target")
        out = self.compute(**inputs)
        loss = losses.total(
            out, target, weights=self.get_buffer("weights"),
            sentinel_weights=self.get_buffer("sentinel_weights"),
            sentinel_factor=self.recipe.loss.sentinel_factor,
        )  # fmt: skip
        return loss, out, target

    # The end of an epoch ------------------------------------------------------------------------

    def on_train_epoch_end(self) -> None:
        """Measure, lower the rate, keep the state, tell, and stop when nothing is gained.

        Raises ValueError when the loss is no number any more.
        """
        mean_loss = self._loss_sum / max(self._steps, 1)
        if self.trainer.world_size > 1:  # before the check: all go on, or none
            mean_loss = self.trainer.strategy.reduce(mean_loss, reduce_op="mean")
        train_loss = float(mean_loss)
        if not math.isfinite(train_loss):
            raise ValueError(
                f"the loss of epoch {self.epoch} is {train_loss}; lower optimiser.lr, set "
                "training.clip_norm or use training.precision 'fp32'"
            )
        if self.trainer.world_size > 1:
            self._matrix.counts = self.trainer.strategy.reduce(self._matrix.counts, reduce_op="sum")
            summed = self.trainer.strategy.reduce(
                self._val.to(self.device, torch.float32), reduce_op="sum"
            )
            self._val = summed.to("cpu", torch.float64)
        quality = measure.quality(self._matrix.counts, spec=self.spec)
        val_loss = float(self._val[0] / self._val[1].clamp_min(1))
        lr = float(self.trainer.optimizers[0].param_groups[0]["lr"])
        if self.recipe.optimiser.schedule == "plateau":
            self.plateau.step(val_loss)
        epoch = self.epoch
        monitored = val_loss if self.recipe.training.monitor == "val_loss" else -quality.miou
        is_best = self.progress.take(monitored, miou=quality.miou)
        row = {
            "epoch": epoch, "train_loss": train_loss, "val_loss": val_loss,
            "val_miou": quality.miou, "lr": lr, "samples_per_s": self._clock.samples_per_s,
            "seconds": self._clock.seconds, "is_best": is_best, "ious": list(quality.ious),
        }  # fmt: skip
        if self.trainer.is_global_zero:
            # The checkpoint last: a kill in between repeats the epoch and its row, and loses none.
            state.log_epoch(self.folder, row)
            _log_tensorboard(self.folder, row)
            self._keep(is_best=is_best)
        self.on_event({"event": "epoch", **row, "gpu_memory_bytes": _gpu_memory_bytes(self.device)})
        if self.progress.epochs_without_gain >= self.recipe.training.patience:
            self.trainer.should_stop = True

    def _keep(self, *, is_best: bool) -> None:
        about = {
            "recipe": self.recipe.to_json(),
            "seed": self.seed,
            "patch_px": self.patch_px,
            "progress": vars(self.progress),
            "network": self.network.state_dict(),
        }
        # The best first: a kill between the two repeats the epoch and finds the same best.
        if is_best:
            state.save(self.folder / state.BEST, about)
        more = {
            "optimiser": self.trainer.optimizers[0].state_dict(),
            "plateau": self.plateau.state_dict(),
        }
        state.save(self.folder / state.LAST, about | more)


class _Clock:
    """Time and throughput of an epoch."""

    def __init__(self) -> None:
        self.steps = 1
        self.start(1)

    def start(self, steps: int) -> None:
        self.steps, self._samples = max(steps, 1), 0
        self._begun = self._told = time.perf_counter()

    def tick(self, samples: int) -> bool:
        self._samples += samples
        now = time.perf_counter()
        if now - self._told < STEP_EVENT_EVERY_S:
            return False
        self._told = now
        return True

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._begun

    @property
    def samples_per_s(self) -> float:
        return self._samples / max(self.seconds, 1e-9)

    def eta_s(self, done: int, *, epochs_left: int) -> float:
        per_step = self.seconds / max(done, 1)
        return per_step * (self.steps - done + epochs_left * self.steps)


def _gpu_memory_bytes(device: torch.device) -> int | None:
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None


def _log_tensorboard(folder: Path, row: dict[str, Any]) -> None:
    """Write an epoch where TensorBoard looks; the package is optional at run time."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ModuleNotFoundError:
        return
    with SummaryWriter(str(folder / "tensorboard"), purge_step=row["epoch"]) as writer:
        for name in ("train_loss", "val_loss", "val_miou", "lr", "samples_per_s"):
            writer.add_scalar(name, row[name], row["epoch"])
