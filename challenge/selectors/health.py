"""What the desk's health page and the public status page show: queues, workers, disk, mail, sweep.

Queues come from :mod:`challenge.selectors.operations`; scoring workers say in the cache what only
they know (:mod:`challenge.services.scoring_workers`).
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from django.core.files.storage import FileSystemStorage, default_storage
from django.utils import timezone
from pydantic import TypeAdapter

from challenge.models import Challenge, Evaluation, GroundTruth, Rescore, TrainingRun
from challenge.rules.lifecycle import RescoreState, RunState, State
from challenge.selectors import cached, operations, training
from challenge.selectors.operations import Operations
from scoring.engine.truth import split

WORKERS_KEY = "scoring-workers"
# A worker says what it has every 30 seconds.
PRESENT = timedelta(seconds=120)
STATUS_KEPT_S = 15
# The sweep runs every 30 seconds.
SWEEP_LATE = timedelta(minutes=3)


@dataclass(frozen=True, kw_only=True)
class ScoringWorkerLine:
    """What a scoring worker said of itself.

    ``isolation`` names the layers that lock decoders in, "" where it scores nothing for want of
    them; ``faults`` say what it lacks, with its paths: for the operator. ``label_files`` are names
    of packed labels and splits: they stay on the server.
    """

    host: str
    isolation: str
    faults: list[str]
    label_files: list[str]
    free_bytes: dict[str, int]
    seen_at: datetime


SCORING_WORKERS = TypeAdapter(dict[str, ScoringWorkerLine])


@dataclass(frozen=True)
class Labels:
    """Labels of a challenge, and whether a worker has all their files."""

    ground_truth: GroundTruth
    present: bool


@dataclass(frozen=True)
class Job:
    """What a worker is at; ``what`` names it where it is of the challenge, else ""."""

    kind: str
    what: str
    stage: str
    since: datetime | None


@dataclass(frozen=True)
class WorkerState:
    """A worker: what it has, what it does. ``present`` False: not heard of for two minutes."""

    name: str
    kind: str
    present: bool
    seen_at: datetime
    isolation: str
    faults: list[str]
    free_bytes: dict[str, int]
    labels: list[Labels]
    jobs: list[Job]


@dataclass(frozen=True)
class Health:
    """All of it for a challenge's desk; ``site_free_bytes`` None: archives lie elsewhere."""

    operations: Operations
    workers: list[WorkerState]
    unassigned: list[Job]
    site_free_bytes: int | None
    sweep_late: bool

    @property
    def scored_last_hour(self) -> int:
        return sum(one.count for one in self.operations.finished if one.state == State.SCORED)


@dataclass(frozen=True, kw_only=True)
class PublicStatus:
    """What everybody may know: counts and moments, no name of a machine, a challenge or a file."""

    waiting: int
    oldest_s: float
    running: int
    scored_last_hour: int
    scoring_workers: int
    training_workers: int
    isolated: bool
    mails_waiting: int
    sweep_late: bool
    last_sweep_at: datetime | None
    read_at: datetime


STATUS = TypeAdapter(PublicStatus)


def announced() -> dict[str, ScoringWorkerLine]:
    """Return what each scoring worker last said of itself, by its name. No query."""
    return cached.read(WORKERS_KEY, kind=SCORING_WORKERS) or {}


def read(challenge: Challenge, *, now: datetime | None = None) -> Health:
    """Read a challenge's health page: thirteen queries, whatever there is."""
    now = now or timezone.now()
    found = operations.read(now=now)
    truths = list(
        GroundTruth.objects.filter(challenge=challenge)
        .defer("patches")
        .order_by("name", "-version")
    )
    jobs = _jobs(challenge)
    workers = []
    for name, line in sorted(announced().items()):
        own = [job for worker, job in jobs if worker.partition(":")[0] == line.host]
        workers.append(
            WorkerState(
                name=name,
                kind="scoring",
                present=line.seen_at > now - PRESENT,
                seen_at=line.seen_at,
                isolation=line.isolation,
                faults=line.faults,
                free_bytes=line.free_bytes,
                labels=[Labels(truth, _has(line, truth)) for truth in truths],
                jobs=own,
            )
        )
    workers += [
        WorkerState(
            name=worker.name,
            kind="training",
            present=worker.present,
            seen_at=worker.seen_at,
            isolation="",
            faults=[worker.problem] if worker.problem else [],
            free_bytes={},
            labels=[],
            jobs=[job for name, job in jobs if name == worker.name],
        )
        for worker in training.workers(now=now)
    ]
    hosts = {line.host for line in announced().values()}
    names = {worker.name for worker in workers}
    return Health(
        operations=found,
        workers=workers,
        unassigned=[
            job
            for worker, job in jobs
            if worker.partition(":")[0] not in hosts and worker not in names
        ],
        site_free_bytes=_site_free_bytes(),
        sweep_late=_late(found, now=now),
    )


def public_status(*, now: datetime | None = None) -> PublicStatus:
    """Return what everybody may know, read once in fifteen seconds (nine queries)."""
    return cached.cached(
        "public-status",
        lambda: _public(now or timezone.now()),
        kind=STATUS,
        kept_s=STATUS_KEPT_S,
    )


def _public(now: datetime) -> PublicStatus:
    found = operations.read(now=now)
    queues = {queue.kind: queue for queue in found.queues}
    scoring, again = queues["scoring"], queues["re-scoring"]
    present = [line for line in announced().values() if line.seen_at > now - PRESENT]
    return PublicStatus(
        waiting=scoring.waiting + again.waiting,
        oldest_s=max(scoring.oldest_s, again.oldest_s),
        running=(scoring.running or 0) + (again.running or 0),
        scored_last_hour=sum(one.count for one in found.finished if one.state == State.SCORED),
        scoring_workers=sum(not line.faults for line in present),
        training_workers=sum(worker.present for worker in training.workers(now=now)),
        isolated=all(line.isolation for line in present),
        mails_waiting=queues["mail"].waiting,
        sweep_late=_late(found, now=now),
        last_sweep_at=found.last_sweep_at,
        read_at=now,
    )


def _late(found: Operations, *, now: datetime) -> bool:
    return found.last_sweep_at is None or found.last_sweep_at < now - SWEEP_LATE


def _has(line: ScoringWorkerLine, truth: GroundTruth) -> bool:
    """Say whether a worker has labels, and their list of zones where they are split."""
    if truth.store_name not in line.label_files:
        return False
    return not truth.is_split or split.file_name(truth.split_commitment) in line.label_files


def _jobs(challenge: Challenge) -> list[tuple[str, Job]]:
    """Return (worker, what it is at) for all that runs; three queries."""
    found: list[tuple[str, Job]] = []
    for evaluation in Evaluation.objects.filter(state=State.SCORING.value).select_related(
        "submission__entry__team", "submission__entry__phase"
    ):
        entry, own = evaluation.submission.entry, ""
        if entry.phase.challenge_id == challenge.pk:
            own = f"{entry.team.name} #{evaluation.submission.number}"
        job = Job("scoring", own, evaluation.stage, evaluation.started_at)
        found.append((evaluation.worker, job))
    for rescore in Rescore.objects.filter(state=RescoreState.RUNNING.value).select_related("phase"):
        own = rescore.phase.slug if rescore.phase.challenge_id == challenge.pk else ""
        found.append((rescore.worker, Job("re-score", own, rescore.stage, rescore.started_at)))
    for run in TrainingRun.objects.filter(state=RunState.RUNNING.value).select_related("phase"):
        is_own = run.phase is not None and run.phase.challenge_id == challenge.pk
        job = Job("training", str(run) if is_own else "", run.stage, run.started_at)
        found.append((run.worker, job))
    return found


def _site_free_bytes() -> int | None:
    """Return the free bytes where archives lie, None where that is another service."""
    if not isinstance(default_storage, FileSystemStorage):
        return None
    folder = Path(default_storage.location)
    return shutil.disk_usage(folder).free if folder.is_dir() else None
