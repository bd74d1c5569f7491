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
from typing import IO, Any, cast

from scoring.engine import child
from scoring.engine import spec as specs
from scoring.engine.verdicts import Progress, Scored

SAMPLE_EVERY_S = 0.02
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "GDAL_NUM_THREADS")


def start(job: dict[str, Any], cores: Sequence[int]) -> dict[str, float]:
    """Run one method in its own process on these cores; its figures."""
    return start_together([(job, cores)])[0]


def start_together(jobs: Sequence[tuple[dict[str, Any], Sequence[int]]]) -> list[dict[str, float]]:
    """Run methods at the same time, each in its own process on its own cores; their figures."""
    with contextlib.ExitStack() as stack:
        processes = []
        for _, cores in jobs:
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", "scoring.engine.bench_methods"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    env={**os.environ, **dict.fromkeys(_ONE_THREAD, "1")},
                    text=True,
                )
            )
            os.sched_setaffinity(process.pid, cores)
            processes.append(process)
        for process in processes:
            _lines(process).readline()  # its imports are over
        for process, (job, _) in zip(processes, jobs, strict=True):
            stdin = cast("IO[str]", process.stdin)
            stdin.write(json.dumps(job) + "\n")
            stdin.flush()
        answers = [_lines(process).read() for process in processes]
    for process, (job, _) in zip(processes, jobs, strict=True):
        if process.returncode:
            raise RuntimeError(f"the method {job['method']} failed")
    return [json.loads(answer) for answer in answers]


def _lines(process: subprocess.Popen[str]) -> IO[str]:
    return cast("IO[str]", process.stdout)


def run_child(job: dict[str, Any]) -> tuple[float, int]:
    """The real child process: seconds from its start to the first patch, peak bytes of it all."""
    first_s: list[float] = []
    started_s = time.monotonic()

    def on_progress(progress: Progress) -> None:
        if progress.patches_done and not first_s:
            first_s.append(time.monotonic() - started_s)

    with _Sampler() as sampler:
        result = child.run(
            spec=specs.from_json(job["spec"]),
            truth_path=job["truth"],
            archive_path=job["zip"],
            evidence_path=None,
            timeout_s=3600,
            on_progress=on_progress,
        )
    if not isinstance(result, Scored):
        raise RuntimeError(f"the benchmark's own data were refused: {result}")
    return first_s[0] if first_s else time.monotonic() - started_s, sampler.peak_bytes


class _Sampler:
    """The peak of the proportional set sizes (shared pages once) of all our descendants."""

    def __init__(self) -> None:
        self.peak_bytes = 0
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
            total = sum(_pss_bytes(pid) for pid in _descendants(os.getpid()))
            self.peak_bytes = max(self.peak_bytes, total)


def _descendants(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*"):
        for text in _read(task / "children").split():
            found += [int(text), *_descendants(int(text))]
    return found


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
