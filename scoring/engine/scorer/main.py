"""The scorer's own process: ``python -m scoring.engine.scorer.main``, started by `child`.

Reads one job from stdin, writes progress and one verdict to stdout. Ends with status
``EXIT_OUT_OF_MEMORY`` where the memory does not even suffice to report that.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import threading
import traceback
from typing import IO

from scoring.engine import resource_limits
from scoring.engine.decode import sandbox
from scoring.engine.scorer import decoding, messages, packing, pipeline
from scoring.engine.scorer.messages import Job, Message, SandboxReport, Verdict
from scoring.engine.scorer.verdicts import EXIT_OUT_OF_MEMORY, ScorerFailure
from scoring.engine.task import specification as specs

# This machine's disk or its rights: they say nothing about the upload.
_STORAGE_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}
_STACK_BYTES = 2 * 2**20  # of each decoder worker's thread; the usual 8 MB add up on many cores


def main() -> int:
    """Run the job on stdin; the exit status."""
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # whatever a library prints cannot pass for a verdict
    if sys.platform.startswith("linux"):
        sandbox.die_with_parent(int(os.environ["SCORER_PARENT"]))
    threading.stack_size(_STACK_BYTES)
    try:
        _write(out, _run(json.load(sys.stdin.buffer), out))
    except MemoryError:
        return EXIT_OUT_OF_MEMORY
    except sandbox.IsolationUnavailable as error:
        _write(out, ScorerFailure("isolation-unavailable", str(error)))
    except decoding.AllDecodersFailed as error:
        _write(out, ScorerFailure("scorer-killed", str(error)))
    except OSError as error:
        if error.errno == errno.ENOMEM:
            return EXIT_OUT_OF_MEMORY
        code = "scorer-storage" if error.errno in _STORAGE_ERRORS else "scorer-error"
        _write(out, ScorerFailure(code, resource_limits.describe(error)))
    except Exception as error:  # noqa: BLE001 (the caller must know of every error; it logs it)
        traceback.print_exc()
        _write(out, ScorerFailure("scorer-error", f"{type(error).__name__}: {error}"))
    return 0


def _run(job: Job, out: IO[bytes]) -> Verdict:
    sandbox_text = str(sandbox.status()) if job["isolate"] else "none, by request"
    if sys.platform.startswith("linux"):
        limit_bytes = sandbox.limit_memory(job["memory_bytes"])
        sandbox_text += f"; the scorer's address space is at most {limit_bytes // 2**20} MiB"
    spec = specs.from_json(job["spec"])
    _write(out, SandboxReport(sandbox_text))

    def on_progress(message: Message) -> None:
        _write(out, message)

    if job["out"] is not None:
        return packing.pack(
            spec=spec,
            upload_path=job["upload"],
            out_path=job["out"],
            only_ids=job["ids"],
            on_progress=on_progress,
            workers=job["workers"],
            isolate=job["isolate"],
        )
    if job["truth"] is None:
        return pipeline.validate(
            spec=spec,
            upload_path=job["upload"],
            expected_ids=job["ids"],
            on_progress=on_progress,
            workers=job["workers"],
            isolate=job["isolate"],
        )
    return pipeline.score(
        spec=spec,
        truth_path=job["truth"],
        upload_path=job["upload"],
        evidence_path=job["evidence"],
        split_file=messages.split_file(job["split"]),
        on_progress=on_progress,
        workers=job["workers"],
        isolate=job["isolate"],
    )


def _write(out: IO[bytes], message: Message) -> None:
    data = memoryview(messages.encode(message))
    while data:
        data = data[out.write(data) :]


if __name__ == "__main__":
    sys.exit(main())
