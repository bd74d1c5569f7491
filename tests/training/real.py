"""A tiny data set with hidden labels, a phase that wants it, and a real GPU-queue worker."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.utils import timezone

from challenge.embedded.data_folder import ROOT
from challenge.models import Challenge, GroundTruth, Phase, TaskSpec
from scoring.engine.task import specification as specs
from scoring.engine.truth import store
from tests.factories import make_challenge, make_phase
from tests.worker_process import WorkerProcess

SIDE_PX = 64
DATA_ROOT = "toy"
# Small enough for seconds on one core, and exact in its repetition.
SMALLER: dict[str, Any] = {
    "training.epochs": 3,
    "training.batch_size": 4,
    "training.precision": "fp32",
    "network.options": {"encoder": "resnet18", "decoder_channels": [32, 24, 16, 12, 8]},
}


def make_toy(folder: Path, *, train: int = 8) -> Path:
    """A synthetic tree by the command itself: train, validation and four test patches."""
    root = folder / DATA_ROOT
    subprocess.run(
        [
            *(sys.executable, "-m", "baselines", "synth", str(root), "--patch-px", str(SIDE_PX)),
            *("--train", str(train), "--val", "4", "--test", "4", "--per-zone", "2"),
            *("--aerial-only", "--workers", "1"),
        ],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    return root


def make_training_phase(toy: Path, labels: Path, *, challenge: Challenge | None = None) -> Phase:
    """A phase of FLAIR #2's task on small patches, its labels those of the tree's test part."""
    spec = dataclasses.replace(
        specs.load("flair-2"), patch_height_px=SIDE_PX, patch_width_px=SIDE_PX, expected=()
    )
    labels.mkdir(parents=True, exist_ok=True)
    info = store.pack(_test_labels(toy), labels / "toy.truth", spec=spec)
    challenge = challenge or make_challenge("toy")
    task = TaskSpec.objects.create(
        challenge=challenge,
        version=1,
        digest=spec.digest,
        data=json.loads(json.dumps(spec.to_json())),
    )
    truth = GroundTruth.objects.create(
        challenge=challenge,
        name="toy",
        version=1,
        digest=info.digest,
        store_name="toy.truth",
        patch_count=len(info.patch_ids),
        patches=[[one, "D015_2020", "Z1_UU"] for one in info.patch_ids],
    )
    now = timezone.now()
    return make_phase(
        challenge,
        ground_truth=truth,
        task_spec=task,
        opens_at=now - timedelta(days=1),
        closes_at=now + timedelta(days=1),
    )


def _test_labels(toy: Path) -> Path:
    (found,) = [path for path in toy.iterdir() if path.name.endswith("labels_test")]
    return found


class GpuWorker(WorkerProcess):
    """One worker of the queues gpu and scoring: data sets in ``data``, runs in ``folder``."""

    def __init__(self, folder: Path, data: Path, labels: Path, lease_s: int = 5) -> None:
        super().__init__(folder / "gpu-worker.log", queues="gpu,scoring,default")
        self.data = data
        self.labels = labels
        self.lease_s = lease_s
        self.runs = folder / "runs"

    def environment(self) -> dict[str, str]:
        return {
            "LABELS_DIR": str(self.labels),
            "BASELINES_DATA_DIR": str(self.data),
            "BASELINES_RUNS_DIR": str(self.runs),
            "TRAINING_LEASE_S": str(self.lease_s),
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
        }

    def log_tail(self) -> str:
        """The end of the worker's and of the runs' logs."""
        runs = [path.read_text(errors="replace")[-2500:] for path in self.runs.glob("*/log.txt")]
        return "\n".join([super().log_tail(), *runs])


def runners_of(run_id: object) -> list[int]:
    """The processes that train a run: their open files name its folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            files = [str(file.readlink()) for file in (process / "fd").iterdir()]
        except OSError:  # it ended, or is not ours
            continue
        if any(str(run_id) in name for name in files):
            found.append(int(process.name))
    return found
