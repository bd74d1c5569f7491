"""Re-scores from the desk: asked for, previewed by a worker, confirmed, published by a worker.

The row is the queue (:mod:`challenge.services.leased_jobs`). What an owner confirms is the digest
of the stored preview; the worker that publishes makes the preview again, and publishes it only
where it is that one (decision 391).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from challenge.errors import Refusal, refuse
from challenge.models import GroundTruth, Phase, Rescore, Submission, TaskSpec, User
from challenge.rules.lifecycle import RESCORE_TRANSITIONS, RescoreState
from challenge.rules.roles import Act
from challenge.selectors import rescores as selector
from challenge.selectors import roles
from challenge.services import audit, database_clock
from challenge.services.leased_jobs import LeasedJobs, SweepReport
from challenge.services.submissions import (
    rescore_previews,
    rescore_publication,
    rescoring,
    staged_scores,
)
from challenge.services.submissions.rescore_previews import Preview
from challenge.services.task_queue import TaskName
from scoring.engine.truth.split import SplitError

MISSING_LISTED = 50


class RescoreJobs(LeasedJobs[Rescore]):
    """Re-scores as leased jobs."""

    model = Rescore
    states = RescoreState
    active = RescoreState.RUNNING
    transitions = RESCORE_TRANSITIONS
    lease_setting = "LEASE_S"
    task = TaskName.RESCORE


jobs = RescoreJobs()


@dataclass(frozen=True)
class Claim:
    """A re-score taken by a worker; ``confirmed`` is the digest to publish ("": a preview)."""

    rescore_id: int
    attempt: int
    confirmed: str


def request(
    *,
    phase: Phase,
    ground_truth: GroundTruth,
    task_spec: TaskSpec,
    method: Rescore.Method,
    actor: User | None,
    confirmed: str = "",
    now: datetime | None = None,
) -> Rescore:
    """Ask for a re-score (``Act.LABELS``); a worker previews it.

    From the archives, every submission is queued under the wanted labels and task first; the board
    stays, and new submissions are scored under both until the re-score ends. That asks for the
    confirmation of the plan (:func:`rescoring.plan`). Raises what `roles.require` and
    ``rescoring.enqueue`` raise; Conflict ``rescore-open`` where one has not ended; Refusal
    ``rescore-needs-archives`` for other labels from evidence; ``rescore-nothing-new`` for the
    archives under what counts already.
    """
    now = now or timezone.now()
    if actor is not None:
        roles.require(actor, Act.LABELS, phase.challenge)
    with transaction.atomic():
        locked = Phase.objects.select_for_update(of=("self",)).get(pk=phase.pk)
        if selector.open_of(phase) is not None:
            raise refuse("rescore-open")
        same_labels = ground_truth.pk == locked.ground_truth_id
        if method == Rescore.Method.EVIDENCE and not same_labels:
            raise refuse("rescore-needs-archives")
        if method == Rescore.Method.ARCHIVES:
            if same_labels and task_spec.pk == locked.task_spec_id:
                raise refuse("rescore-nothing-new")
            asked = rescoring.plan(phase=phase, ground_truth=ground_truth, task_spec=task_spec)
            _check_confirmed(asked, actor=actor, confirmed=confirmed)
            rescoring.carry_out(asked, phase=phase, actor=actor, now=now)
        row = jobs.enqueue(
            phase=phase,
            ground_truth=ground_truth,
            task_spec=task_spec,
            method=method.value,
            created_by=actor,
            actor=actor,
            now=now,
        )
        audit.record(
            "rescore.request",
            actor=actor,
            challenge=phase.challenge,
            target=phase,
            now=now,
            ground_truth=str(ground_truth),
            task_spec=str(task_spec),
            method=method.value,
        )
    return row


def preview_again(*, row: Rescore, actor: User, now: datetime | None = None) -> None:
    """Queue another preview of a re-score. Raises Conflict ``illegal-move`` while one is made."""
    now = now or timezone.now()
    roles.require(actor, Act.LABELS, row.phase.challenge)
    with transaction.atomic():
        locked = jobs.lock(row.pk)
        jobs.requeue(
            locked, now=now, actor=actor, reason="previewed again", confirmed_at=None,
            confirmed_by=None, digest="", result={}, inputs="",
        )  # fmt: skip


def confirm(*, row: Rescore, actor: User, digest: str, now: datetime | None = None) -> None:
    """Have a worker publish what was previewed; ``digest`` is that of the preview that was shown.

    Raises Conflict ``rescore-stale`` where it is another one or something changed since,
    ``rescore-evidence-missing`` while a submission that decides a line has no score under both,
    ``illegal-move`` without a preview, and what `roles.require` raises (``Act.LABELS``).
    """
    now = now or timezone.now()
    roles.require(actor, Act.LABELS, row.phase.challenge)
    with transaction.atomic():
        phase = Phase.objects.select_for_update(of=("self",)).get(pk=row.phase_id)
        locked = jobs.lock(row.pk)
        if locked.state != RescoreState.PREVIEWED:
            wanted = RescoreState.PUBLISHED.value
            raise refuse("illegal-move", state=locked.state, wanted=wanted)
        present = rescore_previews.inputs_of(
            phase, ground_truth=locked.ground_truth, task_spec=locked.task_spec
        )
        if digest != locked.digest or present != locked.inputs:
            raise refuse("rescore-stale")
        if blocking := locked.result.get("blocking", 0):
            raise refuse("rescore-evidence-missing", count=blocking)
        jobs.requeue(
            locked, now=now, actor=actor, reason="confirmed", confirmed_at=now, confirmed_by=actor
        )
        audit.record(
            "rescore.confirm",
            actor=actor,
            challenge=row.phase.challenge,
            target=row.phase,
            now=now,
            digest=digest,
        )


def score_missing(
    *, row: Rescore, actor: User, confirmed: str = "", now: datetime | None = None
) -> int:
    """Queue the archives of what has neither evidence nor score under both; returns how many.

    Raises what ``rescoring.enqueue`` raises.
    """
    now = now or timezone.now()
    roles.require(actor, Act.LABELS, row.phase.challenge)
    with transaction.atomic():
        Phase.objects.select_for_update(of=("self",)).get(pk=row.phase_id)
        asked = plan_missing(row)
        if asked.count == 0:
            raise refuse("nothing-to-rescore")
        _check_confirmed(asked, actor=actor, confirmed=confirmed)
        rescoring.carry_out(asked, phase=row.phase, actor=actor, force=True, now=now)
    return asked.count


def plan_missing(row: Rescore) -> rescoring.Plan:
    """Return what :func:`score_missing` would queue: what the stored preview lists as missing."""
    return rescoring.plan(
        phase=row.phase,
        submissions=list(Submission.objects.filter(pk__in=row.result.get("missing_ids", []))),
        ground_truth=row.ground_truth,
        task_spec=row.task_spec,
        force=True,
    )


def give_up(*, row: Rescore, actor: User, now: datetime | None = None) -> None:
    """End a re-score without publishing it; scores that were recorded stay and count for nothing.

    Raises Conflict ``illegal-move`` while a worker holds it, what `roles.require` raises.
    """
    now = now or timezone.now()
    roles.require(actor, Act.LABELS, row.phase.challenge)
    with transaction.atomic():
        locked = jobs.lock(row.pk)
        jobs.transition(locked, RescoreState.CANCELLED, now=now, actor=actor, reason="given up")
        audit.record(
            "rescore.give-up", actor=actor, challenge=row.phase.challenge, target=row.phase, now=now
        )


def end_published(*, phase: Phase, now: datetime | None = None) -> None:
    """End a phase's re-score whose labels and task the operator's command has published."""
    now = now or database_clock.now()
    with transaction.atomic():
        found = selector.open_of(phase)
        if found is None or found.state == RescoreState.RUNNING:
            return
        locked = jobs.lock(found.pk)
        counting = (phase.ground_truth_id, phase.task_spec_id)
        if (locked.ground_truth_id, locked.task_spec_id) == counting:
            jobs.transition(locked, RescoreState.PUBLISHED, now=now, reason="by command")


def claim(*, worker: str, now: datetime | None = None) -> Claim | None:
    """Take the oldest re-score that waits, or None.

    One from the archives is previewed once all that it queued has a verdict.
    """
    now = now or database_clock.now()
    with transaction.atomic():
        ready = jobs.claimable().filter(
            ~selector.has_open_evaluations() | Q(confirmed_at__isnull=False)
        )
        row = ready.order_by("queued_at").select_for_update(skip_locked=True, of=("self",)).first()
        if row is None:
            return None
        jobs.start_attempt(row, worker=worker, now=now)
    return Claim(row.pk, row.attempt, row.digest if row.confirmed_at else "")


def heartbeat(taken: Claim) -> bool:
    """Renew the lease of what a worker took; False: the attempt is over."""
    return jobs.renew(taken.rescore_id, attempt=taken.attempt, now=database_clock.now())


def work(taken: Claim, *, worker: str) -> RescoreState:
    """Preview or publish what was claimed; returns the state it has then.

    What refuses it (stale, evidence missing, a role lost meanwhile) fails it with that code, and
    so does a list of zones that is not here. The caller renews the lease meanwhile
    (:func:`heartbeat`). Raises Conflict ``late-worker``.
    """
    row = Rescore.objects.select_related(
        "phase__challenge", "phase__ground_truth", "phase__task_spec", "ground_truth", "task_spec",
        "confirmed_by",
    ).get(pk=taken.rescore_id)  # fmt: skip

    try:
        made = rescore_previews.preview(
            phase=row.phase, ground_truth=row.ground_truth, task_spec=row.task_spec
        )
        if taken.confirmed:
            return _publish(row, made, taken, worker=worker)
        return _store(row, made, taken)
    except Refusal as refusal:
        if refusal.code == "late-worker":
            raise
        return _fail(taken, code=refusal.code)
    except SplitError:
        return _fail(taken, code="split-missing")


def sweep(*, now: datetime | None = None) -> SweepReport:
    """Queue re-scores of lost workers again, remove what they staged, notify workers."""
    now = now or database_clock.now()
    report = jobs.sweep(now=now)
    staged_scores.sweep(now=now)
    return report


def _publish(row: Rescore, made: Preview, taken: Claim, *, worker: str) -> RescoreState:
    """Stage the scores, then publish them in one transaction that ends with the row's lock.

    So the lease is renewed meanwhile.
    """
    if made.digest != taken.confirmed:
        raise refuse("rescore-stale")
    batch = staged_scores.batch_of(row.pk, taken.attempt)
    with staged_scores.discarded(batch):
        rescore_publication.stage(made, batch=batch)
        with transaction.atomic():
            rescore_publication.publish(made, actor=row.confirmed_by, worker=worker, batch=batch)
            locked = jobs.lock_attempt(row.pk, attempt=taken.attempt)
            jobs.transition(locked, RescoreState.PUBLISHED, now=database_clock.now())
    return RescoreState.PUBLISHED


def _store(row: Rescore, made: Preview, taken: Claim) -> RescoreState:
    result: dict[str, Any] = {
        "changes": [asdict(change) for change in made.changes],
        "from_evidence": len(made.cards),
        "recorded": len(made.recorded),
        "missing": [
            {
                "submission": str(one.pk),
                "team": one.entry.team.name,
                "number": one.number,
                "has_archive": one.archive_removed_at is None,
                "decides": one in made.blocking,
            }
            for one in [*made.blocking, *(m for m in made.missing if m not in made.blocking)][
                :MISSING_LISTED
            ]
        ],
        "missing_ids": [str(one.pk) for one in made.missing],
        "blocking": len(made.blocking),
    }
    with transaction.atomic():
        locked = jobs.lock_attempt(row.pk, attempt=taken.attempt)
        jobs.transition(
            locked,
            RescoreState.PREVIEWED,
            now=database_clock.now(),
            inputs=made.inputs,
            digest=made.digest,
            result=result,
        )
    return RescoreState.PREVIEWED


def _fail(taken: Claim, *, code: str) -> RescoreState:
    with transaction.atomic():
        locked = jobs.lock_attempt(taken.rescore_id, attempt=taken.attempt)
        jobs.transition(
            locked, RescoreState.FAILED, now=database_clock.now(), reason=code, error_code=code[:64]
        )
    return RescoreState.FAILED


def _check_confirmed(asked: rescoring.Plan, *, actor: User | None, confirmed: str) -> None:
    if actor is None or confirmed == asked.confirmation or asked.count == 0:
        return
    counts = {"count": asked.count, "left": asked.left}
    if confirmed:
        raise refuse("switch-confirmation-stale", **counts, confirmation=asked.confirmation)
    raise refuse("switch-unconfirmed", **counts, confirmation=asked.confirmation)
