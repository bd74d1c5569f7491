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
    """What validation tells, each 0..1; `ious` and `f1s` of each class, None where undefined."""

    miou: float
    ious: tuple[float | None, ...]
    f1s: tuple[float | None, ...]
    mean_f1: float
    overall_accuracy: float

    def to_json(self) -> dict[str, Any]:
        """Give JSON values."""
        return {**vars(self), "ious": list(self.ious), "f1s": list(self.f1s)}


def quality(counts: Tensor, *, spec: TaskSpec) -> Quality:
    """Measure int64[n, n] as a submission is measured; an undefined mean counts as 0."""
    measured = metrics.measure(counts.cpu().numpy(), spec=spec)
    return Quality(
        miou=_defined(measured.miou) or 0.0,
        ious=tuple(map(_defined, measured.iou)),
        f1s=tuple(map(_defined, measured.f1)),
        mean_f1=_defined(measured.mean_f1) or 0.0,
        overall_accuracy=_defined(measured.overall_accuracy) or 0.0,
    )


def _defined(value: Any) -> float | None:
    return None if value != value else float(value)


def gpu_memory_bytes(device: torch.device) -> int | None:
    """Give the most memory of a GPU that was in use, None elsewhere."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
