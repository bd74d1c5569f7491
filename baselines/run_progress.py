"""The runner seen from outside: what it can do here, what is known of a run from its events.

Pure bookkeeping without torch; the heartbeat's thread reads it.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

ENDS = frozenset({"done", "stopped", "failed"})
ABOUT_TIMEOUT_S = 300.0
# What the runner may know: nothing of the database, the broker or any secret.
PASSED_ON = (
    "CUDA_", "NVIDIA_", "NCCL_", "OMP_", "MKL_", "TORCH", "PYTORCH_", "HF_", "LD_LIBRARY_PATH",
    "PATH", "PYTHONPATH", "HOME", "LANG", "LC_", "TMPDIR", "VIRTUAL_ENV", "XDG_", "SSL_CERT",
    "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "FLAIR_WEIGHTS_FOLDER",
)  # fmt: skip


def environment() -> dict[str, str]:
    """Give the part of our environment that a runner gets."""
    return {name: value for name, value in os.environ.items() if name.startswith(PASSED_ON)}


@dataclass(frozen=True)
class RunnerCapabilities:
    """What the runner can train with here.

    ``problem`` where there is nothing: ``extra-missing`` (torch) or ``runner-broken``.
    """

    device: dict[str, Any] = field(default_factory=dict)
    recipes: list[dict[str, Any]] = field(default_factory=list)
    problem: str = ""

    @property
    def is_small(self) -> bool:
        """Say whether only small recipes can be done here."""
        return self.device.get("kind") != "cuda"


def query_capabilities(root: Path) -> RunnerCapabilities:
    """Ask a runner started in `root` what there is here."""
    asked = subprocess.run(
        [sys.executable, "-m", "baselines.runner", "about"],
        cwd=root,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=ABOUT_TIMEOUT_S,
        check=False,
    )
    if asked.returncode == 0:
        return RunnerCapabilities(**json.loads(asked.stdout))
    last = (asked.stderr.strip().splitlines() or ["no output"])[-1]
    log.critical("this worker trains nothing: %s (install the extra `baselines`)", last)
    lacking = last.startswith("ModuleNotFoundError")
    return RunnerCapabilities(problem="extra-missing" if lacking else "runner-broken")


class RunProgress:
    """How far a run is, from its events.

    One thread applies events, another reads; each value is replaced whole.

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

    def apply_event(self, event: dict[str, Any]) -> None:
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
