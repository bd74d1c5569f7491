"""The leaderboard: page, CSV and JSON, and how the best score moved."""

from __future__ import annotations

import csv
import zlib
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.cache import get_conditional_response, patch_cache_control
from django.utils.http import quote_etag
from django.utils.translation import gettext
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_GET

from challenge.models import Phase
from challenge.selectors import leaderboard, pages, progress
from challenge.web import boards, charts
from challenge.web.middleware import TIMEZONE_COOKIE
from challenge.web.views import frame, language, refusals_as_pages

CSV_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


@gzip_page
@require_GET
@refusals_as_pages
def board(request: HttpRequest, slug: str, phase_slug: str) -> HttpResponse:
    """Answer a phase's leaderboard; four queries at most, none but the phase's when unchanged."""
    user: Any = request.user
    phase = pages.phase_by_slug(slug, phase_slug, user=user)
    tag = _etag(request, phase)
    unchanged = get_conditional_response(request, etag=tag)
    if unchanged is not None and not request.session.get("_messages"):
        return unchanged
    found = leaderboard.board(phase, user=user)
    choice = boards.Choice.of(request.GET, keys=[one.key for one in found.classes])
    response = render(
        request,
        "web/leaderboard.html",
        frame(request, phase.challenge, current="leaderboard", phase=phase)
        | {
            "board": found,
            "table": boards.table(found, choice=choice),
            "choice": choice,
            "sibling_phases": pages.phase_menu(phase.challenge),
            "frequencies": boards.frequencies(phase.challenge),
        },
    )
    response["ETag"] = tag
    patch_cache_control(response, no_cache=True, private=user.is_authenticated)
    return response


@gzip_page
@require_GET
@refusals_as_pages
def over_time(request: HttpRequest, slug: str, phase_slug: str) -> HttpResponse:
    """Answer how a phase's best score moved: a page of its own, or its chart for the board."""
    user: Any = request.user
    phase = pages.phase_by_slug(slug, phase_slug, user=user)
    chart = charts.progress(progress.of_phase(phase, user=user))
    if request.headers.get("HX-Request"):
        return render(request, "web/parts/progress.html", {"chart": chart, "phase": phase})
    return render(
        request,
        "web/progress.html",
        frame(request, phase.challenge, current="leaderboard", phase=phase) | {"chart": chart},
    )


@gzip_page
@require_GET
@refusals_as_pages
def as_csv(request: HttpRequest, slug: str, phase_slug: str) -> HttpResponse:
    """Answer the board as CSV, fractions with a point, cells safe to open in a spreadsheet."""
    user: Any = request.user
    phase = pages.phase_by_slug(slug, phase_slug, user=user)
    found = leaderboard.board(phase, user=user)
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{slug}-{phase_slug}-leaderboard.csv"'
    writer = csv.writer(response)
    keys = [one.key for one in found.classes] if found.terms.classes else []
    writer.writerow(
        ["kind", "rank", "team", "method", "miou", "low", "high", *keys, "submitted_at", "entries"]
    )
    for line in boards.records(found):
        low, high = line["interval"] or (None, None)
        writer.writerow(
            [
                line["kind"],
                _cell(line["rank"]),
                _cell(line["team"]),
                _cell(line["method"]),
                _cell(line["miou"]),
                _cell(low),
                _cell(high),
                *(_cell(line["class_ious"].get(key)) for key in keys),
                _cell(line["submitted_at"]),
                _cell(line["entries"]),
            ]
        )
    return response


@gzip_page
@require_GET
@refusals_as_pages
def as_json(request: HttpRequest, slug: str, phase_slug: str) -> HttpResponse:
    """Answer the board as JSON."""
    user: Any = request.user
    phase = pages.phase_by_slug(slug, phase_slug, user=user)
    found = leaderboard.board(phase, user=user)
    return JsonResponse(
        {
            "phase": f"{slug}/{phase_slug}",
            "visible": found.visible,
            "as_of": found.as_of,
            "classes": [{"key": one.key, "name": one.name} for one in found.classes],
            "lines": boards.records(found),
        },
        json_dumps_params={"ensure_ascii": False},
    )


def _etag(request: HttpRequest, phase: Phase) -> str:
    """Return what changes with anything that the page shows to this viewer.

    The CSRF cookie is in it because the page's forms carry its token; the challenge's own date
    because titles and published results come from its file.
    """
    cookies = request.COOKIES
    seen = "|".join(
        [
            language(),
            getattr(request, "theme", ""),
            cookies.get(TIMEZONE_COOKIE, ""),
            cookies.get("csrftoken", ""),
            request.get_full_path(),
            phase.challenge.updated_at.isoformat(),
            gettext("Leaderboard"),
        ]
    )
    user: Any = request.user
    return quote_etag(f"{leaderboard.etag(phase, user=user)}-{zlib.crc32(seen.encode()):08x}")


def _cell(value: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula."""
    if value is None:
        return ""
    if isinstance(value, str) and value.startswith(CSV_FORMULA_STARTS):
        return "'" + value
    return value
