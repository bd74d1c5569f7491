"""Webhooks: addresses that are told what happened."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from ninja import Router, Schema, Status
from pydantic import Field

from challenge.api import paging
from challenge.api.access import READ, SUBMIT, SignedInRequest
from challenge.api.types import LIMIT_DEFAULT, Cursor, Done, Given, Limit, RowId, Slug
from challenge.errors import refuse
from challenge.models import Webhook
from challenge.selectors import pages
from challenge.services.notifications import webhooks

router = Router(tags=["webhooks"])

EventName = Literal["submission.scored", "submission.rejected", "phase.closed"]


class WebhookIn(Given):
    """Where to send which news. With ``challenge``: of the whole challenge, for its organisers."""

    url: Annotated[
        str, Field(max_length=500, pattern=r"^https?://[!-~]+$", examples=["https://example.org/"])
    ]
    events: Annotated[list[EventName], Field(min_length=1, max_length=3)]
    challenge: Slug | None = None


class WebhookOut(Schema):
    """A webhook; its secret is shown once, when it is made."""

    id: int
    url: str
    events: list[str]
    challenge: str | None
    is_active: bool
    created_at: datetime


class NewWebhook(WebhookOut):
    """A webhook just made, with the secret that verifies ``Flair-Signature``."""

    secret: str


class Webhooks(Schema):
    """One's own webhooks."""

    items: list[WebhookOut]


class Delivery(Schema):
    """One line of the delivery log."""

    id: int
    event: str
    payload: dict[str, Any]
    created_at: datetime
    attempts: int
    next_attempt_at: datetime | None
    delivered_at: datetime | None
    last_status: int | None
    last_error: str


class Deliveries(Schema):
    """A page of the delivery log, the newest first."""

    items: list[Delivery]
    next_cursor: str | None


def _out(webhook: Webhook) -> dict[str, Any]:
    return {
        "id": webhook.pk,
        "url": webhook.url,
        "events": webhook.events,
        "challenge": webhook.challenge.slug if webhook.challenge else None,
        "is_active": webhook.is_active,
        "created_at": webhook.created_at,
        "secret": webhook.secret,
    }


def _mine(request: SignedInRequest, webhook_id: int) -> Webhook:
    rows = Webhook.objects.select_related("challenge").filter(pk=webhook_id, user=request.user)
    webhook = rows.first()
    if webhook is None:
        raise refuse("not-found")
    return webhook


@router.get("/webhooks", response=Webhooks, auth=READ)
def list_webhooks(request: SignedInRequest) -> dict[str, Any]:
    """One's own webhooks."""
    webhooks_shown = Webhook.objects.select_related("challenge").filter(user=request.user)
    return {"items": [_out(webhook) for webhook in webhooks_shown]}


@router.post("/webhooks", response={201: NewWebhook}, auth=SUBMIT)
def create_webhook(request: SignedInRequest, given: WebhookIn) -> Status[dict[str, Any]]:
    """Register an address; its secret is in this answer and never shown again."""
    user = request.user
    challenge = pages.challenge_by_slug(given.challenge, user=user) if given.challenge else None
    webhook = webhooks.create(user=user, url=given.url, events=given.events, challenge=challenge)
    return Status(201, _out(webhook))


@router.get("/webhooks/{webhook_id}", response=WebhookOut, auth=READ)
def get_webhook(request: SignedInRequest, webhook_id: RowId) -> dict[str, Any]:
    """One webhook."""
    return _out(_mine(request, webhook_id))


@router.delete("/webhooks/{webhook_id}", response=Done, auth=SUBMIT)
def delete_webhook(request: SignedInRequest, webhook_id: RowId) -> Done:
    """Forget an address, with its log."""
    webhooks.delete(webhook=_mine(request, webhook_id), actor=request.user)
    return Done()


@router.post("/webhooks/{webhook_id}/ping", response=Done, auth=SUBMIT)
def ping_webhook(request: SignedInRequest, webhook_id: RowId) -> Done:
    """Send a trial delivery; look at the log after a moment."""
    webhooks.ping(webhook=_mine(request, webhook_id))
    return Done()


@router.get("/webhooks/{webhook_id}/deliveries", response=Deliveries, auth=READ)
def list_deliveries(
    request: SignedInRequest,
    webhook_id: RowId,
    cursor: Cursor | None = None,
    limit: Limit = LIMIT_DEFAULT,
) -> dict[str, Any]:
    """What was sent, the newest first."""
    rows = _mine(request, webhook_id).deliveries.all()
    found, next_cursor = paging.page(rows, cursor=cursor, limit=limit)
    return {"items": found, "next_cursor": next_cursor}
