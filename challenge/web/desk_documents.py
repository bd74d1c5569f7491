"""The desk's page of winners' documents: who was asked, what came, the verdict, who is next."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from challenge.errors import NotAllowed, Refusal, refuse
from challenge.models import DocumentRequest, Phase
from challenge.rules.roles import Act
from challenge.selectors import documents as selector
from challenge.selectors import pages, roles
from challenge.services.teams import winner_documents as service
from challenge.web import desk, zone_text
from challenge.web.requests import SignedInRequest, page_view
from challenge.web.views import challenge_context
from challenge.web.zone_time_form import ZoneTimes, time_field

NEXT_SHOWN = 5


class _Deadline(ZoneTimes):
    """A time until which something is to come, on the challenge's clocks."""

    def __init__(self, data: Any = None, *, zone: ZoneInfo) -> None:
        super().__init__(data)
        self.zone = zone
        self.fields["deadline"].help_text = self.zone_help()

    def clean(self) -> dict[str, Any]:
        """Read the time on the challenge's clocks."""
        cleaned = super().clean() or {}
        if "deadline" in cleaned:
            cleaned["deadline"] = self.moment("deadline", cleaned["deadline"])
        return cleaned


class AskForm(_Deadline):
    """How many teams are asked, for what, and until when."""

    count = forms.IntegerField(
        label=_("How many teams, the next in line first"),
        initial=3,
        min_value=1,
        max_value=service.MOST_TEAMS,
    )
    wanted = forms.CharField(
        label=_("What they must send"),
        max_length=service.WANTED_CHARACTERS,
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text=_("It is mailed as it stands: write it in a language that all of them read."),
    )
    deadline = time_field(_("Until"), required=True)


class DeadlineForm(_Deadline):
    """Another deadline for one team."""

    deadline = time_field(_("Until"), required=True)


@page_view("GET", "POST", sign_in=True, cache=False)
def documents(request: SignedInRequest, slug: str, phase_slug: str) -> HttpResponse:
    """Show what winners were asked for and what came; ask, accept, refuse, extend."""
    challenge = desk.challenge_of(request, slug)
    phase = pages.phase_by_slug(slug, phase_slug, user=request.user)
    zone, now = zone_text.zone_of(challenge), timezone.now()
    form, status = AskForm(zone=zone), 200
    if request.method == "POST":
        roles.require(request.user, Act.FINALS, challenge)
        form = AskForm(request.POST, zone=zone) if request.POST.get("act") == "ask" else form
        try:
            if (told := _act(request, phase, form)) is not None:
                messages.success(request, told)
                return redirect("web:desk-documents", slug, phase_slug)
            status = 422
        except NotAllowed:
            raise
        except Refusal as refusal:
            if not form.is_bound:
                messages.error(request, str(refusal))
                return redirect("web:desk-documents", slug, phase_slug)
            form.add_error(None, str(refusal))
            status = refusal.status
    rows = selector.of_phase(phase)
    context = challenge_context(request, challenge, current="desk") | {
        "shown": phase,
        "requests": [
            {"row": row, "deadline": zone_text.both(row.deadline, zone), "late": row.deadline < now}
            for row in rows
        ],
        "next": selector.next_lines(phase, count=NEXT_SHOWN),
        "ready": phase.settlement_recorded and not phase.awaits_reveal,
        "form": form,
        "zone_help": form.zone_help(),
        "may_judge": roles.may(request.user, Act.FINALS, challenge),
        "may_download": roles.may(request.user, Act.ARCHIVES, challenge),
    }
    return render(request, "web/desk_documents.html", context, status=status)


def _act(request: SignedInRequest, phase: Phase, form: AskForm) -> str | None:
    """Do what the form asks for and say so; None: the form has mistakes."""
    if request.POST.get("act") == "ask":
        if not form.is_valid():
            return None
        made = service.ask(phase=phase, actor=request.user, **form.cleaned_data)
        return gettext("Asked and mailed: %(teams)s.") % {
            "teams": ", ".join(one.team.name for one in made)
        }
    row = _row(request, phase)
    if request.POST.get("act") == "extend":
        deadline = DeadlineForm(request.POST, zone=zone_text.zone_of(phase.challenge))
        if not deadline.is_valid():
            raise refuse("documents-deadline-invalid")
        service.extend(row=row, actor=request.user, deadline=deadline.cleaned_data["deadline"])
        return gettext("The team has another deadline and is mailed.")
    accept = request.POST.get("act") == "accept"
    service.decide(
        row=row, actor=request.user, accept=accept, reason=request.POST.get("reason", "")
    )
    return gettext("Accepted.") if accept else gettext("Refused; the team is mailed.")


def _row(request: SignedInRequest, phase: Phase) -> DocumentRequest:
    number = request.POST.get("request", "")
    rows = phase.document_requests.select_related("team", "phase__challenge")
    found: Any = None
    if number.isascii() and number.isdigit() and len(number) < 10:
        found = rows.filter(pk=int(number)).first()
    if found is None or request.POST.get("act") not in {"extend", "accept", "refuse"}:
        raise refuse("not-found")
    row: DocumentRequest = found
    return row
