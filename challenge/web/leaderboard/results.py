"""Final results: the signed lines as a page, one by one, as CSV, and as the signed document."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext

from challenge.errors import refuse
from challenge.models import FinalResult, Phase
from challenge.rules import latex
from challenge.rules.spreadsheet import write_csv
from challenge.selectors import final_results as selector
from challenge.selectors import languages, pages, people
from challenge.services import links
from challenge.services.leaderboard import certificates
from challenge.web.leaderboard.row_html import MARKS
from challenge.web.requests import SignedInRequest, page_view
from challenge.web.views import challenge_context

PAGE_LINES = 100


@page_view("GET", gzip=True)
def page(request: HttpRequest, slug: str, phase_slug: str) -> HttpResponse:
    """Answer a version of a phase's final result, the last by default.

    With ``?rank=last``, then ``?rank=N``, its teams one by one, the lowest rank first.
    """
    phase = pages.phase_by_slug(slug, phase_slug, user=request.user)
    result = selector.get(phase, version=_version(request))
    lines = shown_lines(result.document)
    ranked = [line for line in lines if line["rank"] is not None]
    context = challenge_context(request, phase.challenge, current="leaderboard", phase=phase) | {
        "result": result,
        "versions": selector.versions(phase),
        "classes": result.document["classes"],
        "certificate_team": _certificate_team(request, result),
        "bibtex": _bibtex(result, phase),
        "one_by_one": _one_by_one(ranked, request.GET.get("rank", "")),
        "page_rows": Paginator(lines, PAGE_LINES).get_page(request.GET.get("page", 1)),
    }
    return render(request, "web/result.html", context)


@page_view("GET", gzip=True)
def as_json(request: HttpRequest, slug: str, phase_slug: str) -> HttpResponse:
    """Answer the signed document with its signature and the public key."""
    result = _result(request, slug, phase_slug)
    return JsonResponse(result.signed, json_dumps_params={"ensure_ascii": False})


@page_view("GET", gzip=True)
def as_csv(request: HttpRequest, slug: str, phase_slug: str) -> HttpResponse:
    """Answer the signed lines as CSV: fractions with a point, cells safe in a spreadsheet."""
    result = _result(request, slug, phase_slug)
    document = result.document
    keys = [one["key"] for one in document["classes"]]
    text = write_csv(
        [
            *("rank", "tied", "kind", "team", "affiliation", "method", "miou", "low", "high"),
            *keys,
            *("overall_accuracy", "submission", "submitted_at", "archive_sha256"),
        ],
        [
            [
                *(line["rank"], int(line["tied"]), line["kind"], line["team"]),
                *(line["affiliation"], line["method"], line["miou"], line["low"], line["high"]),
                *(line["class_ious"].get(key) for key in keys),
                *(line["overall_accuracy"], line["submission"], line["submitted_at"]),
                line["archive_sha256"],
            ]
            for line in document["lines"]
        ],
    )
    response = HttpResponse(text, content_type="text/csv; charset=utf-8")
    name = f"{slug}-{phase_slug}-result-v{result.version}.csv"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


@page_view("GET", sign_in=True, cache=False)
def certificate(request: SignedInRequest, slug: str, phase_slug: str, pk: int) -> HttpResponse:
    """Answer a team's certificate as a PDF, to its members and to organisers."""
    phase = pages.phase_by_slug(slug, phase_slug, user=request.user)
    language = request.GET.get("language", "") or translation.get_language() or "en"
    pdf = certificates.of_team(phase, user=request.user, team_id=pk, language=language)
    response = HttpResponse(pdf, content_type="application/pdf")
    name = f"{slug}-{phase_slug}-{pk}-{language}.pdf"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["X-Content-Type-Options"] = "nosniff"
    return response


def shown_lines(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a document's lines with what a template needs: marks in words, IoUs in order."""
    keys = [one["key"] for one in document["classes"]]
    return [
        line
        | {
            "mark_texts": [MARKS[mark] for mark in line["marks"] if mark in MARKS],
            "ious": [line["class_ious"].get(key) for key in keys] if line["class_ious"] else [],
        }
        for line in document["lines"]
    ]


def _bibtex(result: FinalResult, phase: Phase) -> str:
    """Return how a paper cites this version; the link shows it for good."""
    challenge = phase.challenge
    words = {
        "challenge": languages.text_in(
            challenge.title, languages.current(), default=challenge.slug
        ),
        "phase": languages.text_in(phase.name, languages.current(), default=phase.slug),
        "version": result.version,
    }
    url = links.absolute(reverse("web:result", args=[challenge.slug, phase.slug]))
    return latex.bibtex(
        key=f"{challenge.slug}-{phase.slug}-result-{result.version}",
        title=gettext("%(challenge)s, %(phase)s: final result, version %(version)s") % words,
        author=challenge.facts.get("organiser") or settings.ORGANISATION_NAME,
        on=result.signed_at.date(),
        url=f"{url}?version={result.version}",
        note=f"Ed25519: {result.signature}",
    )


def _certificate_team(request: HttpRequest, result: FinalResult) -> int | None:
    """Return the viewer's team where it has a certificate: a ranked line in the last version."""
    if result.version != result.phase.result_version:
        return None
    team_id = people.team_id_in(request.user, result.phase)
    return team_id if team_id in selector.ranked_lines(result) else None


def _result(request: HttpRequest, slug: str, phase_slug: str) -> FinalResult:
    phase = pages.phase_by_slug(slug, phase_slug, user=request.user)
    return selector.get(phase, version=_version(request))


def _version(request: HttpRequest) -> int | None:
    text = request.GET.get("version", "")
    if not text:
        return None
    if not text.isdecimal() or len(text) > 4 or int(text) == 0:
        raise refuse("not-found")
    return int(text)


def _one_by_one(ranked: list[dict[str, Any]], wanted: str) -> dict[str, Any] | None:
    """Return the team to show now, those below it, and which comes next; None: no one by one.

    A team is meant by its position, since teams may share a rank.
    """
    if not wanted or not ranked:
        return None
    position = len(ranked)
    if wanted.isdecimal() and len(wanted) < 7 and 0 < int(wanted) <= len(ranked):
        position = int(wanted)
    return {
        "line": ranked[position - 1],
        "below": ranked[position : position + PAGE_LINES],
        "next": position - 1 or None,
    }
