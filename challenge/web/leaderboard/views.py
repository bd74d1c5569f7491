"""The leaderboard: page, CSV and JSON, and how the best score moved."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.cache import get_conditional_response, patch_cache_control
from django.utils.http import quote_etag
from pydantic import TypeAdapter

from challenge.models import Phase
from challenge.rules.spreadsheet import write_csv
from challenge.selectors import (
    first_steps,
    languages,
    leaderboard,
    pages,
    people,
    phase_disclosure,
    phases,
    progress,
    rank_history,
)
from challenge.selectors.leaderboard import Row
from challenge.selectors.roles import Person
from challenge.web import charts, rank_charts
from challenge.web.challenges.facts import domain_names
from challenge.web.leaderboard import row_html, table
from challenge.web.requests import page_view
from challenge.web.views import challenge_context

JSON_TEXT = TypeAdapter(str)


@page_view("GET", gzip=True)
def page(request: HttpRequest, slug: str, phase_slug: str) -> HttpResponse:
    """Answer a phase's leaderboard; four queries at most, none but the phase's when unchanged."""
    user = request.user
    phase = pages.phase_by_slug(slug, phase_slug, user=user)
    awaits_settlement = phase_disclosure.awaits_settlement(phase)
    freezes_later = phase_disclosure.freezes_later(phase)
    status = pages.phase_status(phase, timezone.now())
    waits = (awaits_settlement, freezes_later, status.window, status.waits_for_labels)
    tag = _etag(request, phase, waits=waits)
    unchanged = get_conditional_response(request, etag=tag)
    if unchanged is not None and not request.session.get("_messages"):
        return unchanged
    options = table.Options.from_query(
        request.GET, keys=[shown_class.key for shown_class in leaderboard.classes_of(phase)]
    )
    rendered = _table(phase, user=user, options=options)
    response = render(
        request,
        "web/leaderboard.html",
        challenge_context(request, phase.challenge, current="leaderboard", phase=phase)
        | {
            "table": rendered,
            "rows": row_html.personalised(rendered.rows, my_team_id=people.team_id_in(user, phase)),
            "options": options,
            "sibling_phases": pages.phase_menu(phase.challenge),
            "split": phases.zone_split(phase),
            "awaits_settlement": awaits_settlement,
            "freezes_later": freezes_later,
            "own_row": leaderboard.own_row(phase, user=user),
            "kit": first_steps.kit_of(phase) if _invites(rendered) else None,
            "status": status,
        },
    )
    response["ETag"] = tag
    _set_cache_control(response, user)
    return response


@page_view("GET", gzip=True)
def over_time(request: HttpRequest, slug: str, phase_slug: str) -> HttpResponse:
    """Answer how the best score and the ranks moved, or the best score's chart for the board."""
    user = request.user
    phase = pages.phase_by_slug(slug, phase_slug, user=user)
    drawn = {
        "chart": charts.progress(progress.of_phase(phase, user=user)),
        "sees_all": people.is_organiser(user, phase.challenge),
        "phase": phase,
    }
    if request.headers.get("HX-Request"):
        return render(request, "web/parts/progress.html", drawn)
    ranked = rank_history.of_phase(phase, user=user)
    return render(
        request,
        "web/progress.html",
        challenge_context(request, phase.challenge, current="leaderboard", phase=phase)
        | drawn
        | {"ranks": rank_charts.draw(ranked, until=phase.ranked_at)},
    )


@page_view("GET", gzip=True)
def as_csv(request: HttpRequest, slug: str, phase_slug: str) -> HttpResponse:
    """Answer the leaderboard as CSV: fractions with a point, cells safe in a spreadsheet."""
    user = request.user
    phase = pages.phase_by_slug(slug, phase_slug, user=user)
    board = leaderboard.of_phase(phase, user=user)
    keys = [shown_class.key for shown_class in board.classes] if board.policy.classes else []
    public = ("public_rank", "public_miou") if board.is_revealed else ()
    text = write_csv(
        [
            *("kind", "rank", "team", "method", "miou", "low", "high"),
            *keys,
            *(f"miou_{domain}" for domain in board.domains),
            *("submitted_at", "entries"),
            *public,
        ],
        [
            [
                *(row.kind, row.rank, row.name, row_html.method_text(row), row.miou),
                *(row.interval or (None, None)),
                *(row.class_ious.get(key) for key in keys),
                *(row.domain_mious or [None] * len(board.domains)),
                *(row.created_at.isoformat() if row.created_at else None, row.submission_count),
                *(getattr(row, name) for name in public),
            ]
            for row in board.best_first()
        ],
    )
    response = HttpResponse(text, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{slug}-{phase_slug}-leaderboard.csv"'
    return response


@page_view("GET", gzip=True)
def as_json(request: HttpRequest, slug: str, phase_slug: str) -> HttpResponse:
    """Answer the leaderboard as JSON; other weightings on the page start from it."""
    user = request.user
    phase = pages.phase_by_slug(slug, phase_slug, user=user)
    tag = _tag(leaderboard.etag(phase, user=user))
    unchanged = get_conditional_response(request, etag=tag)
    if unchanged is not None:
        return unchanged
    key = f"{leaderboard.state(phase, user=user)}-json-{languages.current()}"
    text = leaderboard.cached(key, lambda: _json(phase, user=user), kind=JSON_TEXT)
    response = HttpResponse(text, content_type="application/json")
    response["ETag"] = tag
    _set_cache_control(response, user)
    return response


def _json(phase: Phase, *, user: Person) -> str:
    """Return all rows with their values; the same for all who see them under one policy."""
    board = leaderboard.of_phase(phase, user=user)
    names = domain_names(phase.challenge.facts)
    letters = row_html.letters_of_groups(board.rows)
    return json.dumps(
        {
            "phase": f"{phase.challenge.slug}/{phase.slug}",
            "visible": board.visible,
            "as_of": board.as_of,
            "classes": [
                {"key": shown_class.key, "name": shown_class.name} for shown_class in board.classes
            ],
            "domains": [
                {"id": domain, "name": names.get(domain, domain)} for domain in board.domains
            ],
            "lines": [
                _json_row(row, domains=len(board.domains), letters=letters)
                for row in board.best_first()
            ],
        },
        ensure_ascii=False,
        separators=(",", ":"),
        cls=DjangoJSONEncoder,
    )


def _json_row(row: Row, *, domains: int, letters: Mapping[int, str]) -> dict[str, Any]:
    return {
        "kind": row.kind,
        "rank": row.rank,
        "team": row.name,
        "method": row_html.method_text(row),
        "miou": row.miou,
        "interval": row.interval,
        "class_ious": row.class_ious,
        "group": letters.get(row.group) if row.tied else None,
        "submitted_at": row.created_at.isoformat() if row.created_at else None,
        "entries": row.submission_count,
        "line": row.key or None,
        "domain_mious": row.domain_mious or [None] * domains,
        "public_rank": row.public_rank,
        "public_miou": row.public_miou,
    }


def _table(phase: Phase, *, user: Person, options: table.Options) -> table.Table:
    """Return one page of the table, printed once for all who see it under one policy."""

    def build() -> table.Table:
        return table.build(leaderboard.of_phase(phase, user=user), options=options)

    if not options.cacheable:
        return build()
    state = leaderboard.state(phase, user=user)
    return leaderboard.cached(
        f"{state}-table-{table.SHAPE}-{languages.current()}-{options.link(page=options.page)}",
        build,
        kind=table.TABLE,
    )


def _invites(shown: table.Table) -> bool:
    """Say whether nobody is ranked, so that the page invites to be the first."""
    return shown.visible and shown.teams == 0


def _set_cache_control(response: HttpResponse, user: Person) -> None:
    patch_cache_control(response, no_cache=True)
    if user is not None and user.is_authenticated:
        patch_cache_control(response, private=True)  # False would be sent, as private=False


def _etag(request: HttpRequest, phase: Phase, *, waits: tuple[object, ...]) -> str:
    """Return what changes with anything on the page: the table, the look, the forms' token."""
    return _tag(
        leaderboard.etag(phase, user=request.user),
        str(waits),
        timezone.get_current_timezone_name(),
        request.get_full_path(),
        getattr(request, "theme", ""),
        request.COOKIES.get("csrftoken", ""),
    )


def _tag(*parts: str) -> str:
    """Return an ETag of what the answer depends on, in the page's language."""
    seen = "|".join([languages.current(), *parts])
    return quote_etag(hashlib.sha256(seen.encode()).hexdigest()[:32])
