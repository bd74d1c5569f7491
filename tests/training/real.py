"""A tiny data set with hidden labels, a phase that wants it, and a real GPU-queue worker."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files.storage import default_storage
from django.utils import timezone

from challenge.config.engines.places import ROOT
from challenge.models import Challenge, GroundTruth, Phase, TaskSpec
from scoring.engine import spec as specs
from scoring.engine import store
from tests.factories import make_challenge, make_phase
from tests.live_site import database_url

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


@dataclass
class GpuWorker:
    """One Celery worker of the queues gpu and scoring, in a session of its own."""

    folder: Path
    data: Path
    labels: Path
    lease_s: int = 5
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.folder / "gpu-worker.log"

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    def start(self) -> None:
        environment = os.environ | {
            "DATABASE_URL": database_url(),
            "REDIS_URL": settings.REDIS_URL,
            "STORAGE_URL": f"file://{Path(default_storage.path(''))}",
            "LABELS_DIR": str(self.labels),
            "BASELINES_DATA_DIR": str(self.data),
            "BASELINES_RUNS_DIR": str(self.runs),
            "TRAINING_LEASE_S": str(self.lease_s),
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "celery", "--app", "challenge.config.celery:app"),
                    *("worker", "--concurrency", "1", "--queues", "gpu,scoring,default"),
                    *("--without-mingle", "--without-gossip", "--loglevel", "INFO"),
                ],
                cwd=ROOT,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill(self) -> None:
        """SIGKILL the worker and its pool; the training must die with them by itself."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=20)
        self.process = None

    def stop(self) -> None:
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.kill()
        self.process = None

    def wait_until(self, true: Callable[[], bool], *, what: str, timeout_s: float = 100) -> None:
        """Wait for something to become true; fail with the logs' last words."""
        end_s = time.monotonic() + timeout_s
        while not true():
            if time.monotonic() > end_s:
                words = [path.read_text(errors="replace")[-2500:] for path in self._logs()]
                raise AssertionError(f"waited for {what} in vain\n" + "\n".join(words))
            time.sleep(0.1)

    def _logs(self) -> list[Path]:
        return [*self.runs.glob("*/log.txt"), *([self.log] if self.log.exists() else [])]


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
