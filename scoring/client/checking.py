"""Everything that the server will check and that needs no label, on the participant's machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scoring.client.errors import CommandError, Exit
from scoring.client.output import Output, Step
from scoring.client.phases import PhaseTask
from scoring.engine import child
from scoring.engine.verdicts import Broken, Progress, Rejected, Valid

TIMEOUT_S = 24 * 3600.0


def check(path: Path, *, task: PhaseTask, on_progress: Step) -> Valid | Rejected:
    """Look at a zip or a folder exactly as the server does. Raises ``CommandError``.

    Without the server's isolation: these are one's own files, and it needs Linux.
    """
    if not path.exists():
        raise CommandError("file-missing", path=str(path))

    def step(progress: Progress) -> None:
        on_progress(progress.patches_done, progress.patches_total)

    verdict = child.validate(
        spec=task.spec,
        archive_path=path.resolve(),
        timeout_s=TIMEOUT_S,
        on_progress=step,
        isolate=False,
    )
    if isinstance(verdict, Broken):
        reason = f"{verdict.code} {verdict.detail}".strip()
        raise CommandError("file-unreadable", exit_code=Exit.FAILED, path=str(path), reason=reason)
    return verdict


def show(verdict: Valid | Rejected, *, path: Path, task: PhaseTask, output: Output) -> None:
    """Tell people what was found."""
    if isinstance(verdict, Valid):
        output.say("check-passed", path=path, phase=task.phase, count=len(task.patches))
        for note in verdict.report.get("notes", []):
            output.remark(f"  {_text(note, output.lang)}")
        return
    for problem in verdict.problems:
        output.line(problem.text(output.lang))
    if verdict.more:
        output.say("check-more", count=verdict.more)
    for note in verdict.notes:
        output.remark(f"  {note.text(output.lang)}")
    output.say("check-failed", path=path, phase=task.phase)


def as_json(verdict: Valid | Rejected, *, path: Path, task: PhaseTask, lang: str) -> dict[str, Any]:
    """What ``flair check --json`` prints."""
    found: dict[str, Any] = {"path": str(path), "phase": task.phase}
    if isinstance(verdict, Valid):
        return {**found, "valid": True, "errors": [], "more": 0, **verdict.report}
    errors = [{**one.to_json(), "message": one.text(lang)} for one in verdict.problems]
    notes = [{**one.to_json(), "message": one.text(lang)} for one in verdict.notes]
    return {**found, "valid": False, "errors": errors, "more": verdict.more, "notes": notes}


def _text(note: dict[str, Any], lang: str) -> str:
    from scoring.engine.problems import Problem

    return Problem.from_json(note).text(lang)
