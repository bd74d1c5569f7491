"""The reveal asked for on the desk, and carried out by a worker that has labels and evidence."""

from __future__ import annotations

from datetime import datetime

from django.core.cache import cache
from django.db import transaction
from django.utils import timezone

from challenge.errors import refuse
from challenge.models import AuditEvent, Phase, User
from challenge.rules.roles import Act
from challenge.selectors import reveals as selector
from challenge.selectors import roles
from challenge.services import audit
from challenge.services.submissions import reveal
from challenge.services.submissions.reveal import RevealError
from challenge.services.task_queue import TaskName, send_task_on_commit

# How long a worker that says nothing keeps others from the same reveal. A second one would do the
# same work in vain: what is published is decided under the phase's lock.
AT_IT_S = 120


def request(
    *, phase: Phase, actor: User, partial: bool = False, now: datetime | None = None
) -> None:
    """Ask a worker to reveal a phase's private zones (``Act.FINALS``).

    ``partial`` publishes although some submissions have neither evidence nor archive; these lose
    their rank. Raises what `roles.require` raises, what :func:`reveals.obstacle` returns, Conflict
    ``reveal-asked`` while a request is carried out.
    """
    now = now or timezone.now()
    roles.require(actor, Act.FINALS, phase.challenge)
    with transaction.atomic():
        locked = (
            Phase.objects.select_for_update(of=("self",))
            .select_related("challenge")
            .get(pk=phase.pk)
        )
        if (found := selector.obstacle(locked, now=now)) is not None:
            raise found
        last = selector.last_request(locked)
        if locked.awaits_reveal and last is not None and last.action == selector.REQUESTED:
            raise refuse("reveal-asked")
        audit.record(
            selector.REQUESTED,
            actor=actor,
            challenge=locked.challenge,
            target=locked,
            now=now,
            phase=locked.pk,
            partial=partial,
        )
        send_task_on_commit(TaskName.REVEAL)


def notify_workers() -> None:
    """Send the task name while a reveal waits: for the sweep."""
    if selector.pending():
        send_task_on_commit(TaskName.REVEAL)


def work(*, worker: str) -> int:
    """Carry out every request that waits and that no other worker is at; returns how many."""
    done = 0
    for phase, event in selector.pending():
        key = f"reveal:{event.pk}"
        if not cache.add(key, worker, AT_IT_S):
            continue
        try:
            _carry_out(phase, event, key=key, worker=worker)
        finally:
            cache.delete(key)
        done += 1
    return done


def _carry_out(phase: Phase, event: AuditEvent, *, key: str, worker: str) -> None:
    def renew(_done: int, _all: int) -> None:
        cache.set(key, worker, AT_IT_S)

    try:
        if event.actor is None or not roles.may(event.actor, Act.FINALS, phase.challenge):
            raise RevealError("who asked for it has no role any more that may")
        reveal.reveal(
            phase=phase, partial=event.data["partial"], actor=event.actor, on_progress=renew
        )
    except RevealError as error:
        audit.record(
            selector.FAILED,
            actor=None,
            challenge=phase.challenge,
            target=phase,
            phase=phase.pk,
            message=str(error),
        )
