"""Teams: the public page, the members' own page, invitations, merges."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext

from challenge.errors import Refusal, refuse
from challenge.models import Invitation, Membership, MergeRequest, Team, User
from challenge.selectors import disqualifications, documents, pages, people, team_pages
from challenge.selectors import teams as selector
from challenge.selectors.team_pages import TeamPage
from challenge.services import invitations, links
from challenge.services.teams import merges
from challenge.services.teams import teams as service
from challenge.web import charts, desk, rank_charts
from challenge.web.forms import InviteForm, ShownForm, TeamForm
from challenge.web.requests import SignedInRequest, page_view
from challenge.web.views import challenge_context

LINK_KEY = "invitation-link"


@page_view("GET")
def team(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Answer a team's public page: what the team shows of itself, in each phase."""
    user = request.user
    challenge = pages.challenge_by_slug(slug, user=user)
    team_shown = selector.get(pk, challenge=challenge)
    context = challenge_context(request, challenge, current="leaderboard")
    phases = [line.phase for line in context["phase_statuses"]]
    for phase in phases:
        phase.challenge = challenge
    shown = team_pages.of_team(team_shown, phases=phases, user=user)
    return render(request, "web/team.html", context | {"shown": shown, "drawn": _drawn(shown)})


@page_view("GET")
def person(request: HttpRequest, pk: int) -> HttpResponse:
    """Answer a person's public page: their teams, where both the person and the team show it."""
    shown = team_pages.of_person(pk, user=request.user)
    return render(
        request,
        "web/person.html",
        {"shown": shown, "drawn": [(page, _drawn(page)) for page in shown.pages]},
    )


def _drawn(shown: TeamPage) -> list[dict[str, Any]]:
    """Return a team's phases with their charts."""
    return [
        {
            "standing": standing,
            "chart": charts.steps(standing.steps),
            "ranks": rank_charts.draw([standing.ranks]) if standing.ranks else None,
        }
        for standing in shown.standings
    ]


@page_view("GET", sign_in=True, cache=False)
def manage(request: SignedInRequest, slug: str) -> HttpResponse:
    """Answer the team's own page: name, members, invitations, merges."""
    user = request.user
    challenge = pages.challenge_by_slug(slug, user=user)
    membership = people.membership_of(user, challenge)
    if membership is None:
        return redirect("web:join", slug)
    own = membership.team
    return render(
        request,
        "web/team_manage.html",
        challenge_context(request, challenge, current="team")
        | {
            "team": own,
            "captain": membership.role == Membership.Role.CAPTAIN,
            "members": list(own.memberships.select_related("user").order_by("joined_at")),
            "form": TeamForm(instance=own),
            "shown_form": ShownForm(instance=own),
            "invite_form": InviteForm(),
            "link": request.session.pop(LINK_KEY, ""),
            "invitations": selector.open_invitations(own),
            "merge_requests": selector.open_merge_requests(own),
            "disqualification": disqualifications.of_team(own),
            "document_requests": documents.of_team(own),
            "has_submitted": selector.has_submitted(own),
            "others": Team.objects.filter(
                challenge=challenge, merged_into__isnull=True, is_platform=False
            ).exclude(pk=own.pk),
        },
    )


@page_view("POST", sign_in=True)
def act(request: SignedInRequest, slug: str, act: str) -> HttpResponse:
    """Do one of the acts of the team's own page and go back to it; a refusal is told there."""
    user = request.user
    challenge = pages.challenge_by_slug(slug, user=user)
    membership = people.membership_of(user, challenge)
    if membership is None or act not in ACTS:
        raise refuse("not-found")
    try:
        confirmation = ACTS[act](request, membership)
    except Refusal as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, confirmation)
    return redirect("web:team-manage", slug)


@page_view("GET", "POST", cache=False)
def invitation(request: HttpRequest, token: str) -> HttpResponse:
    """Show an invitation to whoever has its link; who signed in joins its team by accepting it."""
    user = request.user
    invited = invitations.find(token)
    if invited.team is None:
        return desk.invitation(request, invited, token=token)
    challenge = invited.team.challenge
    if request.method == "POST":
        if not isinstance(user, User):
            return redirect_to_login(request.path)
        try:
            joined = merges.accept(token=token, user=user)
        except Refusal as refusal:
            messages.error(request, str(refusal))
            if refusal.code == "not-registered":
                return redirect("web:join", challenge.slug)
        else:
            messages.success(
                request, gettext("You are in the team %(name)s now.") % {"name": joined.name}
            )
            return redirect("web:team-manage", challenge.slug)
    return render(
        request,
        "web/invitation.html",
        {
            "invitation": invited,
            "challenge": challenge,
            "registered": isinstance(user, User) and people.is_registered(user, challenge),
        },
    )


def _rename(request: SignedInRequest, membership: Membership) -> str:
    user = request.user
    service.rename(
        team=membership.team,
        actor=user,
        name=request.POST.get("name", ""),
        affiliation=request.POST.get("affiliation", ""),
    )
    return gettext("Saved.")


def _shown(request: SignedInRequest, membership: Membership) -> str:
    service.choose_shown(
        team=membership.team,
        actor=request.user,
        choices={name: name in request.POST for name in service.SHOWN},
    )
    return gettext("Saved.")


def _invite(request: SignedInRequest, membership: Membership) -> str:
    user = request.user
    form = InviteForm(request.POST)
    form.is_valid()
    email = str(form.data.get("email", "")).strip()
    _made, token = merges.invite(team=membership.team, actor=user, email=email)
    if not email:
        link = reverse("web:invitation", args=[token])
        request.session[LINK_KEY] = links.absolute(link)
        return gettext("Here is the link; it is shown this once.")
    return gettext("An invitation was sent to %(email)s.") % {"email": email}


def _revoke(request: SignedInRequest, membership: Membership) -> str:
    user = request.user
    open_invitation = Invitation.objects.filter(
        pk=_number(request, "invitation"), team=membership.team
    ).first()
    if open_invitation is None:
        raise refuse("not-found")
    merges.revoke(invitation=open_invitation, actor=user)
    return gettext("The invitation is withdrawn.")


def _leave(request: SignedInRequest, membership: Membership) -> str:
    user = request.user
    service.leave(team=membership.team, actor=user)
    return gettext("You left the team and are a team of one again.")


def _remove(request: SignedInRequest, membership: Membership) -> str:
    user = request.user
    service.remove_member(team=membership.team, actor=user, user=_member(request, membership))
    return gettext("Removed from the team.")


def _captain(request: SignedInRequest, membership: Membership) -> str:
    user = request.user
    service.transfer_captain(team=membership.team, actor=user, to=_member(request, membership))
    return gettext("The captain's role is handed over.")


def _merge(request: SignedInRequest, membership: Membership) -> str:
    user = request.user
    other = selector.get(_number(request, "team"), challenge=membership.team.challenge)
    merges.ask(from_team=membership.team, to_team=other, actor=user)
    return gettext("Asked. The captain of %(team)s decides.") % {"team": other.name}


def _answer(request: SignedInRequest, membership: Membership) -> str:
    user = request.user
    asked = MergeRequest.objects.filter(
        pk=_number(request, "request"), to_team=membership.team, answered_at__isnull=True
    ).first()
    if asked is None:
        raise refuse("not-found")
    accepted = request.POST.get("accept") == "1"
    merges.answer(request=asked, actor=user, accepted=accepted)
    return gettext("The teams are one now.") if accepted else gettext("Declined.")


def _member(request: SignedInRequest, membership: Membership) -> User:
    membership_of_member = membership.team.memberships.filter(user=_number(request, "user")).first()
    if membership_of_member is None:
        raise refuse("not-a-member")
    member: User = membership_of_member.user
    return member


def _number(request: SignedInRequest, name: str) -> int:
    text = request.POST.get(name, "")
    if not text.isdecimal() or len(text) > 18:
        raise refuse("not-found")
    return int(text)


ACTS: dict[str, Callable[[SignedInRequest, Membership], str]] = {
    "rename": _rename,
    "shown": _shown,
    "invite": _invite,
    "revoke": _revoke,
    "leave": _leave,
    "remove": _remove,
    "captain": _captain,
    "merge": _merge,
    "answer": _answer,
}
