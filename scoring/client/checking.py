"""Everything that the server will check and that needs no label, on the participant's machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scoring.client.errors import CommandError, Exit
from scoring.client.output import Output, Step
from scoring.client.phases import PhaseTask
from scoring.engine.problems.problems import Problem, ProblemDocument
from scoring.engine.scorer import child
from scoring.engine.scorer.verdicts import (
    Progress,
    Rejected,
    ScorerFailure,
    Valid,
)

TIMEOUT_S = 24 * 3600.0


def check(path: Path, *, task: PhaseTask, on_progress: Step) -> Valid | Rejected:
    """Look at a zip or a folder exactly as the server does. Raises ``CommandError``.

    Without the server's isolation: these are the caller's own files, and it needs Linux.
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
    if isinstance(verdict, ScorerFailure):
        reason = f"{verdict.code} {verdict.detail}".strip()
        raise CommandError("file-unreadable", exit_code=Exit.FAILED, path=str(path), reason=reason)
    too_large = _size_problem(path, limit_bytes=task.archive_limit_bytes)
    return verdict if too_large is None else _rejected_for_size(verdict, too_large)


def _size_problem(path: Path, *, limit_bytes: int | None) -> Problem | None:
    """What is wrong with the size of the file to be sent, by the phase's own limit."""
    if limit_bytes is None or not path.is_file() or path.stat().st_size <= limit_bytes:
        return None
    return Problem.of("archive-too-large", size_bytes=path.stat().st_size, limit_bytes=limit_bytes)


def _rejected_for_size(verdict: Valid | Rejected, too_large: Problem) -> Rejected:
    if isinstance(verdict, Valid):
        notes = [Problem.from_json(note) for note in verdict.report["notes"]]
        return Rejected([too_large], notes=notes)
    others = [problem for problem in verdict.problems if problem.code != too_large.code]
    return Rejected([too_large, *others], verdict.more, verdict.notes)


def show(verdict: Valid | Rejected, *, path: Path, task: PhaseTask, output: Output) -> None:
    """Tell people what was found."""
    if isinstance(verdict, Valid):
        output.say("check-passed", path=path, phase=task.phase, count=len(task.patches))
        for noted in verdict.report["notes"]:
            output.remark(f"  {_text(noted, output.lang)}")
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
    checked: dict[str, Any] = {"path": str(path), "phase": task.phase}
    if isinstance(verdict, Valid):
        return {**checked, "valid": True, "errors": [], "more": 0, **verdict.report}
    errors = [{**problem.to_json(), "message": problem.text(lang)} for problem in verdict.problems]
    notes = [{**problem.to_json(), "message": problem.text(lang)} for problem in verdict.notes]
    return {**checked, "valid": False, "errors": errors, "more": verdict.more, "notes": notes}


def _text(note: ProblemDocument, lang: str) -> str:
    return Problem.from_json(note).text(lang)
