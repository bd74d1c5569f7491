"""One's webhooks: the list, a new one, what was sent to each."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext

from challenge.errors import Refusal
from challenge.models import Webhook, WebhookDelivery
from challenge.selectors import roles
from challenge.selectors import webhooks as selector
from challenge.services.notifications import webhooks as service
from challenge.web.forms import WebhookForm
from challenge.web.requests import SignedInRequest, page_view

EVENTS = Webhook.Event.choices
SNIPPET = """import hashlib, hmac

def is_genuine(secret: str, header: str, body: bytes) -> bool:
    part = dict(item.split("=", 1) for item in header.split(","))
    signed = part["t"].encode() + b"." + body
    digest = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    return hmac.compare_digest(digest, part["v1"])"""


@page_view("GET", "POST", sign_in=True, cache=False)
def mine(request: SignedInRequest) -> HttpResponse:
    """List webhooks; make one, whose secret is shown this once."""
    user = request.user
    organised = list(roles.challenges_of(user))
    form = WebhookForm(request.POST if request.method == "POST" else None, organised=organised)
    made = None
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        chosen = {str(challenge.pk): challenge for challenge in organised}.get(
            data.get("challenge", "")
        )
        try:
            made = service.create(
                user=user, url=data["url"], events=data["events"], challenge=chosen
            )
            form = WebhookForm(organised=organised)
        except Refusal as refusal:
            form.add_error("url" if refusal.code == "webhook-url-invalid" else None, str(refusal))
    return render(
        request,
        "web/webhooks.html",
        {
            "form": form,
            "made": made,
            "webhooks": selector.of_user(user),
            "snippet": SNIPPET,
        },
        status=422 if form.errors else 200,
    )


@page_view("GET", sign_in=True)
def detail(request: SignedInRequest, pk: int) -> HttpResponse:
    """Answer a webhook's page: its address, its news, its log."""
    user = request.user
    webhook = selector.get(pk, user=user)
    lines = [line(delivery) for delivery in selector.log(webhook)]
    return render(
        request,
        "web/webhook.html",
        {
            "webhook": webhook,
            "events": [event_name(event) for event in webhook.events],
            "lines": lines,
            "waiting": any(delivery["state"] in ("waiting", "retrying") for delivery in lines),
        },
    )


def event_name(event: str) -> str:
    """Return what an event is, in words."""
    names = {"ping": gettext("a trial")} | {str(key): str(name) for key, name in EVENTS}
    return names.get(event, event)


def line(delivery: WebhookDelivery) -> dict[str, Any]:
    """Return a delivery as its log shows it: how it went, in words, and what was sent."""
    state, tone = "waiting", "info"
    if delivery.delivered_at is not None:
        state, tone = "arrived", "good"
    elif delivery.next_attempt_at is None:
        state, tone = "given-up", "bad"
    elif delivery.attempts:
        state, tone = "retrying", "warn"
    outcome = ""
    if delivery.last_status is not None:
        outcome = gettext("answered %(status)d") % {"status": delivery.last_status}
    elif delivery.last_error:
        outcome = gettext(delivery.last_error)  # one of webhook_calls' few sentences
    return {
        "delivery": delivery,
        "name": event_name(delivery.event),
        "state": state,
        "tone": tone,
        "said": outcome,
        "payload": json.dumps(delivery.payload, indent=1, ensure_ascii=False),
    }


@page_view("POST", sign_in=True)
def ping(request: SignedInRequest, pk: int) -> HttpResponse:
    """Send a trial delivery."""
    user = request.user
    webhook = selector.get(pk, user=user)
    service.ping(webhook=webhook)
    messages.success(request, gettext("A trial is on its way; it is in the log below."))
    return redirect("web:webhook", pk)


@page_view("POST", sign_in=True)
def delete(request: SignedInRequest, pk: int) -> HttpResponse:
    """Forget a webhook with its log."""
    user = request.user
    service.delete(webhook=selector.get(pk, user=user), actor=user)
    messages.success(request, gettext("The webhook is deleted."))
    return redirect("web:webhooks")
