"""A challenge's dates as a calendar that programs subscribe to (iCalendar, RFC 5545)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext

from challenge.models import Challenge, Phase
from challenge.selectors import languages, pages
from challenge.services import links
from challenge.web.requests import page_view

LINE_BYTES = 75


@page_view("GET", "HEAD")
def dates(request: HttpRequest, slug: str) -> HttpResponse:
    """Answer when each phase that the reader may see opens and closes, in their language."""
    challenge = pages.challenge_by_slug(slug, user=request.user)
    shown = [status.phase for status in pages.phase_statuses(challenge, user=request.user)]
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//FLAIR//challenges//EN"]
    for phase in shown:
        lines += _events(challenge, phase)
    lines.append("END:VCALENDAR")
    text = "".join(f"{folded}\r\n" for line in lines for folded in _fold(line))
    response = HttpResponse(text, content_type="text/calendar; charset=utf-8")
    response["Content-Disposition"] = f'inline; filename="{slug}.ics"'
    return response


def _events(challenge: Challenge, phase: Phase) -> list[str]:
    language = languages.current()
    names = {
        "challenge": languages.text_in(challenge.title, language, default=challenge.slug),
        "phase": languages.text_in(phase.name, language, default=phase.slug),
    }
    lines = []
    for what, at, words in (
        ("opens", phase.opens_at, gettext("%(challenge)s: the phase “%(phase)s” opens")),
        ("closes", phase.closes_at, gettext("%(challenge)s: the phase “%(phase)s” closes")),
    ):
        if at is None:
            continue
        page = links.absolute(reverse("web:leaderboard", args=[challenge.slug, phase.slug]))
        lines += [
            "BEGIN:VEVENT",
            f"UID:{what}-{phase.pk}@{links.named_site().domain}",
            f"DTSTAMP:{_utc(challenge.updated_at)}",
            f"DTSTART:{_utc(at)}",
            f"DTEND:{_utc(at)}",
            f"SUMMARY:{_escape(words % names)}",
            f"URL:{page}",
            "END:VEVENT",
        ]
    return lines


def _utc(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def _escape(text: str) -> str:
    for sign in ("\\", ";", ","):
        text = text.replace(sign, "\\" + sign)
    return text.replace("\r", "").replace("\n", "\\n")


def _fold(line: str) -> Iterator[str]:
    """Yield a line in pieces of at most 75 bytes, the later ones after a space."""
    piece = ""
    for sign in line:
        if len((piece + sign).encode()) > LINE_BYTES:
            yield piece
            piece = " "
        piece += sign
    yield piece
