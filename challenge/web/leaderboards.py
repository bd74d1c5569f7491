"""The leaderboard: page, CSV and JSON, and how the best score moved."""

from __future__ import annotations

import csv
import hashlib
import time
import zlib
from typing import Any

from django.core.cache import cache
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.cache import get_conditional_response, patch_cache_control
from django.utils.http import quote_etag
from django.utils.safestring import SafeString, mark_safe
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_GET

from challenge.models import Phase
from challenge.selectors import leaderboard, pages, people, progress
from challenge.web import boards, charts
from challenge.web.views import frame, language, refusals_as_pages

TABLE_KEPT_S = 600
KEPT_QUERIES = ("", *(f"page={number}" for number in range(1, 10)))
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
    response = render(
        request,
        "web/leaderboard.html",
        frame(request, phase.challenge, current="leaderboard", phase=phase)
        | {
            "table_html": _table(request, phase),
            "sibling_phases": pages.phase_menu(phase.challenge),
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


def _table(request: HttpRequest, phase: Phase) -> SafeString:
    """Return the table as this viewer sees it, printed once per state of the board and look.

    Kept, packed, are the plain address and its next pages, so that nobody fills the cache with
    made-up ones; all who take no part see the same.
    """
    user: Any = request.user
    apart = pages.my_team_id(phase) is not None or people.is_organiser(user, phase.challenge)
    seen = _seen(request, phase, user=user if apart else None)
    key = f"board-{hashlib.sha256(seen.encode()).hexdigest()}"
    plain = request.META["QUERY_STRING"] in KEPT_QUERIES
    packed: bytes | None = cache.get(key) if plain else None
    if packed is not None:
        kept = zlib.decompress(packed).decode()
    else:
        found = leaderboard.board(phase, user=user)
        choice = boards.Choice.of(request.GET, keys=[one.key for one in found.classes])
        context = {
            "board": found,
            "challenge": phase.challenge,
            "phase": phase,
            "table": boards.table(found, choice=choice),
            "choice": choice,
        }
        kept = render_to_string("web/parts/board.html", context, request)
        if plain:
            cache.set(key, zlib.compress(kept.encode(), level=1), TABLE_KEPT_S)
    return mark_safe(kept)


def _seen(request: HttpRequest, phase: Phase, *, user: Any) -> str:
    """Return what changes with anything that the table shows to this viewer (None: anybody).

    The challenge's own date is in it because published results come from its file, the ten
    minutes because a team's new name changes no rank.
    """
    return "|".join(
        [
            leaderboard.etag(phase, user=user),
            language(),
            timezone.get_current_timezone_name(),
            request.get_full_path(),
            phase.challenge.updated_at.isoformat(),
            str(int(time.time() // TABLE_KEPT_S)),
        ]
    )


def _etag(request: HttpRequest, phase: Phase) -> str:
    """Return what changes with anything on the page: the table, the theme, the forms' token."""
    look = [getattr(request, "theme", ""), request.COOKIES.get("csrftoken", "")]
    seen = "|".join([_seen(request, phase, user=request.user), *look])
    return quote_etag(hashlib.sha256(seen.encode()).hexdigest()[:32])


def _cell(value: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula."""
    if value is None:
        return ""
    if isinstance(value, str) and value.startswith(CSV_FORMULA_STARTS):
        return "'" + value
    return value
