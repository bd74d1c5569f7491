"""A real labels worker: it announces its key, and a SIGKILL in the middle registers nothing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from challenge.models import GroundTruth, LabelJob, LabelKey
from challenge.rules.lifecycle import LabelState
from challenge.services.labels import keys, label_jobs
from scoring.engine.truth import sealing_keys
from tests.labels.world import CANARY, LabelsWorld
from tests.worker_process import WorkerProcess


class LabelsWorker(WorkerProcess):
    """A worker of the queue ``labels`` with the world's folders."""

    def __init__(self, world: LabelsWorld) -> None:
        super().__init__(world.folder / "labels-worker.log", queues="labels")
        self.world = world

    def environment(self) -> dict[str, str]:
        folder = self.world.folder
        return {
            "LABELS_DIR": str(self.world.labels_dir),
            "LABELS_KEY_DIR": str(folder / "labels-key"),
            "SCORING_KEY_DIR": str(folder / "scoring-key"),
            "LABELS_LEASE_S": "5",
            "SCORER_WORKERS": "1",
        }


@pytest.fixture
def labels_worker(world: LabelsWorld) -> Iterator[LabelsWorker]:
    worker = LabelsWorker(world)
    yield worker
    worker.stop()


def _state() -> str:
    return LabelJob.objects.get().state


def test_a_killed_worker_registers_nothing_and_the_next_installs(
    world: LabelsWorld, labels_worker: LabelsWorker
) -> None:
    labels_worker.start()
    labels_worker.wait_until(LabelKey.objects.exists, "the key")
    public = sealing_keys.public_bytes(keys.labels_key())
    assert LabelKey.objects.get().fingerprint == sealing_keys.fingerprint(public)
    world.send_masks()
    labels_worker.wait_until(lambda: _state() != LabelState.QUEUED, "the claim")
    labels_worker.kill()
    was_killed_midway = _state() == LabelState.INSTALLING
    assert GroundTruth.objects.exists() is not was_killed_midway
    label_jobs.sweep(now=timezone.now() + timedelta(minutes=1))
    labels_worker.start()
    label_jobs.jobs.notify_workers()
    labels_worker.wait_until(lambda: _state() == LabelState.INSTALLED, "the installation")
    assert GroundTruth.objects.count() == 1
    log = Path(labels_worker.log).read_bytes()
    shown = sealing_keys.shown_fingerprint(sealing_keys.fingerprint(public))
    assert f"labels are sealed for {shown}".encode() in log
    assert CANARY not in log
