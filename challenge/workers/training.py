"""The Celery task that trains: claim a run, let a child process do it, record its progress.

The Celery process imports no torch: a crash or an out-of-memory of the training ends the child,
never the worker, and CUDA is never forked. The run's folder is kept under its id, so that the next
attempt, on any worker with the same folder, goes on from the last whole epoch.
"""

from __future__ import annotations

import functools
import json
import logging
import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any

from celery import shared_task
from celery.signals import worker_ready, worker_shutting_down
from django.conf import settings
from django.db import DatabaseError, close_old_connections, connection
from django.db.utils import InterfaceError

from baselines import run_progress
from baselines.run_progress import RunnerCapabilities, RunProgress
from baselines.runner import STOP_SIGNAL, Job
from challenge.errors import Refusal
from challenge.services.task_queue import Queue, TaskName
from challenge.services.training import results, training_runs, workers
from challenge.services.training.training_runs import RunClaim

log = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parents[2]
# A machine without a GPU takes only what it can finish.
SMALL = "tiny-"
ANNOUNCE_EVERY_S = 20.0
PROGRESS_EVERY_S = 1.0
STOP_S = 60.0
# Final writes are tried for so long while the database is away; then the lease decides.
WRITE_S = 600.0


@shared_task(name=TaskName.TRAIN.value, acks_late=False)
def train() -> str | None:
    """Do the oldest training run that this worker can; returns its id.

    One a message: a worker asked to stop does so between two runs.
    """
    capabilities = _capabilities()
    if capabilities.problem:
        return None
    claim = training_runs.claim(
        worker=_name(),
        recipe_prefix=SMALL if capabilities.is_small else "",
        data_roots=_data_roots(),
    )
    if claim is None:
        return None
    _run_claimed(claim)
    close_old_connections()
    training_runs.notify_workers()
    return str(claim.run_id)


def _run_claimed(claim: RunClaim) -> None:
    """Take one run from its claim to its end."""
    log.info("run %s (%s), attempt %s", claim.run_id, claim.recipe, claim.attempt)
    runs, data = settings.BASELINES_RUNS_DIR, settings.BASELINES_DATA_DIR
    assert runs is not None
    assert data is not None, "a run was claimed without data"
    folder = runs / str(claim.run_id)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        target = results.target(claim.run_id)
    except Refusal as refusal:
        _fail(claim, refusal.code, str(refusal))
        return
    job = Job(
        recipe=claim.recipe,
        seed=claim.seed,
        data_root=str(data / claim.data_root),
        run_dir=str(folder),
        # Decoded patches are the same for every run on a data set.
        cache_dir=str(runs / "cache" / claim.data_root),
        parent_pid=os.getpid(),
        devices=settings.BASELINES_DEVICES,
        overrides=claim.overrides,
        spec=target.task if target else None,
        ids=target.ids if target else None,
        recipe_text=claim.recipe_text,
    )
    log_path = folder / "log.txt"
    with log_path.open("ab") as log_file:
        child = subprocess.Popen(
            [sys.executable, "-m", "baselines.runner", "run"],
            cwd=ROOT,
            env=run_progress.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log_file,
            text=True,
            start_new_session=True,
        )
    run_state = RunProgress(log_path)
    try:
        with _Heartbeat(claim, child, run_state) as heartbeat:
            assert child.stdin is not None
            with suppress(BrokenPipeError):  # it died at once: its end tells
                child.stdin.write(job.to_json() + "\n")
                child.stdin.close()
            for event in _events(child):
                run_state.apply_event(event)
            child.wait()
    finally:
        _kill(child)
    if heartbeat.lost.is_set():
        log.warning("run %s: attempt %s is over", claim.run_id, claim.attempt)
        return
    if run_state.last is None and heartbeat.stopping.is_set():
        run_state.apply_event({"event": "stopped"})  # before it could listen, or because it did not
    _record_outcome(claim, run_state, code=child.returncode)


def _record_outcome(claim: RunClaim, run_state: RunProgress, *, code: int) -> None:
    last = run_state.last
    if last is None:
        # It ended without a word: killed (out of memory?) or crashed.
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        _fail(claim, "training-crashed", f"The training ended by itself, with {how}.")
    elif last["event"] == "failed":
        _fail(claim, last["code"], last["message"])
    elif last["event"] == "stopped":
        log.info("run %s was cancelled", claim.run_id)
        _write(lambda: training_runs.mark_cancelled(claim.run_id, attempt=claim.attempt))
    else:
        _complete(claim, last["result"], hardware=str(run_state.device.get("name", "")))


def _complete(claim: RunClaim, result: dict[str, Any], *, hardware: str) -> None:
    archive = result.pop("archive")
    try:
        if archive is None:
            _write(
                lambda: training_runs.complete(claim.run_id, attempt=claim.attempt, result=result)
            )
            return
        _write(
            lambda: results.submit(
                claim.run_id,
                attempt=claim.attempt,
                archive_path=Path(archive),
                result=result,
                hardware=hardware,
            )
        )
    except Refusal as refusal:
        _fail(claim, refusal.code, str(refusal))


def _fail(claim: RunClaim, code: str, message: str) -> None:
    log.error("run %s: %s (%s)", claim.run_id, code, message)
    _write(
        lambda: training_runs.fail(claim.run_id, attempt=claim.attempt, code=code, message=message)
    )


def _write(write: Callable[[], object]) -> None:
    """Write a run's end, patiently: days of training must not be lost to a restarting database."""
    until_s = time.monotonic() + WRITE_S
    while True:
        try:
            write()
        except Refusal as refusal:
            if refusal.code != "late-worker":
                raise
            log.warning("given up meanwhile: %s", refusal)
        except (DatabaseError, InterfaceError) as error:
            connection.close()
            if time.monotonic() > until_s:
                raise
            log.warning("the database is away, trying again: %s", error)
            time.sleep(2.0)
            continue
        return


def _events(child: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    assert child.stdout is not None
    for line in child.stdout:
        try:
            event = json.loads(line)
        except ValueError:  # cut short by its death
            continue
        yield event


class _Heartbeat:
    """Renews the lease, writes progress and epochs, and passes on the wish to stop.

    All that is written while the child runs is written here, so that a database that is away for
    a while only delays it. ``lost`` is set once the run is no longer ours, or may be another's;
    ``stopping`` once a person asked.
    """

    def __init__(
        self, claim: RunClaim, child: subprocess.Popen[str], run_state: RunProgress
    ) -> None:
        self.claim, self.child, self.run_state = claim, child, run_state
        self.lost = Event()
        self.stopping = Event()
        self._done = Event()
        self._thread = Thread(target=self._run, name=f"heartbeat-{claim.run_id}")

    def __enter__(self) -> _Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        lease_s = float(settings.TRAINING_LEASE_S)
        renewed_s = time.monotonic()
        stop_by_s: float | None = None
        written = -1
        try:
            while True:
                over = self._done.wait(min(PROGRESS_EVERY_S, lease_s / 4))
                now_s = time.monotonic()
                due = written != self.run_state.version or now_s - renewed_s > lease_s / 4
                if due or over:
                    try:
                        written = self.run_state.version
                        cancel = self._write()
                        renewed_s = now_s
                    except (DatabaseError, InterfaceError) as error:
                        log.warning("heartbeat of %s missed: %s", self.claim.run_id, error)
                        connection.close()
                        written, cancel = -1, False
                    if self.lost.is_set():
                        _kill(self.child)
                        return
                    if cancel and stop_by_s is None:
                        self.stopping.set()
                        self.child.send_signal(STOP_SIGNAL)
                        stop_by_s = now_s + STOP_S
                if over and written >= 0:
                    return
                if over:
                    time.sleep(PROGRESS_EVERY_S)
                if now_s - renewed_s > lease_s:
                    # Somebody else may have it by now.
                    log.error("run %s: no heartbeat for %s s, given up", self.claim.run_id, lease_s)
                    self.lost.set()
                    _kill(self.child)
                    return
                if stop_by_s is not None and now_s > stop_by_s:
                    _kill(self.child)
                    stop_by_s = math.inf
        finally:
            connection.close()

    def _write(self) -> bool:
        """Write what there is; returns whether a person asked to stop."""
        claim, run_state = self.claim, self.run_state
        reply = training_runs.heartbeat(
            claim.run_id,
            attempt=claim.attempt,
            stage=run_state.stage,
            progress=run_state.progress,
            device=run_state.device,
            log_tail=run_state.log_tail(training_runs.LOG_CHARACTERS),
        )
        if not reply.alive:
            self.lost.set()
            return False
        while run_state.epochs:
            metrics = dict(run_state.epochs[0])
            again = metrics.pop("again", False)
            try:
                training_runs.record_epoch(
                    claim.run_id,
                    attempt=claim.attempt,
                    epoch=metrics["epoch"],
                    metrics=metrics,
                    again=again,
                )
            except Refusal:
                self.lost.set()
                return False
            run_state.epochs.popleft()
        return reply.cancel


def _kill(child: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _name() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def _data_roots() -> list[str]:
    """Name the folders below BASELINES_DATA_DIR, links included."""
    folder = settings.BASELINES_DATA_DIR
    if folder is None:
        return []
    if not folder.is_dir():
        log.error("BASELINES_DATA_DIR is %s, which is no folder here", folder)
        return []
    names = (path.name for path in folder.iterdir() if path.is_dir())
    return sorted(name for name in names if training_runs.NAME.fullmatch(name))


@functools.cache
def _capabilities() -> RunnerCapabilities:
    """Ask the runner once what there is here."""
    return run_progress.query_capabilities(ROOT)


# --- What the site's form offers ----------------------------------------------------------------

_leaving = Event()


def _announce(name: str) -> None:
    """Say again and again what this worker can do, or why it can do nothing."""
    capabilities = _capabilities()
    if settings.BASELINES_DATA_DIR is None:
        log.error("BASELINES_DATA_DIR is not set: this worker has nothing to train on")
    recipes = capabilities.recipes
    if capabilities.is_small and not capabilities.problem:
        log.warning("no GPU here: this worker takes only the recipes %s*", SMALL)
        recipes = [recipe for recipe in recipes if recipe["name"].startswith(SMALL)]
    while True:
        workers.announce(
            name,
            device=capabilities.device,
            recipes=recipes,
            data_roots=_data_roots(),
            problem=capabilities.problem,
        )
        if _leaving.wait(ANNOUNCE_EVERY_S):
            return


@worker_ready.connect
def start_announcing(sender: Any = None, **_: Any) -> None:
    """Announce workers of the GPU queue, from a thread of the parent process."""
    if sender is not None and Queue.GPU in sender.app.amqp.queues.consume_from:
        Thread(target=_announce, args=(sender.hostname,), name="announce", daemon=True).start()


@worker_shutting_down.connect
def stop_announcing(**_: Any) -> None:
    """Let the thread end."""
    _leaving.set()
