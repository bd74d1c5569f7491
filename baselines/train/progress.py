"""How far a training is: epochs and steps done, the best of them, time and throughput."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

STEP_EVENT_EVERY_S = 1.0


@dataclass(frozen=True)
class Partial:
    """What a stop in the middle of an epoch left: optimiser steps are whole, the loss a sum."""

    steps: int
    loss_sum: float
    seconds: float
    samples: int
    skipped_steps: int = 0


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


class Clock:
    """Time and throughput of an epoch."""

    def __init__(self) -> None:
        """Start at zero."""
        self.steps = 1
        self.start(1)

    def start(self, steps: int, *, seconds: float = 0.0, samples: int = 0) -> None:
        """Start an epoch, or go on with what was done of it before."""
        self.steps, self.samples = max(steps, 1), samples
        self._told = time.perf_counter()
        self._begun = self._told - seconds

    def tick(self, samples: int) -> bool:
        """Count samples; tell as `is_second_over`."""
        self.samples += samples
        return self.is_second_over()

    def is_second_over(self) -> bool:
        """Tell, once a second, that it is time to tell how far we are."""
        now = time.perf_counter()
        if now - self._told < STEP_EVENT_EVERY_S:
            return False
        self._told = now
        return True

    @property
    def seconds(self) -> float:
        """Give how long the epoch has taken."""
        return time.perf_counter() - self._begun

    @property
    def samples_per_s(self) -> float:
        """Give the mean throughput."""
        return self.samples / max(self.seconds, 1e-9)

    def eta_s(self, done: int, *, epochs_left: int) -> float:
        """Give the seconds left after `done` steps of this epoch."""
        per_step = self.seconds / max(done, 1)
        return per_step * (self.steps - done + epochs_left * self.steps)


def require_finite(loss: float, *, epoch: int) -> float:
    """Give an epoch's loss. Raises ValueError where it is no number any more."""
    if math.isfinite(loss):
        return loss
    raise ValueError(
        f"the loss of epoch {epoch} is {loss}; lower optimiser.lr, set "
        "training.clip_norm or use training.precision 'fp32'"
    )
