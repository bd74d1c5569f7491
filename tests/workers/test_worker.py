"""A real worker process on real archives: scored, rejected, killed, and scored exactly once."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from challenge.models import Evaluation, Phase, QuotaLine, Score
from challenge.services.submissions import evaluations
from tests.factories import make_archive, make_team, submit
from tests.workers.real import (
    Worker,
    make_real_phase,
    make_zip,
)

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("running_servers"),
]
PATCHES = 600


@pytest.fixture(scope="module")
def full_zip() -> bytes:
    return make_zip(patches=PATCHES)


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    worker = Worker(tmp_path / "labels")
    yield worker
    worker.stop()


@pytest.fixture
def phase(worker: Worker) -> Phase:
    return make_real_phase(worker.labels, patches=PATCHES)


def states() -> list[str]:
    return list(Evaluation.objects.order_by("pk").values_list("state", flat=True))


def test_a_good_and_a_broken_archive_find_their_ends(
    phase: Phase, worker: Worker, full_zip: bytes
) -> None:
    now = phase.opens_at
    good = submit(make_team(phase.challenge), phase, archive=make_archive(full_zip), at=now)
    bad = submit(make_team(phase.challenge), phase, archive=make_archive(b"PK nonsense"), at=now)
    short = make_archive(make_zip(patches=PATCHES - 1))
    missing = submit(make_team(phase.challenge), phase, archive=short, at=now)
    worker.start()
    worker.wait_until(lambda: not {"queued", "scoring"} & set(states()), "three ends")
    assert states() == ["scored", "rejected", "rejected"], worker.log_tail()
    assert "decoders will be isolated by landlock" in worker.log.read_text(errors="replace")
    score = good.evaluations.get().score
    assert score.card["patches"] == PATCHES
    assert score.miou is not None
    assert 0 < score.miou < 1
    assert (worker.labels.parent / "evidence" / score.evidence_name).is_file()
    assert phase.rank_lines.get().rank == 1
    for rejected in (bad, missing):
        evaluation = rejected.evaluations.get()
        assert evaluation.problems
        assert all({"code", "message"} <= set(problem) for problem in evaluation.problems)
    assert "1" in missing.evaluations.get().problems[0]["message"]
    moves = QuotaLine.objects.order_by("submission__number", "pk").values_list("move", flat=True)
    assert sorted(moves) == ["consumed", "refunded", "refunded", *["reserved"] * 3]


@pytest.mark.parametrize("victim", ["worker", "pool child"])
def test_killed_while_scoring_it_is_scored_exactly_once(
    phase: Phase, worker: Worker, full_zip: bytes, victim: str
) -> None:
    submission = submit(
        make_team(phase.challenge), phase, archive=make_archive(full_zip), at=phase.opens_at
    )
    worker.start()
    worker.wait_until(lambda: states() == ["scoring"], "the claim")
    if victim == "worker":
        worker.kill()
    else:
        os.kill(worker.pool_child(), signal.SIGKILL)
    assert states() == ["scoring"], "killed too late: it was scored before"
    assert evaluations.sweep().requeued == [], "swept before the lease was over"
    requeued: list[int] = []

    def lease_is_over() -> bool:
        requeued.extend(evaluations.sweep().requeued)
        return bool(requeued)

    worker.wait_until(lease_is_over, "the end of the lease")
    if victim == "worker":
        worker.start()
    worker.wait_until(lambda: states() == ["scored"], "the second attempt")
    evaluation = submission.evaluations.get()
    assert evaluation.attempt == 2
    assert Score.objects.count() == 1
    assert [(e.from_state, e.to_state, e.attempt) for e in evaluation.events.all()] == [
        ("", "queued", 0),
        ("queued", "scoring", 1),
        ("scoring", "queued", 1),
        ("queued", "scoring", 2),
        ("scoring", "scored", 2),
    ]
    assert [line.move for line in submission.quota_lines.all()] == ["reserved", "consumed"]
