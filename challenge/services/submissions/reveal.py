"""The reveal: after the close a phase's submissions are scored on its private zones.

Runs where LABELS_DIR and EVIDENCE_DIR are (a worker's machine). Until then no private value is in
the database: private score cards are built here, from kept evidence, and where that is missing the
scorer first makes it again from the archive. Then one transaction writes all private scores, opens
the commitment to the list and ranks; whatever is killed before leaves nothing but evidence, which
the next call finds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from challenge.errors import Refusal
from challenge.models import GroundTruth, Phase, Score, Submission, TaskSpec, User
from challenge.rules.lifecycle import State
from challenge.selectors import reveals
from challenge.services import audit
from challenge.services.challenges import splits
from challenge.services.leaderboard import ranks
from challenge.services.storage import archives
from challenge.services.submissions import rescoring
from challenge.services.submissions.rescoring import FromEvidence
from scoring.engine.metrics import card_builder, evidence
from scoring.engine.metrics.evidence import Evidence, EvidenceError
from scoring.engine.scorer import child
from scoring.engine.scorer.verdicts import Scored
from scoring.engine.task import specification as specs
from scoring.engine.truth.split import CountedZones, Split, SplitError

OnProgress = Callable[[int, int], None]
_LISTED = 10


class RevealError(Exception):
    """Nothing was revealed; the message says what was found and what to do."""


@dataclass(frozen=True)
class Revealed:
    """What a call did: private scores written, submissions left out (only with ``partial``).

    ``again`` is true where the phase had been revealed before.
    """

    phase: Phase
    scores: int
    left_out: Sequence[str] = ()
    again: bool = False


@dataclass
class _Work:
    """What is to be scored on private zones, and the evidence for it, by submission."""

    truth: GroundTruth
    task: TaskSpec
    split: Split
    evidence: dict[UUID, str] = field(default_factory=dict)
    missing: dict[UUID, str] = field(default_factory=dict)


def reveal(
    *,
    phase: Phase,
    partial: bool = False,
    actor: User | None = None,
    now: datetime | None = None,
    on_progress: OnProgress | None = None,
) -> Revealed:
    """Score a closed phase's submissions on its private zones and publish all at once.

    A call for a phase that was revealed adds what was left out before. ``partial`` publishes
    although some submissions have neither evidence nor archive; they lose their rank.
    ``on_progress`` gets (submissions ready, in all). Raises RevealError: no private zones, too
    early, verdicts outstanding, the list of zones or the evidence of a submission missing.
    """
    now = now or timezone.now()
    phase = _phase(phase)
    check(phase, now=now)
    work = _prepare(phase, on_progress=on_progress)
    if work.missing and not partial:
        listed = "\n".join(list(work.missing.values())[:_LISTED])
        raise RevealError(
            f"{len(work.missing)} of {len(work.evidence) + len(work.missing)} submissions cannot "
            f"be scored on the private zones here:\n{listed}\nBring their evidence or archives, "
            "or publish without them (--partial)"
        )
    with transaction.atomic():
        locked = Phase.objects.select_for_update(of=("self",)).get(pk=phase.pk)
        again = locked.revealed_at is not None
        written = _publish(locked, work, now=now)
        if written or not again:
            audit.record(
                "phase.reveal",
                actor=actor,
                challenge=phase.challenge,
                target=phase,
                now=now,
                scores=written,
                left_out=[str(pk) for pk in work.missing],
                split_commitment=work.truth.split_commitment,
            )
            ranks.recompute(phase=locked, now=now)
    ranks.recompute(phase=locked, compare=True, now=now)
    return Revealed(_phase(phase), written, list(work.missing.values()), again)


def check(phase: Phase, *, now: datetime) -> None:
    """Raise RevealError where a phase's private zones cannot be revealed at ``now``."""
    if (found := reveals.obstacle(phase, now=now)) is not None:
        raise RevealError(f"{phase}: {found}")


def _phase(phase: Phase) -> Phase:
    return Phase.objects.select_related("challenge", "ground_truth", "task_spec").get(pk=phase.pk)


def _prepare(phase: Phase, *, on_progress: OnProgress | None) -> _Work:
    """Find or make the evidence of every submission that has no private score yet."""
    truth, task = phase.ground_truth, phase.task_spec
    assert truth is not None
    assert task is not None
    try:
        work = _Work(truth, task, splits.load(truth))
        rescoring.folder().mkdir(parents=True, exist_ok=True)
    except (SplitError, FileNotFoundError) as error:
        raise RevealError(str(error)) from error
    waiting = _unrevealed(phase)
    for done, score in enumerate(waiting, start=1):
        submission = score.evaluation.submission
        name = score.evidence_name or f"{submission.pk}-{score.evaluation_id}-0.evidence"
        if _read(name, score, truth) is None and (problem := _make(name, score, work)):
            work.missing[submission.pk] = f"{_label(submission)}: {problem}"
        else:
            work.evidence[submission.pk] = name
        if on_progress is not None:
            on_progress(done, len(waiting))
    return work


def _label(submission: Submission) -> str:
    return f"{submission.entry.team.name} #{submission.number}"


def _unrevealed(phase: Phase) -> list[Score]:
    """Return the last public score of each submission without a private one, oldest first."""
    of_phase = Score.objects.filter(
        evaluation__state=State.SCORED.value,
        evaluation__submission__entry__phase=phase,
        evaluation__ground_truth=phase.ground_truth_id,
        evaluation__task_spec=phase.task_spec_id,
    )
    private = of_phase.filter(counted_zones=CountedZones.PRIVATE.value)
    public = (
        of_phase.filter(counted_zones=CountedZones.PUBLIC.value)
        .exclude(evaluation__submission__in=private.values("evaluation__submission"))
        .select_related("evaluation__submission__entry__team")
        .defer("card")
        .order_by("evaluation__submission__created_at", "evaluation__revision")
    )
    return list({score.evaluation.submission_id: score for score in public}.values())


def _read(name: str, score: Score, truth: GroundTruth) -> Evidence | None:
    """Return the evidence in a file if it is that of a score."""
    try:
        found = evidence.load(rescoring.folder() / name)
    except (EvidenceError, OSError):
        return None
    is_its_own = (found.truth_digest, found.content_digest) == (truth.digest, score.content_digest)
    return found if is_its_own else None


def _make(name: str, score: Score, work: _Work) -> str:
    """Make the evidence of a score again from its archive; returns why not, "" where it is there.

    What the scorer finds on the way stays here: nothing of a private zone is logged.
    """
    submission = score.evaluation.submission
    if submission.archive_removed_at is not None:
        return "no evidence here, and its archive was removed"
    truth_path = Path(settings.LABELS_DIR or "") / work.truth.store_name
    if not truth_path.is_file():
        return f"no evidence here, and {work.truth.store_name} is not in this LABELS_DIR"
    try:
        with archives.open_local(submission.archive) as path:
            if not archives.has_digest(path, sha256=submission.archive_sha256):
                return "no evidence here, and the stored archive is not the accepted one"
            verdict = child.run(
                spec=specs.from_json(work.task.data),
                truth_path=truth_path,
                archive_path=path,
                evidence_path=rescoring.folder() / name,
                split_file=splits.file_of(work.truth.split_commitment, zones=CountedZones.PRIVATE),
                timeout_s=settings.SCORER_TIMEOUT_S,
                workers=settings.SCORER_WORKERS,
                memory_bytes=settings.SCORER_MEMORY_BYTES,
            )
    except (Refusal, OSError) as error:
        return f"no evidence here, and its archive cannot be read ({error})"
    if not isinstance(verdict, Scored):
        return "no evidence here, and the scorer made none of its archive"
    if _read(name, score, work.truth) is None:
        return "the evidence made of its archive is not that of its score"
    return ""


def _publish(phase: Phase, work: _Work, *, now: datetime) -> int:
    """Write private scores, open the list, and have the phase count private zones.

    The caller is in a transaction and has locked the phase. Raises RevealError for what changed
    since the evidence was looked for.
    """
    check(phase, now=now)
    waiting = _unrevealed(phase)
    known = work.evidence.keys() | work.missing.keys()
    same = (phase.ground_truth_id, phase.task_spec_id) == (work.truth.pk, work.task.pk)
    if not same or any(score.evaluation.submission_id not in known for score in waiting):
        raise RevealError(f"labels, task or submissions of {phase} changed meanwhile: try again")
    written = rescoring.record_from_evidence(
        (
            _private(score, work)
            for score in waiting
            if score.evaluation.submission_id in work.evidence
        ),
        ground_truth=work.truth,
        task_spec=work.task,
        zones=CountedZones.PRIVATE,
        worker="reveal",
        actor=None,
        now=now,
    )
    phase.revealed_at = phase.revealed_at or now
    phase.counted_zones = CountedZones.PRIVATE.value
    phase.save(update_fields=["revealed_at", "counted_zones"])
    _open(work)
    return written


def _private(score: Score, work: _Work) -> FromEvidence:
    submission_id = score.evaluation.submission_id
    name = work.evidence[submission_id]
    found = _read(name, score, work.truth)
    if found is None:
        raise RevealError(f"the evidence {name} changed meanwhile: try again")
    card = card_builder.build_counted(
        found,
        work.split,
        zones=CountedZones.PRIVATE,
        spec=specs.from_json(work.task.data),
        seconds=score.seconds,
    )
    return FromEvidence(submission_id, card, name)


def _open(work: _Work) -> None:
    """Publish list and nonce with every version of labels that has this very split."""
    GroundTruth.objects.filter(split_commitment=work.truth.split_commitment).update(
        public_zones=list(work.split.public_zones), split_nonce=work.split.nonce
    )
