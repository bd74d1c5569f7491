"""Every transition of a label job: create, claim, heartbeat, end, cancel, sweep.

The state machine is that of :mod:`challenge.services.leased_jobs`. The sealed copy is deleted once
the labels are installed or refused, and when the job is cancelled.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from challenge.errors import Refusal, refuse
from challenge.models import LabelJob, Phase, Upload, User
from challenge.rules.lifecycle import LABEL_TRANSITIONS, LabelState
from challenge.rules.roles import Act
from challenge.selectors import roles
from challenge.services import audit, database_clock
from challenge.services.challenges.ground_truth import Installed
from challenge.services.leased_jobs import LeasedJobs, SweepReport
from challenge.services.storage import archives, uploads
from challenge.services.task_queue import TaskName
from scoring.engine.truth import sealed

# In the upload's metadata: how much of the labels is public, where the owner asks for a split.
PUBLIC_SHARE = "public_share"
# Gone of the sealed copy while its job waited: its uploader deleted it.
COPY_GONE = "seal-gone"


@dataclass(frozen=True)
class LabelClaim:
    """A queued label job taken by a worker; ``attempt`` goes into every later call."""

    job_id: int
    attempt: int
    challenge: str
    phase: str
    phase_id: int
    uploader: str
    actor: User | None
    archive: str
    public_share: float | None = None

    @property
    def label(self) -> str:
        """The job in logs."""
        return f"labels {self.job_id} of {self.challenge}/{self.phase}"


class LabelJobs(LeasedJobs[LabelJob]):
    """Label jobs as leased jobs."""

    model = LabelJob
    states = LabelState
    active = LabelState.INSTALLING
    transitions = LABEL_TRANSITIONS
    lease_setting = "LABELS_LEASE_S"
    task = TaskName.INSTALL_LABELS


jobs = LabelJobs()


def create(
    *,
    phase: Phase,
    upload_id: UUID,
    actor: User,
    public_share: float | None = None,
    now: datetime | None = None,
) -> LabelJob:
    """Queue the installation of sealed masks that ``actor`` uploaded.

    ``public_share``, more than 0 and less than 1, has the labels worker draw about so much of each
    domain's zones as public ones; None carries the split of earlier labels over, if they have one.

    Only a file with the head of sealed masks is taken: any other is deleted at once, since it might
    be the masks themselves. Raises NotAllowed, what `uploads.get` and `uploads.finish` raise,
    Refusal ``labels-not-sealed`` and ``labels-share-invalid``, Conflict ``labels-upload-used``.
    """
    now = now or timezone.now()
    roles.require(actor, Act.LABELS, phase.challenge)
    if public_share is not None and not 0 < public_share < 1:
        raise refuse("labels-share-invalid", found=f"{100 * public_share:g}")
    upload = uploads.get(user=actor, upload_id=upload_id, now=now)
    if upload.purpose != Upload.Purpose.LABELS:
        raise refuse("upload-not-found")
    uploads.finish(upload)
    if archives.read_start(upload.archive, size_bytes=len(sealed.MAGIC)) != sealed.MAGIC:
        uploads.terminate(upload)
        raise refuse("labels-not-sealed")
    with transaction.atomic():
        uploads.lock_unsubmitted(upload)
        if LabelJob.objects.filter(upload=upload).exists():
            raise refuse("labels-upload-used")
        if public_share is not None:
            upload.metadata = {**upload.metadata, PUBLIC_SHARE: public_share}
            upload.save(update_fields=["metadata"])
        job = jobs.enqueue(
            now=now,
            actor=actor,
            phase=phase,
            upload=upload,
            created_by=actor,
            uploader=actor.username,
            original_name=upload.original_name,
            sealed_bytes=upload.length_bytes,
        )
        audit.record(
            "labels.send",
            actor=actor,
            challenge=phase.challenge,
            target=phase,
            now=now,
            job=job.pk,
            sealed_bytes=job.sealed_bytes,
            public_share=public_share,
        )
    return job


def claim(*, worker: str, now: datetime | None = None) -> LabelClaim | None:
    """Take the oldest queued job, or None where none waits.

    Jobs whose sealed copy is gone are refused on the way.
    """
    now = now or database_clock.now()
    while True:
        with transaction.atomic():
            job = (
                jobs.claimable()
                .select_related("phase__challenge", "upload", "created_by")
                .select_for_update(skip_locked=True, of=("self",))
                .order_by("queued_at", "pk")
                .first()
            )
            if job is None:
                return None
            jobs.start_attempt(job, worker=worker, now=now, patches_done=0, patches_total=0)
            if job.upload is not None and job.upload.archive:
                return LabelClaim(
                    job_id=job.pk,
                    attempt=job.attempt,
                    challenge=job.phase.challenge.slug,
                    phase=job.phase.slug,
                    phase_id=job.phase_id,
                    uploader=job.uploader,
                    actor=job.created_by,
                    archive=job.upload.archive,
                    public_share=job.upload.metadata.get(PUBLIC_SHARE),
                )
            _end(job, LabelState.REFUSED, now=now, error_code=COPY_GONE)


def heartbeat(
    job_id: int, *, attempt: int, stage: str, patches_done: int, patches_total: int
) -> bool:
    """Renew the lease and record the progress; False: the attempt is over."""
    return jobs.renew(
        job_id,
        attempt=attempt,
        now=database_clock.now(),
        stage=stage[:32],
        patches_done=patches_done,
        patches_total=patches_total,
    )


def complete(job_id: int, *, attempt: int, installed: Installed) -> None:
    """Write, in the transaction of the registration, that the labels are installed.

    Raises Conflict ``late-worker``: then nothing is registered.
    """
    job = jobs.lock_attempt(job_id, attempt=attempt)
    _end(
        job,
        LabelState.INSTALLED,
        now=database_clock.now(),
        ground_truth=installed.ground_truth,
        patches=installed.ground_truth.patch_count,
        to_rescore=installed.rescore,
    )


def mark_refused(
    job_id: int,
    *,
    attempt: int,
    code: str,
    message: str = "",
    problems: list[dict[str, Any]] | None = None,
    more: int = 0,
) -> None:
    """Write what is wrong with the sealed file or its masks. Raises Conflict ``late-worker``."""
    with transaction.atomic():
        job = jobs.lock_attempt(job_id, attempt=attempt)
        _end(
            job,
            LabelState.REFUSED,
            now=database_clock.now(),
            error_code=code,
            error_message=message,
            problems=problems or [],
            problems_more=more,
        )


def mark_failed(job_id: int, *, attempt: int, code: str, message: str = "") -> None:
    """Write that we are at fault; the sealed copy is kept. Raises Conflict ``late-worker``."""
    with transaction.atomic():
        job = jobs.lock_attempt(job_id, attempt=attempt)
        now = database_clock.now()
        _end(job, LabelState.FAILED, now=now, error_code=code, error_message=message)


def delete_copy(job_id: int) -> None:
    """Delete the sealed copy of a job that has ended; what is left over expires and is swept."""
    upload = Upload.objects.filter(label_job=job_id).first()
    if upload is None:
        return
    try:
        uploads.terminate(upload)
    except Refusal:  # somebody writes to it: it expires
        Upload.objects.filter(pk=upload.pk).update(expires_at=timezone.now())


def cancel(*, job: LabelJob, actor: User, now: datetime | None = None) -> None:
    """Give a waiting or failed job up and delete the sealed copy.

    Raises NotAllowed, Conflict ``illegal-move``.
    """
    roles.require(actor, Act.LABELS, job.phase.challenge)
    with transaction.atomic():
        locked = jobs.lock(job.pk)
        jobs.transition(locked, LabelState.CANCELLED, now=now or timezone.now(), actor=actor)
        _record(locked, "labels.cancel", actor=actor)
    delete_copy(job.pk)


def requeue(*, job: LabelJob, actor: User, now: datetime | None = None) -> None:
    """Queue a failed job again. Raises NotAllowed, Conflict ``illegal-move``."""
    roles.require(actor, Act.LABELS, job.phase.challenge)
    with transaction.atomic():
        locked = jobs.lock(job.pk)
        jobs.requeue(
            locked, now=now or timezone.now(), actor=actor, reason="asked", error_message=""
        )
        _record(locked, "labels.requeue", actor=actor)


def sweep(*, now: datetime) -> SweepReport:
    """Queue again, or fail, the jobs of lost workers; delete the copies of jobs that ended."""
    report = jobs.sweep(now=now)
    ended = (LabelState.INSTALLED.value, LabelState.REFUSED.value, LabelState.CANCELLED.value)
    for pk in (
        jobs.rows().filter(state__in=ended, upload__isnull=False).values_list("pk", flat=True)
    ):
        delete_copy(pk)
    return report


def _end(job: LabelJob, state: LabelState, *, now: datetime, **columns: Any) -> None:
    reason = str(columns.get("error_code", ""))
    jobs.transition(job, state, now=now, reason=reason, **columns)


def _record(job: LabelJob, action: str, *, actor: User) -> None:
    phase = Phase.objects.select_related("challenge").get(pk=job.phase_id)
    audit.record(action, actor=actor, challenge=phase.challenge, target=phase, job=job.pk)
