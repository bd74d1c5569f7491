"""Submissions of an export as rows of the database, a hundred at a time, and their archives."""

from __future__ import annotations

import io
from datetime import date
from itertools import islice
from typing import Any
from uuid import UUID

from challenge.errors import refuse
from challenge.models import (
    Evaluation,
    EvaluationEvent,
    Phase,
    QuotaLine,
    RankLine,
    Score,
    Submission,
    TrainingRun,
)
from challenge.rules.lifecycle import OPEN_STATES, RunState, State
from challenge.selectors import scores
from challenge.services.exports import columns, export_archive, layout
from challenge.services.exports.export_archive import ExportArchive
from challenge.services.exports.imported_rows import Target
from challenge.services.storage import archives
from challenge.services.storage.archives import StoredArchive
from challenge.services.training import recipes

AT_ONCE = 100
# Why an evaluation failed here that had no verdict when it was exported.
NOT_SCORED = "not-scored-at-export"


def write(found: ExportArchive, target: Target, stored: list[str]) -> int:
    """Write all submissions; ``stored`` gets the names of archives in storage. Returns how many.

    Raises Refusal ``import-submission-exists``, ``export-line-invalid``, and as
    `export_archive` does.
    """
    count = 0
    for phase in target.phases.values():
        member = layout.submissions_member(phase.slug)
        if member not in found.entries:
            raise refuse("export-members-differ", found=member)
        lines = found.lines(member, layout.Submission)
        while batch := list(islice(lines, AT_ONCE)):
            try:
                _write_batch(batch, phase=phase, found=found, target=target, stored=stored)
            except (KeyError, ValueError) as error:
                last = count + len(batch)
                raise export_archive.line_refusal(member, last, str(error)) from error
            count += len(batch)
        phase.lacks_full_values = scores.lack_full_values(phase)
        phase.save(update_fields=["lacks_full_values"])
    return count


def write_ranks(found: ExportArchive, target: Target) -> None:
    """Write the leaderboards as they were made. Raises Refusal ``export-line-invalid``."""
    member = "ranks.jsonl"
    scored: dict[str, dict[tuple[UUID, int], int]] = {}
    lines = []
    for number, line in enumerate(found.lines(member, layout.Rank), start=1):
        if line.phase not in scored:
            known = Score.objects.filter(
                evaluation__submission__entry__phase__slug=line.phase,
                evaluation__submission__entry__phase__challenge=target.challenge,
            ).values_list("evaluation__submission", "evaluation__revision", "pk")
            scored[line.phase] = {(one, revision): pk for one, revision, pk in known}
        try:
            lines.append(
                RankLine(
                    phase=target.phases[line.phase],
                    entry=target.entries[line.phase, line.team],
                    submission_id=line.submission,
                    score_id=scored[line.phase][line.submission, line.revision],
                    **line.model_dump(exclude={"phase", "team", "submission", "revision"}),
                )
            )
        except KeyError as error:
            raise export_archive.line_refusal(member, number, str(error)) from error
    RankLine.objects.bulk_create(lines, batch_size=500)


def _write_batch(
    batch: list[layout.Submission],
    *,
    phase: Phase,
    found: ExportArchive,
    target: Target,
    stored: list[str],
) -> None:
    taken = Submission.objects.filter(pk__in=[line.id for line in batch]).first()
    if taken is not None:
        raise refuse("import-submission-exists", submission=str(taken.pk))
    Submission.objects.bulk_create(
        _submission(line, phase=phase, found=found, target=target, stored=stored) for line in batch
    )
    QuotaLine.objects.bulk_create(
        QuotaLine(
            entry=target.entries[phase.slug, line.team],
            submission_id=line.id,
            move=one.move,
            day=date.fromisoformat(one.day),
            at=one.at,
            reason=one.reason,
        )
        for line in batch
        for one in line.quota
    )
    TrainingRun.objects.bulk_create(
        _training_run(run, phase=phase, submission=line.id)
        for line in batch
        for run in line.training_runs
    )
    _write_evaluations(batch, phase=phase, target=target)


def _training_run(run: layout.TrainingRun, *, phase: Phase, submission: UUID) -> TrainingRun:
    """A run as it was. Raises ValueError where its recipe's text is not that of its digest."""
    digest = recipes.digest(run.recipe_text) if run.recipe_text else ""
    if run.recipe_digest != digest:
        raise ValueError(f"recipe_digest {run.recipe_digest[:12]}, of the text {digest[:12]}")
    return TrainingRun(
        id=run.run,
        phase=phase,
        submission_id=submission,
        state=RunState.SUCCEEDED.value,
        **run.model_dump(exclude={"run"}),
    )


def _write_evaluations(batch: list[layout.Submission], *, phase: Phase, target: Target) -> None:
    lines = [(line.id, one) for line in batch for one in line.evaluations]
    if lines and (phase.ground_truth is None or phase.task_spec is None):
        raise ValueError("evaluations, labels_version null")
    evaluations = [
        Evaluation(
            submission_id=submission,
            ground_truth=phase.ground_truth,
            task_spec=phase.task_spec,
            **_columns(one, target=target),
        )
        for submission, one in lines
    ]
    for evaluation, (_submission_id, one) in zip(evaluations, lines, strict=True):
        if (one.score is not None) != (evaluation.state == State.SCORED):
            raise ValueError(f"score, state {one.state}")
    Evaluation.objects.bulk_create(evaluations)
    both = list(zip(evaluations, (one for _id, one in lines), strict=True))
    EvaluationEvent.objects.bulk_create(
        EvaluationEvent(evaluation=evaluation, **event.model_dump())
        for evaluation, one in both
        for event in one.events
    )
    Score.objects.bulk_create(
        _score(evaluation, one.score) for evaluation, one in both if one.score is not None
    )


def _columns(one: layout.Evaluation, *, target: Target) -> dict[str, Any]:
    """The columns of an evaluation; what waits for a worker of the other site has failed here."""
    values = {name: getattr(one, name) for name in columns.EVALUATION}
    if State(one.state) in OPEN_STATES:
        values |= {
            "state": State.FAILED.value,
            "error_code": NOT_SCORED,
            "finished_at": target.now,
        }
    return values


def _score(evaluation: Evaluation, line: layout.Score) -> Score:
    rounded = line.rounded.model_dump() if line.rounded is not None else {}
    return Score(
        evaluation=evaluation,
        rounded=rounded,
        card=_card(line.card),
        engine_version=line.card.engine_version,
        content_digest=line.card.content_digest,
        seconds=line.card.seconds,
        **line.model_dump(exclude={"rounded", "card"}),
    )


def _card(card: layout.Card) -> dict[str, Any]:
    document = card.model_dump()
    if document["intervals"]["method"] is None:
        del document["intervals"]["method"]
    return document | {"zones": {}, "truth_digest": ""}


def _submission(
    line: layout.Submission,
    *,
    phase: Phase,
    found: ExportArchive,
    target: Target,
    stored: list[str],
) -> Submission:
    archive = _archive(line, found=found, stored=stored) if line.archive else None
    people = {"submitted_by": line.submitted_by, "disqualified_by": line.disqualified_by}
    return Submission(
        entry=target.entries[phase.slug, line.team],
        archive=archive.name if archive is not None else "",
        archive_removed_at=None if archive is not None else target.now,
        original_name=archives.clean_name(line.original_name),
        disqualified_reason=line.disqualified_reason,
        **{name: target.people[of] if of else None for name, of in people.items()},
        **{name: getattr(line, name) for name in columns.SUBMISSION},
    )


def _archive(line: layout.Submission, *, found: ExportArchive, stored: list[str]) -> StoredArchive:
    """Store an archive of the export. Raises Refusal ``export-member-altered``."""
    assert line.archive is not None
    if line.archive not in found.entries or not line.archive.startswith("archives/"):
        raise ValueError(f"archive {line.archive[:80]}")
    source: io.BufferedReader = found.open(line.archive)
    archive = archives.store(
        source, original_name=line.original_name, limit_bytes=line.archive_bytes
    )
    stored.append(archive.name)
    if archive.sha256 != line.archive_sha256:
        raise refuse("export-member-altered", member=line.archive)
    return archive
