"""Celery tasks that repair what lost workers and messages left undone, and remove old files."""

from __future__ import annotations

import logging

from celery import shared_task

from challenge.services import maintenance
from challenge.services.accounts import sessions
from challenge.services.challenges import phases
from challenge.services.storage import archives, scratch, upload_sweep
from challenge.services.submissions import retention
from challenge.services.task_queue import TaskName
from challenge.services.teams import mailboxes

log = logging.getLogger(__name__)


@shared_task(name=TaskName.SWEEP.value, acks_late=False)
def sweep() -> dict[str, int]:
    """Run the sweep; log the evaluations and runs of lost workers."""
    report = maintenance.sweep()
    evaluations, runs = report.evaluations, report.runs
    if evaluations.requeued or evaluations.failed or runs.requeued or runs.failed:
        log.warning(
            "lost workers: evaluations queued again %s, failed %s; runs queued again %s, failed %s",
            evaluations.requeued,
            evaluations.failed,
            runs.requeued,
            runs.failed,
        )
    return {
        "requeued": len(evaluations.requeued),
        "failed": len(evaluations.failed),
        "waiting": evaluations.waiting,
        "runs_requeued": len(runs.requeued),
        "runs_failed": len(runs.failed),
    }


@shared_task(name=TaskName.SWEEP_FILES.value, acks_late=False)
def sweep_files() -> dict[str, int]:
    """Remove expired uploads and sessions, orphaned archives, and archives that nobody needs."""
    swept = upload_sweep.sweep()
    removed = retention.sweep()
    phases.update_labels_open_until()
    forgotten = mailboxes.sweep()
    ended = sessions.sweep()
    return {
        "expired": swept.expired,
        "aborted": swept.aborted,
        "archives": archives.sweep_orphans(),
        "removed": removed.archives,
        "mailboxes": forgotten,
        "sessions": ended,
    }


@shared_task(name=TaskName.SWEEP_EVIDENCE.value, acks_late=False)
def sweep_evidence() -> int:
    """Remove evidence that no score names, on a worker that has it, and what killed ones left."""
    scratch.sweep()
    return retention.sweep_evidence()
