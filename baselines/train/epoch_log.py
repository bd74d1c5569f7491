"""An epoch's row as metrics.csv and TensorBoard keep it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from baselines.train import state


def write(folder: Path, row: dict[str, Any], *, classes: list[str]) -> None:
    """Append an epoch's event to the folder's metrics.csv and TensorBoard logs.

    `classes` are the keys of the classes, in the order of the row's `ious` and `f1s`.
    """
    columns = _columns(row, classes=classes)
    state.log_epoch(folder, columns)
    _log_tensorboard(folder, columns)


def validating(epoch: int, *, done: int, total: int) -> dict[str, Any]:
    """Give the event of a validation under way."""
    return {"event": "validating", "epoch": epoch, "done": done, "total": total}


def _columns(row: dict[str, Any], *, classes: list[str]) -> dict[str, Any]:
    """Give an epoch's row as metrics.csv has it: its number from 1, a column a class and metric."""
    flat = {key: value for key, value in row.items() if key not in ("ious", "f1s")}
    flat["epoch"] += 1
    for metric in ("iou", "f1"):
        named = zip(classes, row[f"{metric}s"], strict=True)
        flat |= {f"{metric}_{key}": value for key, value in named}
    return flat


def _log_tensorboard(folder: Path, row: dict[str, Any]) -> None:
    """Write an epoch where TensorBoard looks; the package is optional at run time."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ModuleNotFoundError:
        return
    with SummaryWriter(str(folder / "tensorboard"), purge_step=row["epoch"]) as writer:
        for name, value in row.items():
            if name not in ("epoch", "is_best") and value is not None:
                is_of_class = name.startswith(("iou_", "f1_"))
                tag = name.replace("_", "/", 1) if is_of_class else name
                writer.add_scalar(tag, value, row["epoch"])
