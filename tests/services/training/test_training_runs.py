"""Training runs: the state machine of evaluations, on the GPU queue."""

from __future__ import annotations

from datetime import timedelta
from itertools import product

import pytest
from django.db import IntegrityError, transaction

from challenge.models import TrainingRun
from challenge.rules.lifecycle import RunState, may_run_move
from challenge.services.training import training_runs
from challenge.services.training.training_runs import RunClaim
from tests.factories import NOON, make_user
from tests.helpers import refused

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


def make_run(**fields: object) -> TrainingRun:
    fields = {"recipe": "unet-quick", "data_root": "toy", "actor": None, "now": NOON} | fields
    return training_runs.create(**fields)


def claim(now: object = NOON) -> RunClaim:
    found = training_runs.claim(worker="gpu:1", now=now)
    assert found is not None
    return found


def test_a_run_is_claimed_renewed_and_succeeds() -> None:
    run = make_run(seed=7)
    taken = claim()
    assert (taken.recipe, taken.seed, taken.attempt) == ("unet-quick", 7, 1)
    assert training_runs.claim(worker="w") is None
    reply = training_runs.heartbeat(
        run.pk, attempt=1, stage="training", progress={"epoch": 1}, log_tail="x" * 99_999, now=NOON
    )
    assert reply
    training_runs.record_epoch(run.pk, attempt=1, epoch=1, metrics={"loss": 2.0}, now=NOON)
    training_runs.record_epoch(run.pk, attempt=1, epoch=1, metrics={"loss": 1.0}, now=NOON)
    training_runs.complete(run.pk, attempt=1, result={"miou": 0.5}, now=NOON)
    run.refresh_from_db()
    assert (run.state, run.result, run.progress) == ("succeeded", {"miou": 0.5}, {"epoch": 1})
    assert len(run.log_tail) == training_runs.LOG_CHARACTERS
    assert [point.metrics for point in run.points.all()] == [{"loss": 1.0}]
    assert [event.to_state for event in run.events.all()] == ["queued", "running", "succeeded"]


@pytest.mark.parametrize("name", ["", "../x", "a b", "x;rm", "a" * 81])
def test_a_recipe_or_data_root_that_is_no_plain_name_is_refused(name: str) -> None:
    with refused("recipe-invalid"):
        make_run(recipe=name)
    with refused("recipe-invalid"):
        make_run(data_root=name)


def test_a_run_lost_three_times_fails() -> None:
    run = make_run()
    now = NOON
    for attempt in (1, 2, 3):
        assert claim(now).attempt == attempt
        training_runs.record_epoch(
            run.pk, attempt=attempt, epoch=1, metrics={}, again=True, now=now
        )
        now += HOUR
        report = training_runs.sweep(now=now)
        assert (report.requeued, report.failed) == (
            ([run.pk], []) if attempt < 3 else ([], [run.pk])
        )
    run.refresh_from_db()
    assert (run.state, run.error_code) == ("failed", "worker-lost")
    training_runs.requeue_failed(run=run, actor=make_user(), now=now)
    assert claim(now).attempt == 4
    assert run.points.count() == 0


def test_a_late_worker_is_refused() -> None:
    run = make_run()
    claim()
    training_runs.sweep(now=NOON + HOUR)
    assert not training_runs.heartbeat(run.pk, attempt=1, now=NOON + HOUR).alive
    for act in (
        lambda: training_runs.record_epoch(run.pk, attempt=1, epoch=1, metrics={}),
        lambda: training_runs.complete(run.pk, attempt=1, result={}),
        lambda: training_runs.fail(run.pk, attempt=1, code="oom"),
        lambda: training_runs.mark_cancelled(run.pk, attempt=1),
    ):
        with refused("late-worker"):
            act()


def test_a_waiting_run_is_cancelled_at_once_a_running_one_by_its_worker() -> None:
    person = make_user()
    waiting, running = make_run(), make_run(now=NOON - HOUR)
    claim()
    training_runs.cancel(run=waiting, actor=person)
    waiting.refresh_from_db()
    assert waiting.state == "cancelled"
    training_runs.cancel(run=running, actor=person)
    reply = training_runs.heartbeat(running.pk, attempt=1)
    assert (reply.alive, reply.cancel, bool(reply)) == (True, True, False)
    training_runs.mark_cancelled(running.pk, attempt=1)
    running.refresh_from_db()
    assert running.state == "cancelled"
    with refused("illegal-move"):
        training_runs.cancel(run=running, actor=person)


def test_a_cancelled_run_of_a_lost_worker_does_not_come_back() -> None:
    run = make_run()
    claim()
    training_runs.cancel(run=run, actor=make_user())
    assert training_runs.sweep(now=NOON + HOUR).cancelled == [run.pk]


@pytest.mark.parametrize(
    ("old", "new"), [(o, n) for o, n in product(RunState, RunState) if not may_run_move(o, n)]
)
def test_every_illegal_transition_is_refused(old: RunState, new: RunState) -> None:
    run = make_run()
    running = {"lease_until": NOON, "attempt": 1} if old is RunState.RUNNING else {}
    TrainingRun.objects.filter(pk=run.pk).update(state=old.value, **running)
    run.refresh_from_db()
    with refused("illegal-move"):
        training_runs.jobs.transition(run, new, now=NOON)
    run.refresh_from_db()
    assert run.state == old


def test_the_database_wants_a_lease_while_running() -> None:
    run = make_run()
    for columns in ({"state": "running"}, {"lease_until": NOON}, {"state": "asleep"}):
        with pytest.raises(IntegrityError), transaction.atomic():
            TrainingRun.objects.filter(pk=run.pk).update(**columns)


def test_a_new_epoch_is_progress_after_which_losses_count_anew() -> None:
    run = make_run()
    now = NOON
    for attempt in range(1, 7):
        assert claim(now).attempt == attempt
        training_runs.record_epoch(run.pk, attempt=attempt, epoch=0, metrics={}, again=attempt > 1)
        if attempt == 3:
            training_runs.record_epoch(run.pk, attempt=attempt, epoch=1, metrics={})
        now += HOUR
        swept = training_runs.sweep(now=now)
        # Attempts 3, 4 and 5 are three without progress since the new epoch of the third.
        if attempt == 5:
            assert swept.failed == [run.pk]
            break
        assert swept.requeued == [run.pk]
    assert attempt == 5


def test_a_worker_takes_only_what_it_can_do() -> None:
    make_run(recipe="flair-1-unet")
    elsewhere = make_run(recipe="tiny-unet", data_root="mars")
    here = make_run(recipe="tiny-unet", data_root="toy", now=NOON + HOUR)
    found = training_runs.claim(worker="w", recipe_prefix="tiny-", data_roots=["toy"])
    assert found is not None
    assert found.run_id == here.pk
    assert training_runs.claim(worker="w", recipe_prefix="tiny-", data_roots=["toy"]) is None
    assert training_runs.claim(worker="w", data_roots=[]) is None
    found = training_runs.claim(worker="w", recipe_prefix="tiny-")
    assert found is not None
    assert found.run_id == elsewhere.pk
