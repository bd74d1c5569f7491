"""Webhooks: events sent to addresses of participants and organisers, signed, retried, logged.

The row is the queue: a delivery is written in the transaction of the event, claimed under a lock,
and tried again with growing pauses until the address answers 2xx or the attempts are used up. It
is no leased job (decision 241): nothing is renewed, and a delivery made twice does no harm.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import secrets
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext

from challenge.errors import refuse
from challenge.models import Challenge, Evaluation, Phase, User, Webhook, WebhookDelivery
from challenge.rules import disclosure
from challenge.rules.disclosure import Viewer
from challenge.rules.lifecycle import State
from challenge.rules.roles import Act
from challenge.selectors import phase_disclosure, roles, submissions
from challenge.services import audit, task_queue, throttles
from challenge.services.notifications import webhook_requests
from challenge.services.task_queue import TaskName

log = logging.getLogger(__name__)

WEBHOOKS_PER_PERSON = 10
PAUSES_S = (60, 300, 1800, 7200, 28800, 86400)
CLAIM_S = 300
DELIVER_LOCK = 0x666C6169_73
DELIVER_S = 40.0
CONCURRENT_CALLS = 8
SLOW_S = 3.0
SLOW_PAUSE_S = 60
CLOSED_PHASE_AGE = timedelta(days=3)
USER_AGENT = "flair-challenge-platform"
EVENT_BY_STATE = {
    State.SCORED.value: Webhook.Event.SUBMISSION_SCORED,
    State.REJECTED.value: Webhook.Event.SUBMISSION_REJECTED,
}


def create(
    *,
    user: User,
    url: str,
    events: Iterable[str],
    challenge: Challenge | None = None,
) -> Webhook:
    """Register an address for events of one's own submissions, or of a challenge one organises.

    Raises Refusal ``webhook-url-invalid``, ``not-organiser``, Conflict ``webhook-limit``.
    """
    if challenge is not None:
        roles.require(user, Act.READ, challenge)
    try:
        webhook_requests.check(url)
    except webhook_requests.CannotCall as error:
        raise refuse("webhook-url-invalid", url=url[:200], reason=gettext(str(error))) from error
    with transaction.atomic():
        User.objects.select_for_update(of=("self",)).only("pk").get(pk=user.pk)
        if Webhook.objects.filter(user=user).count() >= WEBHOOKS_PER_PERSON:
            raise refuse("webhook-limit", limit=WEBHOOKS_PER_PERSON)
        webhook = Webhook.objects.create(
            user=user,
            challenge=challenge,
            url=url,
            secret=secrets.token_urlsafe(32),
            events=sorted(set(events)),
        )
    audit.record(
        "webhook.created",
        actor=user,
        challenge=challenge,
        target=f"webhook {webhook.pk}",
        host=urlsplit(url).hostname or "",
        events=webhook.events,
    )
    return webhook


def delete(*, webhook: Webhook, actor: User) -> None:
    """Delete an address with its log."""
    audit.record(
        "webhook.deleted",
        actor=actor,
        challenge=webhook.challenge,
        target=f"webhook {webhook.pk}",
    )
    webhook.delete()


def ping(*, webhook: Webhook, now: datetime | None = None) -> WebhookDelivery:
    """Queue a trial delivery, due at once. Raises Refusal ``too-many-requests`` (429)."""
    throttles.check_pings(webhook.user_id)
    now = now or timezone.now()
    return WebhookDelivery.objects.create(
        webhook=webhook,
        event="ping",
        payload={"event": "ping", "at": now.isoformat()},
        created_at=now,
        next_attempt_at=now,
        dedupe_key=f"ping:{secrets.token_hex(8)}",
    )


def enqueue_result(evaluation: Evaluation, *, now: datetime) -> int:
    """Queue the deliveries about a finished evaluation, in its transaction; returns how many."""
    event = EVENT_BY_STATE.get(evaluation.state)
    if event is None:
        return 0
    entry = evaluation.submission.entry
    challenge = entry.phase.challenge
    hooks = Webhook.objects.filter(is_active=True, events__contains=[event]).filter(
        Q(challenge=challenge) | Q(challenge=None, user__memberships__team=entry.team)
    )
    queued = 0
    for hook in hooks.select_related("user").distinct():
        viewer = Viewer.OWNER
        if hook.challenge_id is not None:
            if not roles.may(hook.user, Act.READ, challenge):
                continue
            viewer = Viewer.ORGANISER
        payload = _result(evaluation, event=event, viewer=viewer, now=now)
        queued += _queue(hook, event=event, payload=payload, key=f"{evaluation.pk}", now=now)
    return queued


def _result(evaluation: Evaluation, *, event: str, viewer: Viewer, now: datetime) -> dict[str, Any]:
    submission = evaluation.submission
    phase = submission.entry.phase
    payload: dict[str, Any] = {
        "event": event,
        "at": now.isoformat(),
        "challenge": phase.challenge.slug,
        "phase": phase.slug,
        "team": submission.entry.team.name,
        "submission": str(submission.id),
        "number": submission.number,
        "method_name": submission.method_name,
        "state": evaluation.state,
        "url": f"{settings.SITE_URL}/api/v1/submissions/{submission.id}",
    }
    if evaluation.state == State.REJECTED:
        payload["problems"] = evaluation.problems
        payload["problems_more"] = evaluation.problems_more
    elif submissions.score_visible(submission, viewer=viewer, now=now):
        policy = phase_disclosure.policy_for(phase, viewer=viewer, now=now)
        payload["miou"] = disclosure.disclose_miou(
            evaluation.score.miou, evaluation.score.rounded_miou, policy=policy
        )
    return payload


def enqueue_closed_phases(*, now: datetime) -> int:
    """Queue the deliveries about phases that closed lately, once each; returns how many."""
    queued = 0
    event = Webhook.Event.PHASE_CLOSED
    phases = Phase.objects.filter(
        is_published=True,
        challenge__is_published=True,
        closes_at__lte=now,
        closes_at__gt=now - CLOSED_PHASE_AGE,
    )
    for phase in phases.select_related("challenge"):
        hooks = Webhook.objects.filter(
            Q(challenge=phase.challenge)
            | Q(challenge=None, user__memberships__challenge=phase.challenge),
            is_active=True,
            events__contains=[event],
            created_at__lte=phase.closes_at,
        )
        for hook in hooks.exclude(deliveries__dedupe_key=_closed_key(phase)).distinct():
            payload = {
                "event": event.value,
                "at": now.isoformat(),
                "challenge": phase.challenge.slug,
                "phase": phase.slug,
                "closes_at": phase.closes_at.isoformat() if phase.closes_at else None,
                "url": f"{settings.SITE_URL}/api/v1/challenges/{phase.challenge.slug}"
                f"/phases/{phase.slug}/leaderboard",
            }
            queued += _queue(hook, event=event, payload=payload, key=_closed_key(phase), now=now)
    return queued


def _closed_key(phase: Phase) -> str:
    return f"closed:{phase.pk}:{phase.closes_at.isoformat() if phase.closes_at else ''}"


def _queue(hook: Webhook, *, event: str, payload: dict[str, Any], key: str, now: datetime) -> int:
    _delivery, is_new = WebhookDelivery.objects.get_or_create(
        webhook=hook,
        dedupe_key=key,
        defaults={
            "event": event,
            "payload": payload,
            "created_at": now,
            "next_attempt_at": now,
        },
    )
    return int(is_new)


def _due(now: datetime) -> QuerySet[WebhookDelivery]:
    return WebhookDelivery.objects.filter(next_attempt_at__lte=now, webhook__is_active=True)


def is_due(*, now: datetime | None = None) -> bool:
    """Say whether a delivery waits to be made."""
    return _due(now or timezone.now()).exists()


def notify_workers(*, now: datetime | None = None) -> bool:
    """Send the task name where a delivery is due; False: none is, or the broker is away."""
    return is_due(now=now) and task_queue.send_task(TaskName.DELIVER_WEBHOOKS)


def notify_workers_on_commit() -> None:
    """Send the task name once the transaction that queues a delivery is committed."""
    task_queue.send_task_on_commit(TaskName.DELIVER_WEBHOOKS)


def deliver(*, now: datetime | None = None) -> int:
    """Try what is due, oldest first; how many deliveries were answered with 2xx.

    Scoring runs in the same workers, and an address may take its time on purpose. So one worker
    at a time delivers, for :data:`DELIVER_S` at most (the sweep notifies for the rest), several
    people's deliveries side by side; whose address was slow waits a minute with all of theirs.
    """
    delivered, started_s = 0, time.monotonic()
    with _delivery_lock() as is_mine, ThreadPoolExecutor(CONCURRENT_CALLS, "webhook") as pool:
        while is_mine and time.monotonic() - started_s < DELIVER_S:
            deliveries = _claim_due(now or timezone.now())
            if not deliveries:
                break
            call = partial(_call, now=now or timezone.now())
            for delivery, result in zip(deliveries, pool.map(call, deliveries), strict=True):
                delivered += _record(delivery, result, now=now or timezone.now())
    return delivered


@contextmanager
def _delivery_lock() -> Iterator[bool]:
    """Whether no other worker delivers; none begins before this ends.

    The lock is that of a transaction on a connection of its own: a session's lock would stay
    behind on whichever connection a pooler such as pgbouncer used for it (decision 425).
    """
    own = connection.copy()
    try:
        own.set_autocommit(False)
        with own.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [DELIVER_LOCK])
            (is_mine,) = cursor.fetchone()
        yield is_mine
        # The server ends a closed connection's transaction a moment later; this frees the lock
        # at once.
        own.rollback()
    finally:
        own.close()


def _claim_due(now: datetime) -> list[WebhookDelivery]:
    """Take the oldest due delivery of each person; while the claim lasts nobody else takes it."""
    with transaction.atomic():
        by_person = _due(now).order_by("webhook__user", "next_attempt_at", "pk")
        oldest = WebhookDelivery.objects.filter(
            pk__in=by_person.distinct("webhook__user").values("pk")
        ).order_by("next_attempt_at", "pk")
        claimed = list(
            oldest.select_for_update(skip_locked=True, of=("self",)).select_related("webhook")[
                :CONCURRENT_CALLS
            ]
        )
        for delivery in claimed:
            delivery.attempts += 1
            delivery.next_attempt_at = now + timedelta(seconds=CLAIM_S)
            delivery.save(update_fields=["attempts", "next_attempt_at"])
    return claimed


@dataclass(frozen=True)
class _CallResult:
    """How an address answered: its status or what went wrong, and in how many seconds."""

    status: int | None
    error: str
    took_s: float


def _call(delivery: WebhookDelivery, *, now: datetime) -> _CallResult:
    """Call the address. No query: it runs in a thread of its own."""
    hook = delivery.webhook
    body = json.dumps(delivery.payload, sort_keys=True, separators=(",", ":")).encode()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": USER_AGENT,
        "Flair-Event": delivery.event,
        "Flair-Delivery": str(delivery.pk),
        "Flair-Signature": sign(body, secret=hook.secret, at_s=int(now.timestamp())),
    }
    started_s = time.monotonic()
    try:
        status, message = webhook_requests.post(hook.url, body=body, headers=headers), ""
    except webhook_requests.CannotCall as error:
        status, message = None, str(error)[:200]
    return _CallResult(status, message, time.monotonic() - started_s)


def _record(delivery: WebhookDelivery, result: _CallResult, *, now: datetime) -> int:
    """Record how a call ended and when it is tried again; 1 where it was answered with 2xx."""
    delivery.last_status, delivery.last_error = result.status, result.error
    is_done = result.status is not None and 200 <= result.status < 300
    if result.status is not None and not is_done:
        delivery.last_error = f"answered {result.status}"
    if is_done:
        delivery.delivered_at, delivery.next_attempt_at = now, None
    elif delivery.attempts > len(PAUSES_S):
        delivery.next_attempt_at = None
    else:
        delivery.next_attempt_at = now + timedelta(seconds=PAUSES_S[delivery.attempts - 1])
    delivery.save(
        update_fields=["last_status", "last_error", "delivered_at", "next_attempt_at"],
    )
    if result.took_s > SLOW_S:
        same_person = _due(now).filter(webhook__user=delivery.webhook.user_id)
        same_person.update(next_attempt_at=now + timedelta(seconds=SLOW_PAUSE_S))
    return int(is_done)


def sign(body: bytes, *, secret: str, at_s: int) -> str:
    """The signature header: ``t=<seconds>,v1=<hex>``, HMAC-SHA256 over ``<seconds>.<body>``.

    >>> sign(b"{}", secret="s", at_s=0)[:20]
    't=0,v1=e79b1f685c78e'
    """
    digest = hmac.new(secret.encode(), f"{at_s}.".encode() + body, hashlib.sha256)
    return f"t={at_s},v1={digest.hexdigest()}"
