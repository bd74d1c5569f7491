"""How the site works now: on the desk with workers and disks, for everybody in counts alone."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from challenge.selectors import health as selector
from challenge.selectors import roles
from challenge.web import desk
from challenge.web.requests import SignedInRequest, page_view
from challenge.web.views import challenge_context


@page_view("GET", sign_in=True, cache=False)
def health(request: SignedInRequest, slug: str) -> HttpResponse:
    """Answer queues, workers and what they do, labels, isolation, disk, mail, last sweep."""
    challenge = desk.challenge_of(request, slug)
    context = challenge_context(request, challenge, current="desk") | {
        "health": selector.read(challenge),
        "is_operator": roles.is_operator(request.user),
    }
    return render(request, "web/desk_health.html", context)


@page_view("GET")
def status(request: HttpRequest) -> HttpResponse:
    """Answer what everybody may know of how the site works now."""
    return render(request, "web/status.html", {"status": selector.public_status()})
