"""The scorer as a process of its own: whatever an upload does to it, the caller lives on.

`run` and `validate` start ``python -m scoring.engine.child`` with a clean environment and its own
session, give it a job as JSON on stdin, read JSON lines of progress, and come back with a verdict
whatever happens: death by signal, lack of memory, time, a closed pipe. The caller's own process
opens no uploaded byte.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO, Any

from scoring.engine import sandbox
from scoring.engine.problems import Problem
from scoring.engine.spec import TaskSpec
from scoring.engine.verdicts import Broken, Progress, Rejected, Scored, Valid

__all__ = ["Broken", "Progress", "Rejected", "Scored", "Valid", "run", "validate"]

MEMORY_BYTES = 2 * 2**30
POLL_S = 0.2
LINGER_S = 5.0
MAX_OUTPUT_BYTES = 256 * 2**20
_STDERR_BYTES = 4000
# C++ libraries end the process when they get no memory.
_ABORTED_FOR_MEMORY = (b"bad_alloc", b"out of memory")
_PASSED_ON = ("PATH", "TMPDIR", "NUMBA_CACHE_DIR", "PROJ_DATA", "GDAL_DATA", "LD_LIBRARY_PATH",
              "SYSTEMROOT", sandbox.ALLOW_VARIABLE)  # fmt: skip
_FIXED = {
    "LANG": "C.UTF-8",
    "PYTHONUTF8": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "GDAL_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",  # one for each lane's thread would take 64 MB of address space
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
    on_progress: OnProgress | None = None,
    should_stop: Callable[[], bool] | None = None,
    workers: int | None = None,
    memory_bytes: int | None = None,
    isolate: bool = True,
) -> Scored | Rejected | Broken:
    """Score an upload (zip or folder) in a process of its own. Never raises for what it finds.

    `workers` is the number of decoders, by default one per core; `memory_bytes` what the scorer
    may take beyond its start; `should_stop` is asked several times a second and ends the run as
    scorer-cancelled. `isolate=False` is for one's own files on systems without isolation.
    """
    job = {
        "truth": str(truth_path),
        "upload": str(archive_path),
        "evidence": None if evidence_path is None else str(evidence_path),
        "workers": workers,
        "isolate": isolate,
    }
    verdict = _run(spec, job, timeout_s, on_progress, should_stop, memory_bytes)
    if isinstance(verdict, Valid):
        return Broken("scorer-error", "a score was asked, not a check")
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
) -> Valid | Rejected | Broken:
    """Check an upload without labels, in a process of its own; parameters as of `run`."""
    job = {
        "truth": None,
        "upload": str(archive_path),
        "ids": None if expected_ids is None else list(expected_ids),
        "workers": workers,
        "isolate": isolate,
    }
    verdict = _run(spec, job, timeout_s, on_progress, should_stop, memory_bytes)
    if isinstance(verdict, Scored):
        return Broken("scorer-error", "a check was asked, not a score")
    return verdict


def _run(
    spec: TaskSpec,
    job: dict[str, Any],
    timeout_s: float,
    on_progress: OnProgress | None,
    should_stop: Callable[[], bool] | None,
    memory_bytes: int | None,
) -> Scored | Valid | Rejected | Broken:
    deadline_s = time.monotonic() + timeout_s
    job |= {"spec": spec.to_json(), "memory_bytes": memory_bytes or MEMORY_BYTES}
    process = _start(job)
    try:
        return _listen(process, deadline_s, on_progress, should_stop)
    finally:
        _end(process)


def _start(job: Mapping[str, Any]) -> subprocess.Popen[bytes]:
    root = Path(__file__).resolve().parents[2]
    environment = {k: os.environ[k] for k in _PASSED_ON if k in os.environ}
    environment |= _FIXED | {"PYTHONPATH": str(root), "SCORER_PARENT": str(os.getpid())}
    # A file, not a pipe: a scorer that does not read its job must not hold up the caller.
    with tempfile.TemporaryFile() as stdin:
        stdin.write(json.dumps(job).encode())
        stdin.seek(0)
        return subprocess.Popen(
            [sys.executable, "-P", "-s", "-m", "scoring.engine.child"],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            cwd=tempfile.gettempdir(),
            start_new_session=True,
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    """Nothing of the scorer's session survives."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def _listen(
    process: subprocess.Popen[bytes],
    deadline_s: float,
    on_progress: OnProgress | None,
    should_stop: Callable[[], bool] | None,
) -> Scored | Valid | Rejected | Broken:
    """Read lines until a verdict, the end of the process, or the end of patience."""
    assert process.stdout is not None
    assert process.stderr is not None
    lines = _Lines()
    stderr = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ, lines)
        selector.register(process.stderr, selectors.EVENT_READ, stderr)
        while True:
            if time.monotonic() > deadline_s:
                return Broken("scorer-timeout", _tail(stderr))
            if should_stop is not None and should_stop():
                return Broken("scorer-cancelled")
            for key, _ in selector.select(POLL_S):
                data = _available(key.fileobj)
                if key.data is stderr:
                    stderr[:] = (stderr + data)[-_STDERR_BYTES:]
                elif data:
                    for message in lines.feed(data):
                        verdict = _verdict(message, on_progress)
                        if verdict is not None:
                            return verdict
                else:
                    return _silent(process, stderr)
                if not data:
                    selector.unregister(key.fileobj)


def _available(pipe: Any) -> bytes:
    return os.read(pipe.fileno(), 65_536)


class _Lines:
    """Cuts a stream into JSON messages; more than the limit without an end is refused."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._bytes = 0

    def feed(self, data: bytes) -> list[Mapping[str, Any]]:
        self._bytes += len(data)
        if b"\n" not in data:
            if self._bytes > MAX_OUTPUT_BYTES:
                return [{"broken": "scorer-error", "detail": "more output than allowed"}]
            self._parts.append(data)
            return []
        *whole, rest = (b"".join(self._parts) + data).split(b"\n")
        self._parts, self._bytes = [rest], len(rest)
        return [_message(line) for line in whole]


def _message(line: bytes) -> Mapping[str, Any]:
    with contextlib.suppress(ValueError):
        message = json.loads(line)
        if isinstance(message, dict):
            return message
    return {"broken": "scorer-error", "detail": f"a line was not understood: {line[:200]!r}"}


def _verdict(
    message: Mapping[str, Any], on_progress: OnProgress | None
) -> Scored | Valid | Rejected | Broken | None:
    if "progress" in message:
        if on_progress is not None:
            on_progress(Progress(*message["progress"]))
        return None
    if "isolation" in message:
        _log.info("decoders: %s", message["isolation"])
        return None
    if "scored" in message:
        path = message["evidence"]
        return Scored(message["scored"], None if path is None else Path(path))
    if "valid" in message:
        return Valid(message["valid"])
    if "errors" in message:
        return Rejected(
            [Problem.from_json(e) for e in message["errors"]],
            message["more"],
            [Problem.from_json(n) for n in message["notes"]],
        )
    return Broken(message["broken"], message.get("detail", ""))


def _silent(process: subprocess.Popen[bytes], stderr: bytearray) -> Broken:
    """The scorer closed its output without a verdict: how did it end?"""
    try:
        code = process.wait(LINGER_S)
    except subprocess.TimeoutExpired:
        return Broken("scorer-silent", "closed its output and went on")
    if process.stderr is not None and _is_ready(process.stderr):
        stderr += _available(process.stderr)
    if code == -signal.SIGABRT and any(sign in stderr for sign in _ABORTED_FOR_MEMORY):
        return Broken("scorer-out-of-memory", _tail(stderr))
    if code < 0:
        return Broken("scorer-killed", f"signal {-code}. {_tail(stderr)}")
    if code == _EXIT_OUT_OF_MEMORY:
        return Broken("scorer-out-of-memory", _tail(stderr))
    return Broken("scorer-silent", f"exit status {code}. {_tail(stderr)}")


def _is_ready(pipe: IO[bytes]) -> bool:
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        return bool(selector.select(0))


def _tail(stderr: bytearray) -> str:
    return stderr.decode("utf-8", "replace").strip()


# ---- below: the scorer's own process ----

_EXIT_OUT_OF_MEMORY = 75
_STACK_BYTES = 2 * 2**20  # of each lane's thread; the usual 8 MB add up on many cores


def main() -> int:
    """Read one job from stdin, tell progress and one verdict on stdout."""
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # whatever a library prints cannot pass for a verdict
    if sys.platform.startswith("linux"):
        sandbox.die_with_parent(int(os.environ["SCORER_PARENT"]))
    threading.stack_size(_STACK_BYTES)

    # The caller's process never needs the engine itself, so the imports are the scorer's own.
    from scoring.engine import feeding, pipeline

    try:
        _tell(out, _job(json.load(sys.stdin.buffer), out, pipeline))
    except MemoryError:
        return _EXIT_OUT_OF_MEMORY
    except sandbox.IsolationUnavailable as error:
        _tell(out, {"broken": "isolation-unavailable", "detail": str(error)})
    except feeding.DecodersLost as error:
        _tell(out, {"broken": "scorer-killed", "detail": str(error)})
    except OSError as error:
        if error.errno == errno.ENOMEM:
            return _EXIT_OUT_OF_MEMORY
        _tell(out, {"broken": "scorer-error", "detail": str(error)})
    except Exception as error:  # noqa: BLE001 (the caller must hear of everything; see its log)
        import traceback

        traceback.print_exc()
        _tell(out, {"broken": "scorer-error", "detail": f"{type(error).__name__}: {error}"})
    return 0


def _job(job: Mapping[str, Any], out: IO[bytes], pipeline: Any) -> dict[str, Any]:
    from scoring.engine import spec as specs

    if sys.platform.startswith("linux"):
        sandbox.limit_memory(job["memory_bytes"])
    spec = specs.from_json(job["spec"])
    _tell(out, {"isolation": str(sandbox.status()) if job["isolate"] else "none, by request"})

    def on_progress(progress: Progress) -> None:
        state = [progress.stage, progress.patches_done, progress.patches_total]
        _tell(out, {"progress": state})

    common = {
        "spec": spec,
        "upload_path": job["upload"],
        "on_progress": on_progress,
        "workers": job["workers"],
        "isolate": job["isolate"],
    }
    if job["truth"] is None:
        verdict = pipeline.validate(expected_ids=job["ids"], **common)
    else:
        verdict = pipeline.score(truth_path=job["truth"], evidence_path=job["evidence"], **common)
    if isinstance(verdict, Rejected):
        return verdict.to_json()
    if isinstance(verdict, Valid):
        return {"valid": verdict.report}
    path = verdict.evidence_path
    return {"scored": verdict.card, "evidence": None if path is None else str(path)}


def _tell(out: IO[bytes], message: Mapping[str, Any]) -> None:
    data = memoryview(json.dumps(message).encode() + b"\n")
    while data:
        data = data[out.write(data) :]


if __name__ == "__main__":
    sys.exit(main())
