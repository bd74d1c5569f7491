"""Scores uploads that lie in a folder, in one clean process, as the scorer would; JSON lines.

Forking decoders needs a process with one thread, and peak memory is only honest in a process
that did nothing else: hence not inside the test process, and not where the files are built.

Usage: python -m tests.scoring.attacks.runner TRUTH [--inline] < names of files, one a line
With ``--inline`` all is decoded in this very process, which imports GDAL once.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

from scoring.engine.scorer import pipeline
from scoring.engine.scorer.verdicts import Rejected, Scored, Valid
from scoring.engine.task import specification as specs

IDS = ("061713", "061714", "061715")


def main() -> None:
    """One line per upload: the verdict, seconds, peak memory of this process and its decoders."""
    spec = specs.load("flair-1")
    names = sys.stdin.read().splitlines()
    isolate = "--inline" not in sys.argv
    results = []
    for name in names:
        started_s, before_s = time.monotonic(), _cpu_s()
        verdict = pipeline.score(
            spec=spec, truth_path=sys.argv[1], upload_path=name, workers=1, isolate=isolate
        )
        result = _told(verdict) | {
            "wall_s": time.monotonic() - started_s,
            "cpu_s": _cpu_s() - before_s,
            "scorer_bytes": _own_peak_bytes(),
            "decoder_bytes": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024,
        }
        results.append(result)
    # Afterwards, since GDAL stays in this process: the same by the check that needs no label.
    for name, result in zip(names, results, strict=True):
        checked = pipeline.validate(spec=spec, upload_path=name, expected_ids=IDS, isolate=False)
        if isinstance(checked, Valid):
            result["check"] = {"errors": [], "more": 0, "notes": checked.report["notes"]}
        else:
            result["check"] = checked.to_json() | {"notes": [n.to_json() for n in checked.notes]}
        sys.stdout.write(json.dumps(result) + "\n")


def _told(verdict: Scored | Rejected) -> dict[str, Any]:
    if isinstance(verdict, Scored):
        return {
            "verdict": "scored",
            "content": verdict.card["content_digest"],
            "confusion": verdict.card["confusion"],
            "notes": [n["code"] for n in verdict.card["notes"]],
        }
    return {"verdict": "rejected"} | verdict.to_json()


def _cpu_s() -> float:
    """Of this process and of the decoders that have ended."""
    used = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def _own_peak_bytes() -> int:
    """Unlike getrusage's, this one starts anew with the program."""
    text = Path("/proc/self/status").read_text()
    return int(text.partition("VmHWM:")[2].split()[0]) * 1024


if __name__ == "__main__":
    main()
