"""What is known of a run from its events: pure bookkeeping, read by the heartbeat's thread."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any

ENDS = frozenset({"done", "stopped", "failed"})


class Following:
    """The present of a run. One thread notes events, another reads; each value is replaced whole.

    `epochs` waits to be written, oldest first; `version` grows with every event; `last` is the
    event that ended the run, None until then.
    """

    def __init__(self, log_path: Path) -> None:
        """Know nothing yet."""
        self.stage = "starting"
        self.progress: dict[str, Any] = {}
        self.device: dict[str, Any] = {}
        self.epochs: deque[dict[str, Any]] = deque()
        self.last: dict[str, Any] | None = None
        self.version = 0
        self._log_path = log_path

    def note(self, event: dict[str, Any]) -> None:
        """Take an event of the runner."""
        kind = event["event"]
        rest = {key: value for key, value in event.items() if key != "event"}
        if kind == "stage":
            self.stage = event["stage"]
            kept = {"epoch", "epochs", "miou", "best_miou"}
            self.progress = {key: self.progress[key] for key in kept & self.progress.keys()}
        elif kind == "device":
            self.device = rest
        elif kind == "start":
            self.progress = {"epoch": event["epochs_done"], "epochs": event["epochs"]} | {
                key: value for key, value in self.progress.items() if key.endswith("miou")
            }
        elif kind == "step":
            # People count epochs from 1: the one at hand.
            self.progress = {**self.progress, **rest, "epoch": event["epoch"] + 1}
        elif kind == "epoch":
            best = max(event["val_miou"], self.progress.get("best_miou", 0.0))
            self.progress = {
                **self.progress, "epoch": event["epoch"] + 1, "miou": event["val_miou"],
                "best_miou": best,
            }  # fmt: skip
            self.epochs.append(rest)
        elif kind == "predicted":
            self.progress = {**self.progress, **rest}
        elif kind in ENDS:
            self.last = event
        self.version += 1

    def log_tail(self, characters: int) -> str:
        """Give the end of the run's log."""
        if not self._log_path.exists():
            return ""
        with self._log_path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - 4 * characters))
            return file.read().decode(errors="replace").replace("\0", "")[-characters:]
