"""Pack a folder of predictions into the zip that is submitted, and check it as the server will."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from scoring.client import packing
from scoring.client.errors import CommandError
from scoring.engine.scorer import pipeline
from scoring.engine.scorer.verdicts import Valid
from scoring.engine.task import specification as specs


class PackageError(ValueError):
    """The predictions are no valid submission; the message lists why."""


def run(
    predictions: Path,
    *,
    out: Path,
    spec: specs.TaskSpec | str | Path,
    ids: Iterable[str] | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Write the zip `out` with every prediction below a folder; nothing is left on refusal.

    `ids` are the patches that the phase wants (by default all of the specification's). The checks
    are the scoring engine's own, so a zip made here is refused nowhere for its form.

    Gives `archive`, `patches`, `bytes`, `sha256`, `content_digest` and `notes`.
    Raises PackageError listing the problems.
    """
    task = spec if isinstance(spec, specs.TaskSpec) else specs.load(spec)
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f".{out.name}.part.zip")
    try:
        packed = packing.pack(predictions, out=part, spec=task, force=True, on_progress=on_progress)
        # Our own files: nothing to lock away, and a trainer's threads forbid forking decoders.
        verdict = pipeline.validate(spec=task, upload_path=part, expected_ids=ids, isolate=False)
        if not isinstance(verdict, Valid):
            listed = "\n".join(f"- {problem.message}" for problem in verdict.problems)
            more = f"\nand {verdict.more} more" if verdict.more else ""
            raise PackageError(f"{predictions} is no valid submission:\n{listed}{more}")
        part.replace(out)
    except CommandError as refused:
        raise PackageError(refused.text("en")) from refused
    finally:
        part.unlink(missing_ok=True)
    return {
        "archive": str(out),
        "patches": packed.count,
        "bytes": packed.size_bytes,
        "sha256": packed.sha256,
        "content_digest": verdict.report["content_digest"],
        "notes": [note["message"] for note in verdict.report["notes"]],
    }


def read_ids(path: Path) -> list[str]:
    """Read the patch ids of a CSV with a column patch, as challenges ship them."""
    return [patch.id for patch in specs.read_ids_csv(path)]
