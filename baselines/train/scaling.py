"""Steps in float16: the state of the scaled loss, and the steps that it skips."""

from __future__ import annotations

from typing import Any

import torch

STATE = "scaler"


class Counter:
    """How many steps an optimiser took, and how many it was to take: the others were skipped.

    Without asking the device: the optimiser tells of each step itself.
    """

    def __init__(self, optimiser: torch.optim.Optimizer) -> None:
        """Count from now on."""
        self._taken = self._seen = self._looks = 0
        self._skipped_before = 0
        optimiser.register_step_post_hook(self._take)

    def start(self, *, skipped: int) -> None:
        """Start an epoch, of which some steps may have been skipped by an earlier process."""
        self._taken = self._seen = self._looks = 0
        self._skipped_before = skipped

    def look(self) -> bool:
        """Note that a step was due; tell whether it was taken."""
        is_taken = self._taken > self._seen
        self._looks, self._seen = self._looks + 1, self._taken
        return is_taken

    @property
    def skipped(self) -> int:
        """Give how many steps of the epoch were skipped."""
        return self._skipped_before + self._looks - self._taken

    def require_some(self, epoch: int, *, scale: float) -> None:
        """Raise ValueError where a whole epoch was skipped although the loss isn't enlarged."""
        if self._looks and not self._taken and scale < 1:
            raise ValueError(
                f"none of the {self._looks} steps of epoch {epoch + 1} could be taken: their "
                f"gradients are no numbers in float16, even with the loss times {scale:g}; use "
                "training.precision 'fp32', or lower optimiser.lr"
            )

    def _take(self, *_: Any) -> None:
        self._taken += 1


def scale_of(trainer: Any) -> float:
    """Give what the loss is multiplied with; 1 where it isn't scaled."""
    return float(trainer.precision_plugin.state_dict().get("scale", 1.0))


def resume(trainer: Any, resumed: dict[str, Any] | None) -> None:
    """Give a training its scale as the checkpoint has it; without one it starts anew."""
    saved = (resumed or {}).get(STATE)
    if saved:
        trainer.precision_plugin.load_state_dict(saved)


def state(trainer: Any) -> dict[str, Any]:
    """Give what a checkpoint holds of the scale: nothing where the loss isn't scaled."""
    scale = trainer.precision_plugin.state_dict()
    return {STATE: scale} if scale else {}
