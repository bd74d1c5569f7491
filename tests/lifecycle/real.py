"""Real labels, real archives, and a real Celery worker process to kill."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from django.conf import settings
from django.core.files.storage import default_storage
from rasterio.io import MemoryFile
from rasterio.transform import Affine

from challenge.config.engines.places import ROOT
from challenge.models import Challenge, GroundTruth, Phase
from scoring.engine import store, synthetic
from scoring.engine.examples import abc_spec
from scoring.engine.spec import Patch
from tests.factories import make_challenge, make_phase, make_task
from tests.live_site import database_url

SIDE_PX = 512
WORKER = (
    *(sys.executable, "-m", "celery", "--app", "challenge.config.celery:app", "worker"),
    *("--concurrency", "1", "--queues", "scoring,default", "--loglevel", "INFO"),
)


def make_real_phase(labels: Path, *, patches: int) -> Phase:
    """A phase whose labels are packed in ``labels``: every patch the same synthetic one."""
    challenge = make_challenge()
    spec = abc_spec(patch_height_px=SIDE_PX, patch_width_px=SIDE_PX)
    mask = synthetic.pair(spec, seed=1).mask
    labels.mkdir(parents=True, exist_ok=True)
    info = store.from_arrays(
        ((Patch(f"{n:03}", "D001_2020", f"Z{n % 5}_UU"), mask) for n in range(patches)),
        labels / "real.truth",
        spec=spec,
    )
    truth = _truth(challenge, digest=info.digest, patches=patches)
    task = make_task(challenge, patch_height_px=SIDE_PX, patch_width_px=SIDE_PX)
    return make_phase(challenge, ground_truth=truth, task_spec=task, closes_at=None)


def make_zip(*, patches: int, value: int | None = None) -> bytes:
    """A zip of predictions: the synthetic one for each patch, or one value everywhere."""
    spec = abc_spec(patch_height_px=SIDE_PX, patch_width_px=SIDE_PX)
    pixels = synthetic.pair(spec, seed=1).prediction
    if value is not None:
        pixels = np.full_like(pixels, value)
    with MemoryFile() as memory:
        profile = {
            "driver": "GTiff",
            "height": SIDE_PX,
            "width": SIDE_PX,
            "count": 1,
            "dtype": "uint8",
            "compress": "lzw",
            # Any: without one, rasterio warns.
            "transform": Affine.scale(2, -2),
        }
        with memory.open(**profile) as raster:
            raster.write(pixels, 1)
        tiff = memory.read()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(patches):
            archive.writestr(f"PRED_{number:03}.tif", tiff)
    return packed.getvalue()


def _truth(challenge: Challenge, *, digest: str, patches: int) -> GroundTruth:
    return GroundTruth.objects.create(
        challenge=challenge,
        name="real",
        version=1,
        digest=digest,
        store_name="real.truth",
        patch_count=patches,
        patches=[[f"{n:03}", "D001_2020", f"Z{n % 5}_UU"] for n in range(patches)],
    )


@dataclass
class Worker:
    """One Celery worker process in a session of its own."""

    labels: Path
    lease_s: int = 5
    process: subprocess.Popen[bytes] | None = None
    log: Path = field(init=False)

    def __post_init__(self) -> None:
        self.log = self.labels.parent / "worker.log"

    def start(self) -> None:
        environment = os.environ | {
            "DATABASE_URL": database_url(),
            "REDIS_URL": settings.REDIS_URL,
            "STORAGE_URL": f"file://{Path(default_storage.path(''))}",
            "LABELS_DIR": str(self.labels),
            "EVIDENCE_DIR": str(self.labels.parent / "evidence"),
            "LEASE_S": str(self.lease_s),
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                WORKER,
                cwd=ROOT,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill(self) -> None:
        """SIGKILL the worker and its pool, as a machine that loses power does."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=20)
        self.process = None

    def pool_child(self) -> int:
        """The process that runs the tasks."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return int(children.read_text().split()[0])

    def stop(self) -> None:
        """Stop gently, then not."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.kill()
        self.process = None

    def said(self) -> str:
        return self.log.read_text(errors="replace")[-4000:] if self.log.exists() else ""


def wait_until(
    true: Callable[[], bool], *, what: str, worker: Worker, timeout_s: float = 60
) -> None:
    """Wait for something to become true; fail with the worker's last words."""
    end_s = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < end_s, f"waited for {what} in vain; worker:\n{worker.said()}"
        time.sleep(0.02)
