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
from challenge.web import desk
from challenge.web.forms import GrantForm, ReasonForm
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
    challenge = desk.challenge_of(request, slug)
    shown = selector.desk(selector.get(challenge, pk), user=request.user)
    context = challenge_context(request, challenge, current="desk-people")
    context |= _grants(request, shown) | {
        "desk": shown,
        "may_judge": roles.may(request.user, Act.VERDICTS, challenge),
        "reason_form": ReasonForm(auto_id="team-%s"),
    }
    return render(request, "web/desk_team.html", context)


def _grants(request: SignedInRequest, shown: selector.TeamDesk) -> dict[str, Any]:
    challenge, now = shown.team.challenge, timezone.now()
    return {
        "may_grant": roles.may(request.user, Act.PEOPLE, challenge),
        "now": now,
        "grant_form": GrantForm(phases=_phases(challenge), auto_id="grant-%s"),
    }


def _phases(challenge: Challenge) -> list[Phase]:
    return list(challenge.phases.defer("public_patches").order_by("sort_order", "opens_at"))


@page_view("POST", sign_in=True)
def act(request: SignedInRequest, slug: str, pk: int, act: str) -> HttpResponse:
    """Do one of the acts of a team's page and go back to it; a refusal is told there."""
    challenge = desk.challenge_of(request, slug)
    found = selector.get(challenge, pk)
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


def _grant(request: SignedInRequest, team: Team) -> str:
    phases = {phase.slug: phase for phase in _phases(team.challenge)}
    form = GrantForm(request.POST, phases=list(phases.values()))
    if not form.is_valid():
        first = next(iter(form.errors.items()))
        label = form.fields[first[0]].label if first[0] in form.fields else ""
        raise refuse("form-invalid", field=label, problem=str(first[1][0]))
    given = form.cleaned_data
    grants.give(
        team=team,
        phase=phases[given["phase"]],
        actor=request.user,
        until=given["until"],
        reason=given["reason"],
        late=given["late"],
        extra_places=given["extra_places"] or 0,
    )
    return gettext("Granted; the team is mailed.")


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
    "grant": _grant,
    "withdraw-grant": _withdraw_grant,
}
