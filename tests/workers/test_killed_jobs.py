"""Comparisons and re-scores by Celery workers that are killed half-way: another ends them, once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.db import transaction

from challenge.models import (
    Evaluation,
    Phase,
    PixelComparison,
    RankLine,
    Rescore,
    Score,
    StagedScore,
    Submission,
)
from challenge.rules.roles import Role
from challenge.services import phase_lock
from challenge.services.submissions import pixel_comparisons, rescores
from scoring.engine import synthetic
from scoring.engine.task.examples import abc_spec
from tests.factories import make_archive, make_organiser, make_task, make_team, submit
from tests.workers.real import SIDE_PX, Worker, make_real_phase, make_zip

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("running_servers"),
]
PATCHES = 200
VALUE = 1
LESS = [
    {"id": 0, "key": "a", "labels": [1]},
    {"id": 1, "key": "b", "labels": [2], "scored": False},
    {"id": 2, "key": "other", "labels": [3], "scored": False},
]


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    worker = Worker(tmp_path / "labels")
    yield worker
    worker.stop()


@pytest.fixture
def phase(worker: Worker) -> Phase:
    return make_real_phase(worker.labels, patches=PATCHES)


@pytest.fixture
def sent(phase: Phase) -> dict[str, Submission]:
    """First and Second sent the very same pixels, Third one value everywhere."""
    same = make_zip(patches=PATCHES)
    archives = {"First": same, "Second": same, "Third": make_zip(patches=PATCHES, value=VALUE)}
    return {
        name: submit(
            make_team(phase.challenge, name),
            phase,
            archive=make_archive(archive),
            at=phase.opens_at,
        )
        for name, archive in archives.items()
    }


def wait_for(worker: Worker, row: Any, state: str) -> None:
    """Wait until a job has a state."""

    def has_it() -> bool:
        row.refresh_from_db()
        assert row.state != "failed", row.error_code
        return bool(row.state == state)

    worker.wait_until(has_it, state)


def wait_for_scores(worker: Worker) -> None:
    worker.wait_until(lambda: Evaluation.objects.filter(state="scored").count() == 3, "scores")
    worker.wait_until(lambda: RankLine.objects.count() == 3, "ranks")


def sweep_until_requeued(worker: Worker, service: Any) -> None:
    """Sweep as the beat does, until the lease of the killed worker is over."""
    assert service.sweep().requeued == [], "swept before the lease was over"
    worker.wait_until(lambda: service.sweep().requeued, "the end of the lease")


def test_a_comparison_outlives_its_worker(
    phase: Phase, worker: Worker, sent: dict[str, Submission]
) -> None:
    judge = make_organiser(phase.challenge, role=Role.JUDGE)
    chosen = [one.pk for one in sent.values()]
    Evaluation.objects.update(state="cancelled")
    row = pixel_comparisons.request(phase=phase, actor=judge, best=0, chosen=chosen)
    worker.start()
    wait_for(worker, row, "running")
    worker.kill()
    row.refresh_from_db()
    assert row.state == "running", "killed too late: it had ended"
    sweep_until_requeued(worker, pixel_comparisons)
    worker.start()
    wait_for(worker, row, "succeeded")
    assert (PixelComparison.objects.count(), row.attempt) == (1, 2)
    assert [(e.from_state, e.to_state, e.attempt) for e in row.events.order_by("pk")] == [
        ("", "queued", 0),
        ("queued", "running", 1),
        ("running", "queued", 1),
        ("queued", "running", 2),
        ("running", "succeeded", 2),
    ]
    spec = abc_spec(patch_height_px=SIDE_PX, patch_width_px=SIDE_PX)
    equal = int(np.count_nonzero(synthetic.pair(spec, seed=1).prediction == VALUE)) * PATCHES
    first, second, third = (str(one.pk) for one in sent.values())
    pixels = PATCHES * SIDE_PX * SIDE_PX
    assert row.result == {
        "pixels": pixels,
        "unread": [],
        "pairs": [[first, second, pixels], [first, third, equal], [second, third, equal]],
    }


def test_a_rescore_outlives_the_worker_that_was_publishing_it(
    phase: Phase, worker: Worker, sent: dict[str, Submission]
) -> None:
    owner = make_organiser(phase.challenge)
    worker.start()
    wait_for_scores(worker)
    sizes = {"patch_height_px": SIDE_PX, "patch_width_px": SIDE_PX}
    task = make_task(phase.challenge, classes=LESS, **sizes)
    assert phase.ground_truth is not None
    row = rescores.request(
        phase=phase,
        ground_truth=phase.ground_truth,
        task_spec=task,
        method=Rescore.Method.EVIDENCE,
        actor=owner,
    )
    wait_for(worker, row, "previewed")
    assert (row.result["from_evidence"], row.result["blocking"]) == (3, 0)
    rescores.confirm(row=row, actor=owner, digest=row.digest)
    with transaction.atomic():
        # Keeps the worker between its staged scores and the switch.
        phase_lock.share(phase.pk)
        worker.wait_until(lambda: StagedScore.objects.count() == 3, "staged scores")
        worker.kill()
        row.refresh_from_db()
        assert row.state == "running"
    assert not RankLine.objects.exclude(score__evaluation__task_spec=phase.task_spec).exists()
    assert Phase.objects.get(pk=phase.pk).task_spec == phase.task_spec
    sweep_until_requeued(worker, rescores)
    assert not Score.objects.filter(evaluation__isnull=True).exists()
    worker.start()
    wait_for(worker, row, "published")
    assert row.attempt == 3
    assert Phase.objects.get(pk=phase.pk).task_spec == task
    assert Score.objects.count() == 6
    assert Evaluation.objects.filter(task_spec=task, state="scored").count() == 3
    lines = RankLine.objects.order_by("rank", "submission__created_at", "entry")
    assert {line.score.evaluation.task_spec_id for line in lines} == {task.pk}
    assert [change["team"] for change in row.result["changes"]] == [
        line.entry.team.name for line in lines
    ]
