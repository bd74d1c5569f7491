"""Archives that nobody needs any more are removed; scores, evidence and receipts stay.

Kept whatever their age: archives of submissions that wait or are being scored, that stand on a
board (each entry's best, each baseline), that were chosen, that are disqualified (an appeal may
come). The others go some days after the close; rejected and withdrawn ones after a week. The sweep
may run anywhere and as often as it likes: the row is marked first, under the same conditions, and
a file that a killed process left behind is an orphan (:mod:`archives`).
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from challenge.errors import refuse
from challenge.models import Evaluation, Phase, RankLine, Score, Submission, User
from challenge.rules import retention as rule
from challenge.rules.lifecycle import OPEN_STATES, State
from challenge.selectors import people
from challenge.services import archives, audit

log = logging.getLogger(__name__)

BATCH = 500
EVIDENCE_AGE = timedelta(days=1)
# As scoring.tasks names it, and as it is called while it is written.
EVIDENCE_NAME = re.compile(
    r"\.?[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}-(?P<evaluation>[0-9]{1,18})-[0-9]+"
    r"\.evidence(?:\.[0-9a-f]+)?"
)


@dataclass(frozen=True)
class Removed:
    """What one sweep removed."""

    archives: int
    archive_bytes: int
    evidence: int


def sweep(*, now: datetime | None = None) -> Removed:
    """Remove archives whose time has passed (at most 500 a call) and evidence of lost attempts."""
    now = now or timezone.now()
    wanted = Q(pk__in=_refused(now).values("pk"))
    for phase in Phase.objects.only("closes_at", "archives_kept_days"):
        before = rule.removable_before(
            closes_at=phase.closes_at, kept_days=phase.archives_kept_days, now=now
        )
        if before is not None:
            wanted |= Q(entry__phase=phase.pk, created_at__lt=before)
    found = _unneeded().filter(wanted).select_related("entry__phase__challenge")
    removed = [one for one in found.order_by("created_at")[:BATCH] if _remove(one, now=now)]
    _record(removed, now=now)
    return Removed(
        archives=len(removed),
        archive_bytes=sum(one.archive_bytes for one in removed),
        evidence=sweep_evidence(now=now),
    )


def drop(*, submission: Submission, actor: User, now: datetime | None = None) -> None:
    """Remove an archive before its time, to make room (its team, or an organiser).

    Raises NotFound for strangers, Conflict ``archive-needed`` for one that has to stay, Gone
    ``archive-removed``.
    """
    now = now or timezone.now()
    if people.viewer_of_submission(actor, submission) is None:
        raise refuse("not-found")
    if submission.archive_removed_at is not None:
        raise archives.removed(submission)
    if not _remove(submission, now=now):
        raise refuse("archive-needed")
    submission.archive_removed_at = now
    audit.record(
        "submission.remove-archive",
        actor=actor,
        challenge=submission.entry.phase.challenge,
        target=submission.pk,
        now=now,
        bytes=submission.archive_bytes,
    )


def is_needed(submission: Submission) -> bool:
    """Say whether an archive has to stay for now (one query)."""
    return not _unneeded().filter(pk=submission.pk).exists()


def sweep_evidence(*, now: datetime | None = None) -> int:
    """Remove the counts that attempts without a verdict left behind; how many files.

    Only files a day old whose evaluation is over and whose name no score has. What belongs to an
    evaluation that this database does not know stays: the database may be an older copy.
    """
    if settings.EVIDENCE_DIR is None or not Path(settings.EVIDENCE_DIR).is_dir():
        return 0
    oldest_s = ((now or timezone.now()) - EVIDENCE_AGE).timestamp()
    by_evaluation: dict[int, list[Path]] = {}
    for path in Path(settings.EVIDENCE_DIR).iterdir():
        match = EVIDENCE_NAME.fullmatch(path.name)
        if match is not None and path.stat().st_mtime < oldest_s:
            by_evaluation.setdefault(int(match["evaluation"]), []).append(path)
    over = set(
        Evaluation.objects.filter(pk__in=list(by_evaluation))
        .exclude(state__in=OPEN_STATES)
        .values_list("pk", flat=True)
    )
    paths = [path for pk, found in by_evaluation.items() if pk in over for path in found]
    named = set(
        Score.objects.filter(evidence_name__in=[path.name for path in paths]).values_list(
            "evidence_name", flat=True
        )
    )
    strays = [path for path in paths if path.name not in named]
    for path in strays:
        path.unlink(missing_ok=True)
    if strays:
        log.info("removed %s files of evidence that no score names", len(strays))
    return len(strays)


def _unneeded() -> QuerySet[Submission]:
    """Submissions with an archive that decides nothing (any more)."""
    theirs = Evaluation.objects.filter(submission=OuterRef("pk"))
    return Submission.objects.filter(
        ~Exists(theirs.filter(state__in=OPEN_STATES)),
        ~Exists(RankLine.objects.filter(submission=OuterRef("pk"))),
        archive_removed_at__isnull=True,
        is_final=False,
        disqualified_at__isnull=True,
    )


def _refused(now: datetime) -> QuerySet[Submission]:
    """Submissions rejected or withdrawn a while ago, and nothing else."""
    theirs = Evaluation.objects.filter(submission=OuterRef("pk"))
    refused = Q(state__in=[State.REJECTED.value, State.CANCELLED.value])
    lately = Q(finished_at__gt=now - rule.REFUSED_KEPT)
    return Submission.objects.filter(Exists(theirs), ~Exists(theirs.filter(~refused | lately)))


def _remove(submission: Submission, *, now: datetime) -> bool:
    """Mark the row if it may still go, then delete the file; False where it may not."""
    with transaction.atomic():
        gone = _unneeded().filter(pk=submission.pk).update(archive_removed_at=now)
        if gone:
            # Robust: where the store does not answer, the file is an orphan for the next day.
            transaction.on_commit(lambda: default_storage.delete(submission.archive), robust=True)
    return bool(gone)


def _record(removed: list[Submission], *, now: datetime) -> None:
    """One line of the audit trail and of the log for each phase."""
    phases = {one.entry.phase_id: one.entry.phase for one in removed}
    counts = Counter(one.entry.phase_id for one in removed)
    for pk, phase in phases.items():
        theirs = [one for one in removed if one.entry.phase_id == pk]
        size_bytes = sum(one.archive_bytes for one in theirs)
        audit.record(
            "phase.remove-archives",
            actor=None,
            challenge=phase.challenge,
            target=phase,
            now=now,
            archives=counts[pk],
            bytes=size_bytes,
            submissions=[str(one.pk) for one in theirs],
        )
        log.info("%s: removed %s archives, %s bytes", phase, counts[pk], size_bytes)
