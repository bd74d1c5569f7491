"""A person's webhooks and what was sent to them."""

from __future__ import annotations

from django.db.models import OuterRef, QuerySet, Subquery

from challenge.errors import refuse
from challenge.models import User, Webhook, WebhookDelivery

LOG_LINES = 50


def of_user(user: User) -> QuerySet[Webhook]:
    """Return a person's webhooks with their challenge, the latest first (one query).

    Each has ``last_sent_at`` (None: nothing arrived yet) and ``last_error`` of its latest delivery.
    """
    latest = WebhookDelivery.objects.filter(webhook=OuterRef("pk")).order_by("-created_at", "-pk")
    arrived = latest.filter(delivered_at__isnull=False)
    return (
        Webhook.objects.filter(user=user)
        .select_related("challenge")
        .annotate(
            last_sent_at=Subquery(arrived.values("delivered_at")[:1]),
            last_error=Subquery(latest.values("last_error")[:1]),
        )
    )


def get(pk: int, *, user: User) -> Webhook:
    """Return one of a person's own webhooks (one query). Raises NotFound for others'."""
    webhook = of_user(user).filter(pk=pk).first()
    if webhook is None:
        raise refuse("not-found")
    return webhook


def log(webhook: Webhook) -> list[WebhookDelivery]:
    """Return what was sent to a webhook lately, the latest first (one query)."""
    return list(webhook.deliveries.order_by("-created_at", "-pk")[:LOG_LINES])
