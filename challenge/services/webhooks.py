"""News sent to addresses of participants and organisers: signed, retried, logged.

As with evaluations the row is the queue and Celery the doorbell: a delivery is written in the
transaction of what it tells of, claimed under a lock, and tried again with growing pauses until
the address answers 2xx or the attempts are used up.
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
from challenge.selectors import leaderboard, people, submissions
from challenge.services import audit, throttles, webhook_calls

log = logging.getLogger(__name__)

WEBHOOKS_PER_PERSON = 10
PAUSES_S = (60, 300, 1800, 7200, 28800, 86400)
CLAIM_S = 300
DELIVER_LOCK = 0x666C6169_73
DELIVER_S = 40.0
AT_ONCE = 8
SLOW_S = 3.0
SLOW_PAUSE_S = 60
NEWS_OF_CLOSED_PHASES = timedelta(days=3)
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
    """Register an address for news of one's own submissions, or of a challenge one organises.

    Raises Refusal ``webhook-url-invalid``, ``not-organiser``, Conflict ``webhook-limit``.
    """
    if challenge is not None and not people.is_organiser(user, challenge):
        raise refuse("not-organiser", challenge=challenge.slug)
    try:
        webhook_calls.check(url)
    except webhook_calls.CannotCall as error:
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
    """Forget an address with its log."""
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
    """Queue the news of a finished evaluation, in its transaction; how many were queued."""
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
            if not people.is_organiser(hook.user, challenge):
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
    elif submissions.score_visible(phase, viewer=viewer, now=now):
        terms = leaderboard.terms_for(phase, viewer=viewer, now=now)
        payload["miou"] = disclosure.figure(evaluation.score.miou, terms=terms)
    return payload


def enqueue_closed_phases(*, now: datetime) -> int:
    """Queue the news of phases that closed lately, once each; how many were queued."""
    queued = 0
    event = Webhook.Event.PHASE_CLOSED
    phases = Phase.objects.filter(
        is_published=True,
        challenge__is_published=True,
        closes_at__lte=now,
        closes_at__gt=now - NEWS_OF_CLOSED_PHASES,
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
    """Whether something waits to be delivered; queues the news of closed phases on the way."""
    now = now or timezone.now()
    enqueue_closed_phases(now=now)
    return _due(now).exists()


def deliver(*, now: datetime | None = None) -> int:
    """Try what is due, oldest first; how many deliveries were answered with 2xx.

    Scoring runs in the same workers, and an address may take its time on purpose. So one worker
    at a time delivers, for :data:`DELIVER_S` at most (the sweep rings for the rest), several
    people's news side by side; whose address was slow waits a minute with all of theirs.
    """
    delivered, began_s = 0, time.monotonic()
    with _alone() as is_mine, ThreadPoolExecutor(AT_ONCE, "webhook") as pool:
        while is_mine and time.monotonic() - began_s < DELIVER_S:
            claimed = _claim(now or timezone.now())
            if not claimed:
                break
            calls = [partial(_call, one, now=now or timezone.now()) for one in claimed]
            for one, call in zip(claimed, pool.map(lambda call: call(), calls), strict=True):
                delivered += _record(one, call, now=now or timezone.now())
    return delivered


@contextmanager
def _alone() -> Iterator[bool]:
    """Whether no other worker delivers; none begins before this ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [DELIVER_LOCK])
        (is_mine,) = cursor.fetchone()
        try:
            yield is_mine
        finally:
            if is_mine:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [DELIVER_LOCK])


def _claim(now: datetime) -> list[WebhookDelivery]:
    """Take the oldest due delivery of each person; while the claim lasts nobody else takes it."""
    with transaction.atomic():
        oldest = _due(now).order_by("webhook__user", "next_attempt_at", "pk")
        found = WebhookDelivery.objects.filter(
            pk__in=oldest.distinct("webhook__user").values("pk")
        ).order_by("next_attempt_at", "pk")
        claimed = list(
            found.select_for_update(skip_locked=True, of=("self",)).select_related("webhook")[
                :AT_ONCE
            ]
        )
        for delivery in claimed:
            delivery.attempts += 1
            delivery.next_attempt_at = now + timedelta(seconds=CLAIM_S)
            delivery.save(update_fields=["attempts", "next_attempt_at"])
    return claimed


@dataclass(frozen=True)
class _Call:
    """How an address answered: its status or what went wrong, and in how many seconds."""

    status: int | None
    error: str
    took_s: float


def _call(delivery: WebhookDelivery, *, now: datetime) -> _Call:
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
    began_s = time.monotonic()
    try:
        status, error = webhook_calls.post(hook.url, body=body, headers=headers), ""
    except webhook_calls.CannotCall as found:
        status, error = None, str(found)[:200]
    return _Call(status, error, time.monotonic() - began_s)


def _record(delivery: WebhookDelivery, call: _Call, *, now: datetime) -> int:
    """Note how a call ended and when it is tried again; 1 where it was answered with 2xx."""
    delivery.last_status, delivery.last_error = call.status, call.error
    is_done = call.status is not None and 200 <= call.status < 300
    if call.status is not None and not is_done:
        delivery.last_error = f"answered {call.status}"
    if is_done:
        delivery.delivered_at, delivery.next_attempt_at = now, None
    elif delivery.attempts > len(PAUSES_S):
        delivery.next_attempt_at = None
    else:
        delivery.next_attempt_at = now + timedelta(seconds=PAUSES_S[delivery.attempts - 1])
    delivery.save(
        update_fields=["last_status", "last_error", "delivered_at", "next_attempt_at"],
    )
    if call.took_s > SLOW_S:
        theirs = _due(now).filter(webhook__user=delivery.webhook.user_id)
        theirs.update(next_attempt_at=now + timedelta(seconds=SLOW_PAUSE_S))
    return int(is_done)


def sign(body: bytes, *, secret: str, at_s: int) -> str:
    """The signature header: ``t=<seconds>,v1=<hex>``, HMAC-SHA256 over ``<seconds>.<body>``.

    >>> sign(b"{}", secret="s", at_s=0)[:20]
    't=0,v1=e79b1f685c78e'
    """
    digest = hmac.new(secret.encode(), f"{at_s}.".encode() + body, hashlib.sha256)
    return f"t={at_s},v1={digest.hexdigest()}"
