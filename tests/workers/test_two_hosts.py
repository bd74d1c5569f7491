"""Two hosts without a shared disk: a worker joins, another leaves, and everything is scored once.

Each host has a network namespace and folders of its own: labels, evidence, scratch. They share the
database, the broker and an object store. Where the machine gives no namespaces (or the servers are
reached by TCP), the folders alone are separate, and the test's name says so.
``TWO_HOSTS_SUBMISSIONS=100`` scores more than the 20 of the suite.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django import Settings

from challenge.models import Evaluation, Phase, Score
from challenge.services.labels import distribution
from challenge.services.submissions import evaluations
from tests.factories import make_archive, make_team, submit
from tests.live_site import database_url
from tests.other_host import command_prefix, namespaces_refused, way_out
from tests.s3_server import S3Server, s3, s3_process
from tests.worker_process import WorkerProcess
from tests.workers.real import make_real_phase, make_zip

__all__ = ["s3", "s3_process"]
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("running_servers"),
]
SUBMISSIONS = int(os.environ.get("TWO_HOSTS_SUBMISSIONS", "20"))
NETWORKS = "folders" if namespaces_refused() else "networks-and-folders"


class Host(WorkerProcess):
    """A scoring worker on a host of its own."""

    def __init__(self, folder: Path, *, storage_url: str, prefix: tuple[str, ...]) -> None:
        super().__init__(folder / "worker.log", queues="scoring,default")
        self.folder = folder
        self.storage_url = storage_url
        self.prefix = prefix
        for name in ("labels", "evidence", "scratch"):
            (folder / name).mkdir(parents=True)

    def environment(self) -> dict[str, str]:
        return {
            "STORAGE_URL": self.storage_url,
            "LABELS_DIR": str(self.folder / "labels"),
            "EVIDENCE_DIR": str(self.folder / "evidence"),
            "SCORING_KEY_DIR": str(self.folder / "scoring-key"),
            "FLAIR_DATA_DIR": str(self.folder / "data"),
            "TMPDIR": str(self.folder / "scratch"),
            "LEASE_S": "5",
            "SCORER_WORKERS": "1",
        }

    def names(self, kind: str) -> set[str]:
        return {path.name for path in (self.folder / kind).iterdir()}

    @property
    def network(self) -> str:
        assert self.process is not None
        return str(Path(f"/proc/{self.process.pid}/ns/net").readlink())


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """Paths of sockets are short."""
    with tempfile.TemporaryDirectory(prefix="hosts-") as folder:
        yield Path(folder)


@pytest.fixture
def prefix(short_folder: Path, s3: S3Server, settings: Settings) -> Iterator[tuple[str, ...]]:
    """What runs a command on another host; nothing where only folders can be separate."""
    by_tcp = "host=" not in database_url() or not str(settings.REDIS_URL).startswith("unix:")
    if NETWORKS == "folders" or by_tcp:
        yield ()
        return
    with way_out(short_folder / "s3", s3.port) as path:
        yield command_prefix(path, s3.port)


@pytest.mark.parametrize("separate", [NETWORKS])
def test_two_hosts_score_everything_once_while_one_joins_and_one_leaves(
    tmp_path: Path, settings: Settings, s3: S3Server, prefix: tuple[str, ...], separate: str
) -> None:
    settings.STORAGES = s3.storages
    settings.LABELS_DIR = tmp_path / "origin"
    settings.LABELS_KEY_DIR = tmp_path / "labels-key"
    settings.SCORING_KEY_DIR = tmp_path / "scoring-key"
    phase = make_real_phase(settings.LABELS_DIR, patches=1)
    assert distribution.distribute() == 1
    _hand_in(phase, SUBMISSIONS // 2)
    hosts = [
        Host(tmp_path / name, storage_url=s3.storage_url, prefix=prefix) for name in ("a", "b")
    ]
    leaving, joining = hosts
    for host in hosts:
        shutil.copytree(settings.SCORING_KEY_DIR, host.folder / "scoring-key")
    try:
        leaving.start()
        leaving.wait_until(lambda: Score.objects.count() >= SUBMISSIONS // 10, "the first scores")
        joining.start()
        joining.wait_until(lambda: "ready." in joining.log.read_text(errors="replace"), "who joins")
        _hand_in(phase, SUBMISSIONS - SUBMISSIONS // 2)
        evaluations.sweep()
        joining.wait_until(lambda: joining.names("evidence"), "scores of who joined")
        networks = {host.network for host in hosts} | {str(Path("/proc/self/ns/net").readlink())}
        assert len(networks) == (3 if prefix else 1)
        leaving.kill()  # with a claim in its hands, if it has one
        assert Score.objects.count() < SUBMISSIONS
        joining.wait_until(_all_scored, "all scores", timeout_s=SUBMISSIONS * 15)
    finally:
        for host in hosts:
            host.stop()

    assert Score.objects.count() == SUBMISSIONS
    assert set(Score.objects.values_list("evaluation__ground_truth__store_name", flat=True)) == {
        "real.truth"
    }
    here, there = (host.names("evidence") for host in hosts)
    named = set(Score.objects.values_list("evidence_name", flat=True))
    assert named <= here | there
    assert named & here
    assert named & there
    assert not here & there
    for host in hosts:
        fetched = (host.folder / "labels" / "real.truth").read_bytes()
        assert fetched == (settings.LABELS_DIR / "real.truth").read_bytes()
    assert not joining.names("scratch"), "archives were removed once they were scored"
    assert len(s3.objects()) == SUBMISSIONS + 1, "archives, and the sealed labels"


def _hand_in(phase: Phase, count: int) -> None:
    for _ in range(count):
        archive = make_archive(make_zip(patches=1))
        submit(make_team(phase.challenge), phase, archive=archive, at=phase.opens_at)


def _all_scored() -> bool:
    """As beat does: what the killed worker held is queued again once its lease is over."""
    if not Evaluation.objects.exclude(state="scored").exists():
        return True
    evaluations.sweep()
    return False
