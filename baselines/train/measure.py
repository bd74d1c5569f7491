"""Validation counts on the device, ratios by the scoring engine itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from baselines.train import losses
from scoring.engine.metrics import metrics
from scoring.engine.task.specification import TaskSpec


class Matrix:
    """Pixels of truth × prediction, int64[n, n], gathered over batches and processes."""

    def __init__(self, n_classes: int, *, device: torch.device) -> None:
        """Start at zero."""
        self.counts = torch.zeros(n_classes, n_classes, dtype=torch.int64, device=device)

    def add(self, logits: Tensor, target: Tensor) -> None:
        """Count a batch: logits [B, n, H, W], target int64[B, H, W]."""
        n_classes = len(self.counts)
        joint = target * n_classes + logits.argmax(dim=1)
        self.counts += losses.count(joint, bins=n_classes**2).view_as(self.counts)


@dataclass(frozen=True)
class Quality:
    """What validation tells: mIoU 0..1 and the IoU of each class (None where undefined)."""

    miou: float
    ious: tuple[float | None, ...]
    overall_accuracy: float

    def to_json(self) -> dict[str, Any]:
        """Give JSON values."""
        return {
            "miou": self.miou, "ious": list(self.ious), "overall_accuracy": self.overall_accuracy,
        }  # fmt: skip


def quality(counts: Tensor, *, spec: TaskSpec) -> Quality:
    """Measure int64[n, n] as a submission is measured; an undefined mean counts as 0."""
    measured = metrics.measure(counts.cpu().numpy(), spec=spec)
    miou = float(measured.miou)
    return Quality(
        miou=0.0 if miou != miou else miou,
        ious=tuple(None if value != value else float(value) for value in measured.iou),
        overall_accuracy=float(measured.overall_accuracy),
    )
