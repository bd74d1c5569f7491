"""A worker that cannot score claims nothing, says what it lacks, and its health check fails."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from challenge.config import liveness
from challenge.embedded.data_folder import ROOT
from challenge.models import Evaluation, Phase
from challenge.workers import readiness, scoring
from tests.factories import make_archive, make_phase, make_team, submit
from tests.helpers import wait_until
from tests.workers.real import Worker, make_real_phase, make_zip

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("running_servers"),
]
PATCHES = 2


@pytest.fixture
def labels(tmp_path: Path, settings: Any) -> Path:
    settings.LABELS_DIR = tmp_path / "labels"
    settings.EVIDENCE_DIR = tmp_path / "evidence"
    settings.SCORER_WORKERS = 1
    return tmp_path / "labels"


@pytest.fixture
def phase(labels: Path) -> Phase:
    return make_real_phase(labels, patches=PATCHES)


def hand_in(phase: Phase, *, patches: int = PATCHES) -> None:
    archive = make_archive(make_zip(patches=patches))
    submit(make_team(phase.challenge), phase, archive=archive, at=phase.opens_at)


def states() -> list[str]:
    return list(Evaluation.objects.order_by("pk").values_list("state", flat=True))


@contextmanager
def small_disk(folder: Path, *, mebibytes: int, options: str = "rw") -> Iterator[None]:
    """A file system of its own on ``folder``."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a file system")
    folder.mkdir(parents=True, exist_ok=True)
    words = ("mount", "-t", "tmpfs", "-o", f"size={mebibytes}m,{options}", "tmpfs", str(folder))
    subprocess.run(words, check=True)
    try:
        yield
    finally:
        subprocess.run(("umount", str(folder)), check=True)


def labels_away(labels: Path, settings: Any, stack: ExitStack) -> None:
    labels.rename(labels.with_name("elsewhere"))
    stack.callback(labels.with_name("elsewhere").rename, labels)


def no_folder_for_evidence(labels: Path, settings: Any, stack: ExitStack) -> None:
    stack.callback(setattr, settings, "EVIDENCE_DIR", settings.EVIDENCE_DIR)
    settings.EVIDENCE_DIR = None


def evidence_is_a_file(labels: Path, settings: Any, stack: ExitStack) -> None:
    settings.EVIDENCE_DIR.write_text("")
    stack.callback(settings.EVIDENCE_DIR.unlink)


def evidence_is_read_only(labels: Path, settings: Any, stack: ExitStack) -> None:
    stack.enter_context(small_disk(settings.EVIDENCE_DIR, mebibytes=128, options="ro"))


def too_little_space(labels: Path, settings: Any, stack: ExitStack) -> None:
    stack.enter_context(small_disk(settings.EVIDENCE_DIR, mebibytes=1))


LACKS: list[tuple[Callable[[Path, Any, ExitStack], None], str]] = [
    (labels_away, "is no folder that this worker can read"),
    (no_folder_for_evidence, "EVIDENCE_DIR is not set"),
    (evidence_is_a_file, "File exists"),
    (evidence_is_read_only, "Read-only file system"),
    (too_little_space, "has 1 MiB free, 64 MiB are needed (WORKER_MIN_FREE)"),
]


@pytest.mark.parametrize(("break_it", "words"), LACKS, ids=lambda one: getattr(one, "__name__", ""))
def test_whoever_lacks_something_claims_nothing_and_says_what(
    break_it: Callable[[Path, Any, ExitStack], None],
    words: str,
    phase: Phase,
    labels: Path,
    settings: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    hand_in(phase)
    with ExitStack() as stack:
        break_it(labels, settings, stack)
        with caplog.at_level(logging.CRITICAL, logger="challenge.workers.scoring"):
            assert scoring.score() == 0
        assert words in caplog.text
        assert any(words in fault for fault in readiness.faults())
        assert Evaluation.objects.get().attempt == 0
    assert readiness.faults() == []
    assert scoring.score() == 1
    assert states() == ["scored"]


def test_labels_that_this_worker_lacks_are_left_to_others(
    phase: Phase, labels: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = make_phase(phase.challenge, "other", closes_at=None)
    hand_in(other)
    hand_in(phase)
    with caplog.at_level(logging.ERROR, logger="challenge.workers.scoring"):
        assert scoring.score() == 1
    assert states() == ["queued", "scored"]
    assert other.ground_truth is not None
    lacking = (
        f"1 evaluations wait for labels that this worker lacks: {other.ground_truth.store_name}"
    )
    assert lacking in caplog.text


def test_a_disk_that_fills_up_while_scoring_fails_nothing(
    phase: Phase, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "faults", list)  # there was room when it was asked
    hand_in(phase)
    with small_disk(settings.EVIDENCE_DIR, mebibytes=1):
        full = settings.EVIDENCE_DIR / "full"
        with full.open("wb") as file:
            file.write(bytes(2**20))
        assert scoring.score() == 1
        evaluation = Evaluation.objects.get()
        assert (evaluation.state, evaluation.attempt - evaluation.attempts_before) == ("queued", 0)
        assert evaluation.events.order_by("pk").last().reason == "scorer-storage"
        assert [path.name for path in settings.EVIDENCE_DIR.iterdir()] == ["full"]
        full.unlink()
        assert scoring.score() == 1
    assert states() == ["scored"]


def scorers() -> list[int]:
    """The scorer processes that this process has started."""
    found = []
    for task in Path("/proc/self/task").iterdir():
        try:
            children = (task / "children").read_text().split()
        except OSError:  # the thread has ended
            continue
        for pid in children:
            try:
                command = Path(f"/proc/{pid}/cmdline").read_bytes()
            except OSError:
                continue
            if b"scoring.engine.scorer.main" in command:
                found.append(int(pid))
    return found


@pytest.mark.parametrize(("deaths", "state"), [(1, "scored"), (2, "failed")])
def test_a_killed_scorer_is_tried_once_more(phase: Phase, deaths: int, state: str) -> None:
    hand_in(phase)
    killed: list[int] = []
    over = threading.Event()

    def kill() -> None:
        while len(killed) < deaths and not over.wait(0.005):
            for pid in scorers():
                if pid not in killed:
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        assert scoring.score() == 2
    finally:
        over.set()
        killer.join()
    evaluation = Evaluation.objects.get()
    assert len(killed) == deaths
    assert evaluation.state == state
    assert evaluation.error_code == ("scorer-killed" if state == "failed" else "")
    moves = [line.move for line in evaluation.submission.quota_lines.all()]
    assert moves == ["reserved", "consumed" if state == "scored" else "refunded"]


def test_the_health_check_of_a_real_worker_names_what_is_missing(tmp_path: Path) -> None:
    data = tmp_path / "data"
    worker = WorkerWithData(tmp_path / "labels", data)
    try:
        worker.start()
        check = [sys.executable, "-m", "challenge.config.liveness", "worker"]
        environment = os.environ | {"FLAIR_DATA_DIR": str(data)}

        def answer() -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                check, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
            )

        wait_until(lambda: "LABELS_DIR" in answer().stderr, "the missing labels")
        assert answer().returncode == 1
    finally:
        worker.stop()


class WorkerWithData(Worker):
    """A worker with a data folder of its own."""

    def __init__(self, labels: Path, data: Path) -> None:
        super().__init__(labels)
        self.data = data

    def environment(self) -> dict[str, str]:
        return super().environment() | {"FLAIR_DATA_DIR": str(self.data)}


def test_faults_are_forgotten_once_mended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLAIR_DATA_DIR", str(tmp_path))
    liveness.record_alive("worker")
    liveness.record_faults("worker", ["no labels", "no room"])
    assert liveness.why_unhealthy("worker") == "no labels\nno room"
    liveness.record_faults("worker", [])
    assert liveness.why_unhealthy("worker") is None
