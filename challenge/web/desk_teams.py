"""The desk's pages of teams: who is in them, what they sent, disqualified and reinstated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext

from challenge.errors import NotAllowed, Refusal, refuse
from challenge.models import Challenge, Grant, Phase, Submission, Team
from challenge.rules.roles import Act
from challenge.selectors import desk_teams as selector
from challenge.selectors import roles
from challenge.services.submissions import disqualifications as submission_disqualifications
from challenge.services.teams import disqualifications, grants
from challenge.web import desk, zone_text
from challenge.web.people_forms import GrantForm, ReasonForm
from challenge.web.requests import SignedInRequest, page_view
from challenge.web.views import challenge_context

SEARCH_CHARACTERS = 100


@page_view("GET", sign_in=True, cache=False)
def teams(request: SignedInRequest, slug: str) -> HttpResponse:
    """Answer the teams, searched and filtered, fifty a page."""
    challenge = desk.challenge_of(request, slug)
    search = request.GET.get("q", "").strip()[:SEARCH_CHARACTERS]
    only = request.GET.get("only", "")
    page = selector.page(challenge, search=search, only=only, number=request.GET.get("page", 1))
    context = challenge_context(request, challenge, current="desk-people")
    context |= {"page_rows": page, "search": search, "only": only}
    return render(request, "web/desk_teams.html", context)


@page_view("GET", sign_in=True, cache=False)
def team(request: SignedInRequest, slug: str, pk: int) -> HttpResponse:
    """Answer one team: members, submissions, disqualifications."""
    return _page(request, selector.get(desk.challenge_of(request, slug), pk))


def _page(
    request: SignedInRequest, team: Team, *, refused: GrantForm | None = None, status: int = 200
) -> HttpResponse:
    """Answer a team's page; ``refused`` is a grant's form with what was typed and what is wrong."""
    challenge = team.challenge
    context = challenge_context(request, challenge, current="desk-people") | {
        "desk": selector.desk(team, user=request.user),
        "may_judge": roles.may(request.user, Act.VERDICTS, challenge),
        "may_grant": roles.may(request.user, Act.PEOPLE, challenge),
        "now": timezone.now(),
        "reason_form": ReasonForm(auto_id="team-%s"),
        "grant_form": refused or _grant_form(team),
        "grant_refused": refused is not None,
    }
    return render(request, "web/desk_team.html", context, status=status)


def _grant_form(team: Team, data: Any = None) -> GrantForm:
    return GrantForm(
        data,
        phases=_phases(team.challenge),
        zone=zone_text.zone_of(team.challenge),
        auto_id="grant-%s",
    )


def _phases(challenge: Challenge) -> list[Phase]:
    return list(challenge.phases.defer("public_patches").order_by("sort_order", "opens_at"))


@page_view("POST", sign_in=True)
def act(request: SignedInRequest, slug: str, pk: int, act: str) -> HttpResponse:
    """Do one of the acts of a team's page and go back to it; a refusal is told there."""
    challenge = desk.challenge_of(request, slug)
    found = selector.get(challenge, pk)
    if act == "grant":
        return _grant(request, found)
    if act not in ACTS:
        raise refuse("not-found")
    try:
        messages.success(request, ACTS[act](request, found))
    except NotAllowed:
        raise
    except Refusal as refusal:
        messages.error(request, str(refusal))
    return redirect("web:desk-team", slug, pk)


def _disqualify(request: SignedInRequest, team: Team) -> str:
    disqualifications.disqualify(team=team, actor=request.user, reason=_reason(request))
    return gettext("%(team)s is disqualified; its members are mailed.") % {"team": team.name}


def _reinstate(request: SignedInRequest, team: Team) -> str:
    disqualifications.lift(team=team, actor=request.user, reason=_reason(request))
    return gettext("%(team)s competes again; its members are mailed.") % {"team": team.name}


def _disqualify_submission(request: SignedInRequest, team: Team) -> str:
    submission = _submission(request, team)
    submission_disqualifications.disqualify(
        submission=submission, actor=request.user, reason=_reason(request)
    )
    return gettext("Submission %(number)s is disqualified; the team is mailed.") % {
        "number": submission.number
    }


def _reinstate_submission(request: SignedInRequest, team: Team) -> str:
    submission = _submission(request, team)
    submission_disqualifications.reinstate(
        submission=submission, actor=request.user, reason=_reason(request)
    )
    return gettext("Submission %(number)s counts again; the team is mailed.") % {
        "number": submission.number
    }


def _grant(request: SignedInRequest, team: Team) -> HttpResponse:
    """Grant what the form asks for; a refusal keeps what was typed."""
    form = _grant_form(team, request.POST)
    if not form.is_valid():
        return _page(request, team, refused=form, status=422)
    given = form.cleaned_data
    phases = {phase.slug: phase for phase in _phases(team.challenge)}
    try:
        grants.give(
            team=team,
            phase=phases[given["phase"]],
            actor=request.user,
            until=given["until"],
            reason=given["reason"],
            late=given["late"],
            extra_places=given["extra_places"] or 0,
        )
    except NotAllowed:
        raise
    except Refusal as refusal:
        form.add_error(None, str(refusal))
        return _page(request, team, refused=form, status=refusal.status)
    messages.success(request, gettext("Granted; the team is mailed."))
    return redirect("web:desk-team", team.challenge.slug, team.pk)


def _withdraw_grant(request: SignedInRequest, team: Team) -> str:
    number = request.POST.get("grant", "")
    rows = Grant.objects.select_related("phase__challenge").filter(team=team)
    found = rows.filter(pk=int(number)).first() if _is_number(number) else None
    if found is None:
        raise refuse("not-found")
    grants.withdraw(grant=found, actor=request.user)
    return gettext("The grant is withdrawn.")


def _is_number(text: str) -> bool:
    return text.isdecimal() and len(text) < 18


def _submission(request: SignedInRequest, team: Team) -> Submission:
    phase, _dot, number = request.POST.get("submission", "").partition(".")
    found = None
    if phase and number.isdecimal() and len(number) < 10:
        rows = Submission.objects.filter(entry__team=team, entry__phase__slug=phase)
        found = (
            rows.select_related("entry__team__challenge", "entry__phase__challenge")
            .filter(number=int(number))
            .first()
        )
    if found is None:
        raise refuse("not-found")
    return found


def _reason(request: SignedInRequest) -> str:
    form = ReasonForm(request.POST)
    if not form.is_valid():
        raise refuse("field-too-long", field="reason", **form.lengths())
    reason: str = form.cleaned_data["reason"]
    return reason


ACTS: dict[str, Callable[[SignedInRequest, Team], str]] = {
    "disqualify": _disqualify,
    "reinstate": _reinstate,
    "disqualify-submission": _disqualify_submission,
    "reinstate-submission": _reinstate_submission,
    "withdraw-grant": _withdraw_grant,
}
