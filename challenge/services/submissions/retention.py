"""Archives that nobody needs any more are removed; scores, evidence and receipts stay.

Kept whatever their age: archives of submissions that are queued or being scored, that have a row on
the leaderboard (each entry's best, each baseline), that were chosen as final, that are
disqualified (an appeal may come), that may be scored again when private zones are revealed. The
others are removed some days after the phase's close; rejected and withdrawn ones after a week.
Sweeps may run anywhere and at the same time: the row is marked first, under the same conditions,
and a file that a killed process left is an orphan (:mod:`archives`).
"""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from challenge.errors import refuse
from challenge.models import Evaluation, Phase, RankLine, Score, Submission, User
from challenge.rules import retention as rule
from challenge.rules.lifecycle import OPEN_STATES, State
from challenge.rules.roles import Act
from challenge.selectors import disqualifications, people, roles
from challenge.services import audit
from challenge.services.storage import archives
from challenge.services.submissions import pictures
from scoring.engine.truth.split import CountedZones

log = logging.getLogger(__name__)

ARCHIVES_MAX = 500  # removed by one sweep
EVIDENCE_AGE = timedelta(days=1)
# The names that challenge.workers.scoring gives it, complete and while it is written.
EVIDENCE_NAME = re.compile(
    r"\.?[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}-(?P<evaluation>[0-9]{1,18})-[0-9]+"
    r"\.evidence(?:\.[0-9a-f]+)?"
)


@dataclass(frozen=True)
class Removed:
    """What one sweep removed."""

    archives: int
    archive_bytes: int


def sweep(*, now: datetime | None = None) -> Removed:
    """Remove archives whose time is over (at most 500 a call) and evidence of lost attempts."""
    now = now or timezone.now()
    is_over = Q(pk__in=_rejected_or_withdrawn(now).values("pk"))
    for phase in Phase.objects.only("closes_at", "archives_kept_days"):
        before = rule.removable_before(
            closes_at=phase.closes_at, kept_days=phase.archives_kept_days, now=now
        )
        if before is not None:
            is_over |= Q(entry__phase=phase.pk, created_at__lt=before)
    candidates = _unneeded().filter(is_over).select_related("entry__phase__challenge")
    removed = [
        submission
        for submission in candidates.order_by("created_at")[:ARCHIVES_MAX]
        if _remove_if_unneeded(submission, now=now)
    ]
    _record_by_phase(removed, now=now)
    return Removed(
        archives=len(removed),
        archive_bytes=sum(submission.archive_bytes for submission in removed),
    )


def remove_archive(*, submission: Submission, actor: User, now: datetime | None = None) -> None:
    """Remove an archive before its time, to free the team's space (its team, or
    ``Act.VERDICTS``).

    Raises NotFound for strangers, Conflict ``archive-needed`` or ``archive-awaits-reveal`` for one
    that has to stay, Gone ``archive-removed``.
    """
    now = now or timezone.now()
    if people.viewer_of_submission(actor, submission) is None:
        raise refuse("not-found")
    if not people.is_of_team(actor, submission):
        roles.require(actor, Act.VERDICTS, submission.entry.phase.challenge)
    if submission.archive_removed_at is not None:
        raise archives.removed_refusal(submission)
    if not _remove_if_unneeded(submission, now=now):
        awaits = submission.entry.phase.awaits_reveal
        raise refuse("archive-awaits-reveal" if awaits else "archive-needed")
    submission.archive_removed_at = now
    audit.record(
        "submission.remove-archive",
        actor=actor,
        challenge=submission.entry.phase.challenge,
        target=submission.pk,
        now=now,
        bytes=submission.archive_bytes,
    )


def sweep_evidence(*, now: datetime | None = None) -> int:
    """Remove evidence of attempts that ended without a verdict; how many files.

    Only files a day old whose evaluation is over and whose name no score has. Evidence of an
    evaluation that this database does not have stays: the database may be an older copy.
    """
    if settings.EVIDENCE_DIR is None or not Path(settings.EVIDENCE_DIR).is_dir():
        return 0
    newest_s = ((now or timezone.now()) - EVIDENCE_AGE).timestamp()
    paths_by_evaluation: dict[int, list[Path]] = defaultdict(list)
    for path in Path(settings.EVIDENCE_DIR).iterdir():
        match = EVIDENCE_NAME.fullmatch(path.name)
        if match is not None and path.stat().st_mtime < newest_s:
            paths_by_evaluation[int(match["evaluation"])].append(path)
    over = Evaluation.objects.filter(pk__in=list(paths_by_evaluation)).exclude(
        state__in=OPEN_STATES
    )
    paths = [path for pk in over.values_list("pk", flat=True) for path in paths_by_evaluation[pk]]
    scores = Score.objects.filter(evidence_name__in=[path.name for path in paths])
    named = set(scores.values_list("evidence_name", flat=True))
    orphans = [path for path in paths if path.name not in named]
    for path in orphans:
        path.unlink(missing_ok=True)
    if orphans:
        log.info("removed %s files of evidence that no score names", len(orphans))
    return len(orphans)


def _unneeded() -> QuerySet[Submission]:
    """Submissions with an archive that decides nothing (any more)."""
    evaluations = Evaluation.objects.filter(submission=OuterRef("pk"))
    return Submission.objects.filter(
        ~Exists(evaluations.filter(state__in=OPEN_STATES)),
        ~Exists(RankLine.objects.filter(submission=OuterRef("pk"))),
        # Where the best counts, choices mean nothing (earlier releases stored some).
        Q(is_final=False) | Q(entry__phase__finals_limit__isnull=True),
        # Rejected and withdrawn ones have no score to reveal.
        ~Q(entry__phase__counted_zones=CountedZones.PUBLIC)
        | ~Exists(evaluations.exclude(state__in=[State.REJECTED.value, State.CANCELLED.value])),
        # What was disqualified may stand again.
        disqualifications.submissions_that_stand(),
        archive_removed_at__isnull=True,
    )


def _rejected_or_withdrawn(now: datetime) -> QuerySet[Submission]:
    """Submissions whose evaluations were all rejected or cancelled long enough ago."""
    evaluations = Evaluation.objects.filter(submission=OuterRef("pk"))
    is_over = Q(
        state__in=[State.REJECTED.value, State.CANCELLED.value],
        finished_at__lte=now - rule.REFUSED_KEPT,
    )
    return Submission.objects.filter(Exists(evaluations), ~Exists(evaluations.exclude(is_over)))


def _remove_if_unneeded(submission: Submission, *, now: datetime) -> bool:
    """Mark the row under the conditions of removal, then delete the file; False where it stays."""
    with transaction.atomic():
        marked = _unneeded().filter(pk=submission.pk).update(archive_removed_at=now)
        if marked:
            # Not where a copy in another phase keeps it. Robust: where the store does not answer,
            # the file is an orphan for the next day.
            transaction.on_commit(lambda: archives.delete(submission.archive), robust=True)
            pictures.remove(submission)
    return bool(marked)


def _record_by_phase(removed: list[Submission], *, now: datetime) -> None:
    """One entry of the audit log and of the log for each phase."""
    by_phase: dict[Phase, list[Submission]] = defaultdict(list)
    for submission in removed:
        by_phase[submission.entry.phase].append(submission)
    for phase, submissions in by_phase.items():
        size_bytes = sum(submission.archive_bytes for submission in submissions)
        audit.record(
            "phase.remove-archives",
            actor=None,
            challenge=phase.challenge,
            target=phase,
            now=now,
            archives=len(submissions),
            bytes=size_bytes,
            submissions=[str(submission.pk) for submission in submissions],
        )
        log.info("%s: removed %s archives, %s bytes", phase, len(submissions), size_bytes)
