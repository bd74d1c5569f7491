"""Dated states of a leaderboard: kept on request, cited by their address, BibTeX and digest."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext

from challenge.errors import Refusal
from challenge.formats import day_text
from challenge.models import LeaderboardState, Phase, User
from challenge.rules import latex
from challenge.selectors import languages, pages
from challenge.selectors import leaderboard_states as selector
from challenge.services import links
from challenge.services.leaderboard import leaderboard_states as service
from challenge.web.leaderboard.row_html import MARKS, TAGS
from challenge.web.requests import page_view
from challenge.web.views import challenge_context

PAGE_LINES = 100


@page_view("GET", "POST")
def states(request: HttpRequest, slug: str, phase_slug: str) -> HttpResponse:
    """List the states that were kept; keep what everybody sees now, for who signed in."""
    user = request.user
    phase = pages.phase_by_slug(slug, phase_slug, user=user)
    if request.method == "POST":
        if not isinstance(user, User):
            return redirect_to_login(request.path)
        try:
            kept = service.keep(phase=phase, actor=user)
        except Refusal as refusal:
            messages.error(request, str(refusal))
            return redirect("web:leaderboard-states", slug, phase_slug)
        return redirect("web:leaderboard-state", slug, phase_slug, selector.stamp_of(kept.kept_at))
    kept_states = [(selector.stamp_of(one.kept_at), one) for one in selector.of_phase(phase)]
    return render(
        request,
        "web/leaderboard_states.html",
        challenge_context(request, phase.challenge, current="leaderboard", phase=phase)
        | {"states": kept_states},
    )


@page_view("GET", gzip=True)
def state(request: HttpRequest, slug: str, phase_slug: str, at: str) -> HttpResponse:
    """Answer a leaderboard as everybody saw it at a moment."""
    phase = pages.phase_by_slug(slug, phase_slug, user=request.user)
    shown = selector.get(phase, at)
    keys = [one["key"] for one in shown.document["classes"]]
    lines = Paginator(shown.document["lines"], PAGE_LINES)
    page_rows = lines.get_page(request.GET.get("page", 1))
    page_rows.object_list = [_shown_line(line, keys) for line in page_rows.object_list]
    return render(
        request,
        "web/leaderboard_state.html",
        challenge_context(request, phase.challenge, current="leaderboard", phase=phase)
        | {
            "shown": shown,
            "stamp": at,
            "classes": shown.document["classes"],
            "page_rows": page_rows,
            "bibtex": _bibtex(shown.state, phase),
            "address": _address(shown.state, phase),
        },
    )


@page_view("GET", gzip=True)
def as_json(request: HttpRequest, slug: str, phase_slug: str, at: str) -> HttpResponse:
    """Answer the document of a state with its digest."""
    phase = pages.phase_by_slug(slug, phase_slug, user=request.user)
    shown = selector.get(phase, at)
    return JsonResponse(
        {"state": shown.document, "sha256": shown.state.digest},
        json_dumps_params={"ensure_ascii": False},
    )


def _shown_line(line: dict[str, Any], keys: list[str]) -> dict[str, Any]:
    """Return a line with what a template needs: marks in words, IoUs in order."""
    if line.get("withheld"):
        return line
    return line | {
        "tag": TAGS.get(line["kind"], ""),
        "mark_texts": [MARKS[mark] for mark in line["marks"] if mark in MARKS],
        "ious": [line["class_ious"].get(key) for key in keys],
    }


def _address(kept: LeaderboardState, phase: Phase) -> str:
    stamp = selector.stamp_of(kept.kept_at)
    arguments = [phase.challenge.slug, phase.slug, stamp]
    return links.absolute(reverse("web:leaderboard-state", args=arguments))


def _bibtex(kept: LeaderboardState, phase: Phase) -> str:
    """Return how a paper cites this state."""
    challenge, language = phase.challenge, languages.current()
    words = {
        "challenge": languages.text_in(challenge.title, language, default=challenge.slug),
        "phase": languages.text_in(phase.name, language, default=phase.slug),
        "day": day_text(kept.kept_at.date()),
    }
    return latex.bibtex(
        key=f"{challenge.slug}-{phase.slug}-{kept.kept_at:%Y%m%d-%H%M%S}",
        title=gettext("%(challenge)s, %(phase)s: leaderboard of %(day)s") % words,
        author=challenge.facts.get("organiser") or settings.ORGANISATION_NAME,
        on=kept.kept_at.date(),
        url=_address(kept, phase),
        note=f"SHA-256: {kept.digest}",
    )
