"""The leaderboard: page, CSV and JSON, and how the best score moved."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable
from typing import Any

from django.core.cache import cache
from django.core.serializers.json import DjangoJSONEncoder
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.cache import get_conditional_response, patch_cache_control
from django.utils.http import quote_etag
from django.utils.safestring import SafeString
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_GET

from challenge.models import Challenge, Phase
from challenge.rules.spreadsheet import write_csv
from challenge.selectors import board_domains, leaderboard, pages, progress
from challenge.web import board_lines, boards, charts, geography
from challenge.web.views import frame, language, refusals_as_pages

TABLE_KEPT_S = 600
KEPT_PAGES = 9


def _say_who_may_keep(response: HttpResponse, user: Any) -> None:
    patch_cache_control(response, no_cache=True)
    if user.is_authenticated:
        patch_cache_control(response, private=True)  # False would be sent, as private=False


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
    _say_who_may_keep(response, user)
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
    keys = [one.key for one in found.classes] if found.terms.classes else []
    by_domain = board_domains.of_board(found)
    text = write_csv(
        [
            *("kind", "rank", "team", "method", "miou", "low", "high"),
            *keys,
            *(f"miou_{domain}" for domain in by_domain.domains),
            *("submitted_at", "entries"),
        ],
        [
            [
                *(line[name] for name in ("kind", "rank", "team", "method", "miou")),
                *(line["interval"] or (None, None)),
                *(line["class_ious"].get(key) for key in keys),
                *boards.domain_mious(line["line"], by_domain),
                *(line[name] for name in ("submitted_at", "entries")),
            ]
            for line in boards.records(found)
        ],
    )
    response = HttpResponse(text, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{slug}-{phase_slug}-leaderboard.csv"'
    return response


@gzip_page
@require_GET
@refusals_as_pages
def as_json(request: HttpRequest, slug: str, phase_slug: str) -> HttpResponse:
    """Answer the board as JSON; other weightings on the page start from it."""
    user: Any = request.user
    phase = pages.phase_by_slug(slug, phase_slug, user=user)
    tag = _tag(leaderboard.etag(phase, user=user), phase.challenge)
    unchanged = get_conditional_response(request, etag=tag)
    if unchanged is not None:
        return unchanged
    as_of = phase.ranked_at.isoformat() if phase.ranked_at else ""
    text = _kept(
        _tag(leaderboard.state(phase, user=user), phase.challenge, "json", as_of),
        lambda: _json(phase, user=user),
    )
    response = HttpResponse(text, content_type="application/json")
    response["ETag"] = tag
    _say_who_may_keep(response, user)
    return response


def _json(phase: Phase, *, user: Any) -> str:
    """Return all lines with their figures; nothing in it hangs on who asks but the terms."""
    found = leaderboard.board(phase, user=user)
    by_domain = board_domains.of_board(found)
    names = geography.domain_names(phase.challenge.facts)
    return json.dumps(
        {
            "phase": f"{phase.challenge.slug}/{phase.slug}",
            "visible": found.visible,
            "as_of": found.as_of,
            "classes": [{"key": one.key, "name": one.name} for one in found.classes],
            "domains": [{"id": one, "name": names.get(one, one)} for one in by_domain.domains],
            "lines": [
                line | {"domain_mious": boards.domain_mious(line["line"], by_domain)}
                for line in boards.records(found)
            ],
        },
        ensure_ascii=False,
        separators=(",", ":"),
        cls=DjangoJSONEncoder,
    )


def _kept(name: str, make: Callable[[], str]) -> str:
    """Return a text that is made once and kept, packed, for some minutes."""
    key = f"board-{name}"
    packed: bytes | None = cache.get(key)
    if packed is not None:
        return zlib.decompress(packed).decode()
    text = make()
    cache.set(key, zlib.compress(text.encode(), level=1), TABLE_KEPT_S)
    return text


def _table(request: HttpRequest, phase: Phase) -> SafeString:
    """Return the table as this viewer sees it; its lines are printed once per state of the board.

    Kept, packed, is one table per language and order for all who see the board under the same
    terms: whose line is whose and the days of the viewer's time zone are filled in after. A search,
    and an order turned around, are not kept, so that nobody fills the cache with made-up ones.
    """
    user: Any = request.user
    keys = [one.key for one in leaderboard.classes_of(phase)]
    choice = boards.Choice.of(request.GET, keys=keys)

    def make() -> str:
        found = leaderboard.board(phase, user=user)
        context = {
            "board": found,
            "challenge": phase.challenge,
            "phase": phase,
            "table": boards.table(found, choice=choice),
            "choice": choice,
        }
        return render_to_string("web/parts/board.html", context)

    usual = choice.ascending == (choice.sort in boards.ASCENDING_FIRST)
    keep = usual and not choice.search and choice.page <= KEPT_PAGES
    name = _tag(leaderboard.state(phase, user=user), phase.challenge, repr(choice))
    kept = _kept(name, make) if keep else make()
    return board_lines.finish(kept, team_id=pages.my_team_id(phase), as_of=phase.ranked_at)


def _etag(request: HttpRequest, phase: Phase) -> str:
    """Return what changes with anything on the page: the table, the look, the forms' token."""
    return _tag(
        leaderboard.etag(phase, user=request.user),
        phase.challenge,
        timezone.get_current_timezone_name(),
        request.get_full_path(),
        getattr(request, "theme", ""),
        request.COOKIES.get("csrftoken", ""),
    )


def _tag(state: str, challenge: Challenge, *more: str) -> str:
    """Return a tag of a board's state in the page's language.

    The challenge's own date is in it because published results come from its file.
    """
    seen = "|".join([state, challenge.updated_at.isoformat(), language(), *more])
    return quote_etag(hashlib.sha256(seen.encode()).hexdigest()[:32])
