"""Runs the scorer as a process of its own: whatever an upload does to it, the caller survives.

`run` and `validate` start ``python -m scoring.engine.scorer.main`` with a clean environment and
its own session, give it a job as JSON on stdin, read JSON lines of progress, and come back with a
verdict whatever happens: death by signal, lack of memory, time, a closed pipe. The caller's own
process opens no uploaded byte.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import IO

from scoring.engine import resource_limits
from scoring.engine.decode import sandbox
from scoring.engine.kernels import choice
from scoring.engine.scorer import messages
from scoring.engine.scorer.messages import Job, Message, SandboxReport, Verdict
from scoring.engine.scorer.verdicts import (
    EXIT_OUT_OF_MEMORY,
    Packed,
    Progress,
    Rejected,
    Scored,
    ScorerFailure,
    Valid,
)
from scoring.engine.task.specification import TaskSpec
from scoring.engine.truth.split import SplitFile

__all__ = [
    "Packed", "Progress", "Rejected", "Scored", "ScorerFailure", "Valid", "pack", "run", "validate",
]  # fmt: skip

MEMORY_BYTES = 2 * 2**30
POLL_S = 0.2
PIPE_READ_BYTES = 65_536
EXIT_WAIT_S = 5.0
MAX_OUTPUT_BYTES = 256 * 2**20
_STDERR_BYTES = 4000
_MAY_COME_FROM_LIMITS = ("scorer-killed", "scorer-out-of-memory", "scorer-silent")
# C++ libraries end the process when they get no memory.
_ABORTED_FOR_MEMORY = (b"bad_alloc", b"out of memory")
_INHERITED_VARIABLES = (
    "PATH", "TMPDIR", "NUMBA_CACHE_DIR", "PROJ_DATA", "GDAL_DATA", "LD_LIBRARY_PATH", "SYSTEMROOT",
    sandbox.ALLOW_VARIABLE, choice.VARIABLE,
)  # fmt: skip
_FIXED_VARIABLES = {
    "LANG": "C.UTF-8",
    "PYTHONUTF8": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "GDAL_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",  # one for each thread would take 64 MB of address space
    "GDAL_CACHEMAX": "32",
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_PAM_ENABLED": "NO",
    "GDAL_VRT_ENABLE_PYTHON": "NO",
    "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".none",
}
_log = logging.getLogger(__name__)

OnProgress = Callable[[Progress], None]


def run(
    *,
    spec: TaskSpec,
    truth_path: str | Path,
    archive_path: str | Path,
    evidence_path: str | Path | None,
    timeout_s: float,
    split_file: SplitFile | None = None,
    on_progress: OnProgress | None = None,
    should_stop: Callable[[], bool] | None = None,
    workers: int | None = None,
    memory_bytes: int | None = None,
    isolate: bool = True,
) -> Scored | Rejected | ScorerFailure:
    """Score an upload (zip or folder) in a process of its own. Never raises for what it finds.

    `workers` is the number of decoders, by default one per core; `memory_bytes` what the scorer
    may take beyond its start; with `split_file` the card counts the zones it names; `should_stop`
    is asked several times a second and ends the run as scorer-cancelled. `isolate=False` is for
    one's own files on systems without isolation.
    """
    job = _job(spec, archive_path, workers, memory_bytes, isolate=isolate)
    job["truth"] = str(truth_path)
    job["evidence"] = None if evidence_path is None else str(evidence_path)
    job["split"] = messages.split_document(split_file)
    verdict = _run(job, timeout_s, on_progress, should_stop)
    if isinstance(verdict, Valid | Packed):
        return ScorerFailure("scorer-error", "a score was asked")
    return verdict


def validate(
    *,
    spec: TaskSpec,
    archive_path: str | Path,
    expected_ids: Iterable[str] | None = None,
    timeout_s: float,
    on_progress: OnProgress | None = None,
    should_stop: Callable[[], bool] | None = None,
    workers: int | None = None,
    memory_bytes: int | None = None,
    isolate: bool = True,
) -> Valid | Rejected | ScorerFailure:
    """Check an upload without labels, in a process of its own; parameters as of `run`."""
    job = _job(spec, archive_path, workers, memory_bytes, isolate=isolate)
    job["ids"] = None if expected_ids is None else list(expected_ids)
    verdict = _run(job, timeout_s, on_progress, should_stop)
    if isinstance(verdict, Scored | Packed):
        return ScorerFailure("scorer-error", "a check was asked")
    return verdict


def pack(
    *,
    spec: TaskSpec,
    archive_path: str | Path,
    out_path: Path,
    timeout_s: float,
    only_ids: Iterable[str] | None = None,
    on_progress: OnProgress | None = None,
    should_stop: Callable[[], bool] | None = None,
    workers: int | None = None,
    memory_bytes: int | None = None,
    isolate: bool = True,
) -> Packed | Rejected | ScorerFailure:
    """Pack a zip of masks of the specification's expected patches; parameters as of `run`.

    ``only_ids``: these of them alone; the others are looked for and not decoded. ``out_path`` is
    there once the masks are packed, and only then. No problem tells a pixel.
    """
    job = _job(spec, archive_path, workers, memory_bytes, isolate=isolate)
    job["out"] = str(out_path)
    job["ids"] = None if only_ids is None else list(only_ids)
    verdict = _run(job, timeout_s, on_progress, should_stop)
    if isinstance(verdict, Scored | Valid):
        return ScorerFailure("scorer-error", "a packed file was asked")
    return verdict


def _job(
    spec: TaskSpec,
    archive_path: str | Path,
    workers: int | None,
    memory_bytes: int | None,
    *,
    isolate: bool,
) -> Job:
    """Return a job that asks for nothing yet."""
    return {
        "spec": spec.to_json(),
        "truth": None,
        "upload": str(archive_path),
        "evidence": None,
        "out": None,
        "split": None,
        "ids": None,
        "workers": workers,
        "isolate": isolate,
        "memory_bytes": memory_bytes or MEMORY_BYTES,
    }


def _run(
    job: Job,
    timeout_s: float,
    on_progress: OnProgress | None,
    should_stop: Callable[[], bool] | None,
) -> Verdict:
    started_s = time.monotonic()
    deadline_s = started_s + timeout_s
    process = _start(job)
    try:
        verdict = _read_verdict(process, deadline_s, on_progress, should_stop)
    finally:
        _kill_session(process)
    _log.info(
        "the scorer, process %s, ended after %.1f s: %s",
        process.pid,
        time.monotonic() - started_s,
        type(verdict).__name__,
    )
    if isinstance(verdict, ScorerFailure) and verdict.code in _MAY_COME_FROM_LIMITS:
        return replace(verdict, detail=resource_limits.with_low_limits(verdict.detail))
    return verdict


def environment() -> dict[str, str]:
    """Return the environment of processes that read what others uploaded: nothing else of ours."""
    root = Path(__file__).resolve().parents[3]
    inherited = {k: os.environ[k] for k in _INHERITED_VARIABLES if k in os.environ}
    return (
        inherited
        | _FIXED_VARIABLES
        | {
            "PYTHONPATH": str(root),
            "SCORER_PARENT": str(os.getpid()),
        }
    )


def _start(job: Job) -> subprocess.Popen[bytes]:
    # A file, not a pipe: a scorer that does not read its job must not hold up the caller.
    with tempfile.TemporaryFile() as stdin:
        stdin.write(json.dumps(job).encode())
        stdin.seek(0)
        return subprocess.Popen(
            [sys.executable, "-P", "-s", "-m", "scoring.engine.scorer.main"],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
            cwd=tempfile.gettempdir(),
            start_new_session=True,
        )


def _kill_session(process: subprocess.Popen[bytes]) -> None:
    """End the scorer and everything it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def _read_verdict(
    process: subprocess.Popen[bytes],
    deadline_s: float,
    on_progress: OnProgress | None,
    should_stop: Callable[[], bool] | None,
) -> Verdict:
    """Read lines until a verdict, the end of the process, or the deadline."""
    assert process.stdout is not None
    assert process.stderr is not None
    lines = _LineReader()
    stderr = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ, lines)
        selector.register(process.stderr, selectors.EVENT_READ, stderr)
        while True:
            if time.monotonic() > deadline_s:
                return ScorerFailure("scorer-timeout", _tail(stderr))
            if should_stop is not None and should_stop():
                return ScorerFailure("scorer-cancelled")
            for key, _ in selector.select(POLL_S):
                data = os.read(key.fd, PIPE_READ_BYTES)
                if key.data is stderr:
                    stderr[:] = (stderr + data)[-_STDERR_BYTES:]
                elif data:
                    for message in lines.feed(data):
                        verdict = _handle_message(message, on_progress)
                        if verdict is not None:
                            return verdict
                else:
                    return _failure_without_verdict(process, stderr)
                if not data:
                    selector.unregister(key.fileobj)


class _LineReader:
    """Cuts a stream into messages; a line beyond ``MAX_OUTPUT_BYTES`` is the scorer's failure."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._bytes = 0

    def feed(self, data: bytes) -> list[Message]:
        self._bytes += len(data)
        if b"\n" not in data:
            if self._bytes > MAX_OUTPUT_BYTES:
                return [ScorerFailure("scorer-error", "more output than allowed")]
            self._parts.append(data)
            return []
        *whole, rest = (b"".join(self._parts) + data).split(b"\n")
        self._parts, self._bytes = [rest], len(rest)
        return [messages.parse(line) for line in whole]


def _handle_message(message: Message, on_progress: OnProgress | None) -> Verdict | None:
    """The verdict, if the message is one; progress and the sandbox's report are passed on."""
    if isinstance(message, Progress):
        if on_progress is not None:
            on_progress(message)
        return None
    if isinstance(message, SandboxReport):
        _log.info("decoders: %s", message.text)
        return None
    return message


def _failure_without_verdict(process: subprocess.Popen[bytes], stderr: bytearray) -> ScorerFailure:
    """What is wrong with a scorer that closed its output without a verdict."""
    try:
        code = process.wait(EXIT_WAIT_S)
    except subprocess.TimeoutExpired:
        return ScorerFailure("scorer-silent", "closed its output and went on")
    if process.stderr is not None and _is_ready(process.stderr):
        stderr += os.read(process.stderr.fileno(), PIPE_READ_BYTES)
    if code == -signal.SIGABRT and any(sign in stderr for sign in _ABORTED_FOR_MEMORY):
        return ScorerFailure("scorer-out-of-memory", _tail(stderr))
    if code < 0:
        return ScorerFailure("scorer-killed", f"signal {-code}. {_tail(stderr)}")
    if code == EXIT_OUT_OF_MEMORY:
        return ScorerFailure("scorer-out-of-memory", _tail(stderr))
    return ScorerFailure("scorer-silent", f"exit status {code}. {_tail(stderr)}")


def _is_ready(pipe: IO[bytes]) -> bool:
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        return bool(selector.select(0))


def _tail(stderr: bytearray) -> str:
    return stderr.decode("utf-8", "replace").strip()
