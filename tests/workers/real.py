"""Real labels, real archives, and a real Celery worker process to kill."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
from rasterio.io import MemoryFile
from rasterio.transform import Affine

from challenge.models import Challenge, GroundTruth, Phase
from scoring.engine import synthetic
from scoring.engine.task.examples import abc_spec
from scoring.engine.task.specification import Patch
from scoring.engine.truth import store
from tests.factories import STEPS, make_challenge, make_phase, make_task
from tests.worker_process import WorkerProcess

SIDE_PX = 512


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
        steps=STEPS.to_json(),
    )


class Worker(WorkerProcess):
    """A scoring worker with the labels in ``labels``."""

    def __init__(self, labels: Path, lease_s: int = 5) -> None:
        super().__init__(labels.parent / "worker.log", queues="scoring,default")
        self.labels = labels
        self.lease_s = lease_s

    def environment(self) -> dict[str, str]:
        return {
            "LABELS_DIR": str(self.labels),
            "EVIDENCE_DIR": str(self.labels.parent / "evidence"),
            "LEASE_S": str(self.lease_s),
            "SECOND_FACTOR_REQUIRED": "0",  # people of tests have a password alone
        }

    def pool_child(self) -> int:
        """The process that runs the tasks."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return int(children.read_text().split()[0])
