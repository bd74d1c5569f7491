"""A team's standing as a small picture that pages elsewhere embed."""

from __future__ import annotations

from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.cache import patch_cache_control
from django.utils.translation import gettext

from challenge.errors import refuse
from challenge.formats import percent_text
from challenge.selectors import languages, pages, teams
from challenge.web.requests import page_view

KEPT_S = 300
CHARACTER_PX = 7
MARGIN_PX = 10


@page_view("GET", "HEAD")
def badge(_request: HttpRequest, slug: str, phase_slug: str, pk: int) -> HttpResponse:
    """Answer an SVG with a team's rank and mIoU, as strangers see them whoever asks.

    Raises NotFound where strangers see no line of this team.
    """
    anyone = AnonymousUser()
    phase = pages.phase_by_slug(slug, phase_slug, user=anyone)
    team = teams.get(pk, challenge=phase.challenge)
    row = teams.leaderboard_row(team, phase=phase, user=anyone)
    if row is None:
        raise refuse("not-found")
    language = languages.current()
    title = languages.text_in(phase.challenge.title, language, default=slug)
    name = languages.text_in(phase.name, language, default=phase_slug)
    standing = f"mIoU {percent_text(row.miou, 2)}\u00a0%" if row.miou is not None else "mIoU –"
    if row.rank is not None:
        standing = gettext("rank %(rank)s") % {"rank": row.rank} + f" · {standing}"
    left, right = f"{title} · {name}", standing
    widths = [CHARACTER_PX * len(text) + 2 * MARGIN_PX for text in (left, right)]
    context = {
        "left": left,
        "right": right,
        "left_px": widths[0],
        "right_px": widths[1],
        "width_px": sum(widths),
        "left_middle_px": widths[0] / 2,
        "right_middle_px": widths[0] + widths[1] / 2,
    }
    response = render(
        _request, "web/badge.svg", context, content_type="image/svg+xml; charset=utf-8"
    )
    patch_cache_control(response, public=True, max_age=KEPT_S)
    return response
