"""The processes of the benchmark: one for each measurement, and the memory that they take."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, TypedDict, cast

from scoring.engine.scorer import child
from scoring.engine.scorer.verdicts import Progress, Scored
from scoring.engine.task import specification as specs
from scoring.engine.task.documents import TaskDocument

SAMPLE_EVERY_S = 0.02
_ONE_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "GDAL_NUM_THREADS",
)


class Data(TypedDict):
    """Files of one set of patches, the specification in JSON, and the ids of its patches."""

    zip: str
    truth: str
    masks: str
    spec: TaskDocument
    ids: list[str]


class Job(Data):
    """What one process measures: the name of a method and how many decoder workers it has."""

    method: str
    workers: int


# What a method measured: seconds, cpu_s, patches and what it has besides; it came as JSON.
Measurement = dict[str, Any]


def start(job: Job, cores: Sequence[int]) -> Measurement:
    """Run one method in its own process on these cores; what it measured."""
    return start_together([(job, cores)])[0]


def start_together(jobs: Sequence[tuple[Job, Sequence[int]]]) -> list[Measurement]:
    """Run methods at the same time, each in its own process on its own cores."""
    with contextlib.ExitStack() as stack:
        processes = []
        for _, cores in jobs:
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", "scoring.bench.methods"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    env={**os.environ, **dict.fromkeys(_ONE_THREAD_VARIABLES, "1")},
                    text=True,
                )
            )
            os.sched_setaffinity(process.pid, cores)
            processes.append(process)
        for process in processes:
            _output(process).readline()  # its imports are over
        for process, (job, _) in zip(processes, jobs, strict=True):
            stdin = cast("IO[str]", process.stdin)
            stdin.write(json.dumps(job) + "\n")
            stdin.flush()
        outputs = [_output(process).read() for process in processes]
    for process, (job, _) in zip(processes, jobs, strict=True):
        if process.returncode:
            raise RuntimeError(f"the method {job['method']} failed")
    return [json.loads(output) for output in outputs]


def _output(process: subprocess.Popen[str]) -> IO[str]:
    return cast("IO[str]", process.stdout)


def run_child(data: Data) -> tuple[float, int]:
    """The scorer as workers start it: seconds to the first patch, peak bytes of all processes."""
    first_s: list[float] = []
    started_s = time.monotonic()

    def on_progress(progress: Progress) -> None:
        if progress.patches_done and not first_s:
            first_s.append(time.monotonic() - started_s)

    with _Sampler() as sampler:
        result = child.run(
            spec=specs.from_json(data["spec"]),
            truth_path=data["truth"],
            archive_path=data["zip"],
            evidence_path=None,
            timeout_s=3600,
            on_progress=on_progress,
        )
    if not isinstance(result, Scored):
        raise RuntimeError(f"the benchmark's own data were refused: {result}")
    return first_s[0] if first_s else time.monotonic() - started_s, sampler.peak_bytes


class _Sampler:
    """The peak of the proportional set sizes (shared pages once) of descendants started since."""

    def __init__(self) -> None:
        self.peak_bytes = 0
        self._earlier_pids = set(_descendants(os.getpid()))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> _Sampler:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(SAMPLE_EVERY_S):
            pids = set(_descendants(os.getpid())) - self._earlier_pids
            self.peak_bytes = max(self.peak_bytes, sum(map(_pss_bytes, pids)))


def _descendants(pid: int) -> list[int]:
    pids: list[int] = []
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
    except (FileNotFoundError, ProcessLookupError):
        return pids  # the process has ended meanwhile
    for thread in threads:
        for text in _read(thread / "children").split():
            pids += [int(text), *_descendants(int(text))]
    return pids


def _pss_bytes(pid: int) -> int:
    for line in _read(Path(f"/proc/{pid}/smaps_rollup")).splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return ""  # the process has ended meanwhile
