"""The desk's page of the trail, and the trail as CSV."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from typing import Any

from django import forms
from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.utils.translation import gettext_lazy as _

from challenge.models import Challenge
from challenge.rules.roles import Act
from challenge.rules.spreadsheet import csv_lines
from challenge.selectors import roles
from challenge.selectors import trail as selector
from challenge.selectors.trail import Filter
from challenge.services import audit
from challenge.web import desk, trail_words, zone_text
from challenge.web.requests import SignedInRequest, page_view
from challenge.web.views import challenge_context

CHARACTERS = 150


class TrailForm(forms.Form):
    """What to look for in the trail; days are those of the challenge's clocks."""

    act = forms.ChoiceField(label=_("Act"), required=False)
    person = forms.CharField(label=_("Person"), required=False, max_length=CHARACTERS)
    team = forms.CharField(label=_("Team"), required=False, max_length=CHARACTERS)
    submission = forms.UUIDField(label=_("Submission (id)"), required=False)
    since = forms.DateField(
        label=_("From"), required=False, widget=forms.DateInput(attrs={"type": "date"})
    )
    until = forms.DateField(
        label=_("To"), required=False, widget=forms.DateInput(attrs={"type": "date"})
    )

    def __init__(self, *args: Any, challenge: Challenge, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._zone = zone_text.zone_of(challenge)
        self.fields["act"].choices = [  # type: ignore[attr-defined]
            ("", _("any act")),
            *sorted(
                ((act, trail_words.words(act)) for act in selector.acts(challenge)),
                key=lambda choice: choice[1].casefold(),
            ),
        ]

    def wanted(self) -> Filter:
        """Return what valid fields ask for; a field with a mistake finds everything."""
        given = self.cleaned_data
        since, until = given.get("since"), given.get("until")
        return Filter(
            act=given.get("act") or "",
            person=given.get("person") or "",
            team=given.get("team") or "",
            submission=str(given.get("submission") or ""),
            since=datetime.combine(since, time(), tzinfo=self._zone) if since else None,
            until=datetime.combine(until + timedelta(days=1), time(), tzinfo=self._zone)
            if until
            else None,
        )


@page_view("GET", sign_in=True, cache=False)
def trail(request: SignedInRequest, slug: str) -> HttpResponse:
    """Answer what was done here by people with power, fifty a page; names people."""
    challenge = desk.challenge_of(request, slug)
    roles.require(request.user, Act.PEOPLE, challenge)
    form = TrailForm(request.GET, challenge=challenge)
    valid = form.is_valid()
    page = selector.page(challenge, form.wanted(), number=request.GET.get("page", 1))
    query = request.GET.copy()
    query.pop("page", None)
    context = challenge_context(request, challenge, current="desk") | {
        "form": form,
        "page_rows": page,
        "lines": [
            {
                "event": event,
                "act": trail_words.words(event.action),
                "data": selector.data_text(event),
            }
            for event in page.object_list
        ],
        "query": query.urlencode(),
    }
    return render(request, "web/desk_trail.html", context, status=200 if valid else 422)


@page_view("GET", sign_in=True, cache=False)
def trail_csv(request: SignedInRequest, slug: str) -> StreamingHttpResponse:
    """Answer the same as CSV, line by line; that it was taken stands in the trail, too."""
    challenge = desk.challenge_of(request, slug)
    roles.require(request.user, Act.PEOPLE, challenge)
    form = TrailForm(request.GET, challenge=challenge)
    form.is_valid()
    wanted = form.wanted()
    audit.record("trail.export", actor=request.user, challenge=challenge, target=challenge.slug)
    header = ["at", "who", "act", "what", "data"]
    response = StreamingHttpResponse(
        csv_lines(header, _rows(challenge, wanted)), content_type="text/csv; charset=utf-8"
    )
    response["Content-Disposition"] = f'attachment; filename="{slug}-trail.csv"'
    response["X-Content-Type-Options"] = "nosniff"
    return response


def _rows(challenge: Challenge, wanted: Filter) -> Iterator[list[object]]:
    for event in selector.events(challenge, wanted).iterator(chunk_size=500):
        yield [
            f"{event.at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
            event.actor.username if event.actor else "",
            event.action,
            event.target,
            selector.data_text(event),
        ]
