"""A challenge's pages: overview, the organiser's pages, news, joining."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext

from challenge.errors import Refusal
from challenge.models import Challenge, Registration
from challenge.selectors import first_steps, languages, pages, people
from challenge.services.teams import teams
from challenge.web import forms
from challenge.web.challenges import blocks, hero
from challenge.web.requests import SignedInRequest, page_view
from challenge.web.views import challenge_context, page_url


@page_view("GET")
def overview(request: HttpRequest, slug: str) -> HttpResponse:
    """Answer a challenge's first page."""
    challenge = pages.challenge_by_slug(slug, user=request.user)
    context = challenge_context(request, challenge, current="overview")
    page = pages.page(challenge, slug="overview", language=languages.current())
    return render(
        request,
        "web/challenge.html",
        context
        | hero.context(challenge)
        | {
            "on_overview": True,
            "page": page,
            "parts": blocks.parts(
                page.markdown,
                challenge=challenge,
                phases=context["phase_statuses"],
                registered=context["membership"] is not None,
            ),
            "announcements": pages.news(challenge)[:3],
            "links": challenge.facts.get("links") or [],
        },
    )


@page_view("GET")
def page(request: HttpRequest, slug: str, page_slug: str) -> HttpResponse:
    """Answer one of the organiser's pages."""
    challenge = pages.challenge_by_slug(slug, user=request.user)
    if page_slug == "overview":
        return redirect("web:challenge", challenge.slug)
    shown = pages.page(challenge, slug=page_slug, language=languages.current())
    context = challenge_context(request, challenge, current=page_slug)
    parts = blocks.parts(
        shown.markdown,
        challenge=challenge,
        phases=context["phase_statuses"],
        registered=context["membership"] is not None,
    )
    context |= {"page": shown, "parts": parts, "contents": blocks.contents(parts)}
    if page_slug == "data":
        context |= _starting_points(request, challenge)
    return render(request, "web/page.html", context)


@page_view("GET")
def news(request: HttpRequest, slug: str) -> HttpResponse:
    """Answer everything that was announced."""
    challenge = pages.challenge_by_slug(slug, user=request.user)
    context = challenge_context(request, challenge, current="news")
    return render(request, "web/news.html", context | {"announcements": pages.news(challenge)})


@page_view("GET", "POST", sign_in=True, newcomers=True)
def join(request: SignedInRequest, slug: str) -> HttpResponse:
    """Show the rules; take part once they are accepted."""
    challenge = pages.challenge_by_slug(slug, user=request.user)
    user = request.user
    registration = people.registration_of(user, challenge)
    form = forms.JoinForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        try:
            made = teams.register(
                user=user,
                challenge=challenge,
                accept_terms_version=challenge.terms_version,
            )
        except Refusal as refusal:
            form.add_error(None, str(refusal))
        else:
            if made.state == Registration.State.APPROVED:
                messages.success(request, gettext("You take part. Good luck!"))
            elif made.state == Registration.State.REFUSED:
                messages.error(request, gettext("The organisers refused your registration."))
            else:
                messages.info(
                    request, gettext("Thank you. The organisers will look at your registration.")
                )
            return redirect(_next_page(challenge, made))
    rules = pages.page(challenge, slug="rules", language=languages.current())
    context = challenge_context(request, challenge, current="join")
    return render(
        request,
        "web/join.html",
        context
        | {
            "form": form,
            "registration": registration,
            "current_terms": registration is not None
            and registration.terms_version == challenge.terms_version,
            "parts": blocks.parts(
                rules.markdown,
                challenge=challenge,
                phases=context["phase_statuses"],
                registered=False,
            ),
        },
        status=422 if form.errors else 200,
    )


def _starting_points(request: HttpRequest, challenge: Challenge) -> dict[str, Any]:
    """Return what the page of the data adds: the kit of the practice phase, and first steps."""
    menu = pages.phase_menu(challenge)
    phase = first_steps.practice_phase(menu) or (menu[-1] if menu else None)
    if phase is None:
        return {}
    return {
        "kit_phase": phase,
        "kit": first_steps.kit_of(phase),
        "steps": first_steps.first_steps(request.user, challenge),
    }


def _next_page(challenge: Challenge, registration: Registration) -> str:
    """Return where joining leads: to the open practice phase, else to what there is to read."""
    phase = first_steps.practice_phase(pages.phase_menu(challenge))
    approved = registration.state == Registration.State.APPROVED
    if approved and phase is not None and pages.phase_status(phase, timezone.now()).open:
        return reverse("web:submit", args=[challenge.slug, phase.slug])
    slugs = dict(pages.tab_pages(challenge, language=languages.current()))
    return page_url(challenge, "data" if "data" in slugs else "overview")
