"""Teams: the public page, the members' desk, invitations, merges."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.mail import send_mail
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from challenge.errors import Refusal, refuse
from challenge.models import Challenge, Invitation, Membership, MergeRequest, Team, User
from challenge.selectors import leaderboard, pages, people
from challenge.selectors import teams as selector
from challenge.services import team_merges
from challenge.services import teams as service
from challenge.web import charts
from challenge.web.forms import InviteForm, TeamForm
from challenge.web.views import frame, refusals_as_pages

LINK_KEY = "invitation-link"


@require_GET
@refusals_as_pages
def team(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Answer a team's public page: members, rank in each phase, its way up."""
    user: Any = request.user
    challenge = pages.challenge_by_slug(slug, user=user)
    found = selector.get(pk, challenge=challenge)
    context = frame(request, challenge, current="leaderboard")
    standings = []
    for line in context["phase_lines"]:
        steps = selector.progress(found, phase=line.phase, user=user)
        board = leaderboard.board(line.phase, user=user)
        row = next((row for row in board.rows if row.team_id == found.pk), None)
        if steps or row:
            standings.append(
                {"phase": line.phase, "row": row, "steps": steps, "chart": charts.steps(steps)}
            )
    return render(
        request,
        "web/team.html",
        context | {"team": found, "members": selector.members(found), "standings": standings},
    )


@never_cache
@require_GET
@login_required
@refusals_as_pages
def desk(request: HttpRequest, slug: str) -> HttpResponse:
    """Answer the team's own page: name, members, invitations, merges."""
    user: Any = request.user
    challenge = pages.challenge_by_slug(slug, user=user)
    membership = people.membership_of(user, challenge)
    if membership is None:
        return redirect("web:join", slug)
    own = membership.team
    return render(
        request,
        "web/team_desk.html",
        frame(request, challenge, current="team")
        | {
            "team": own,
            "captain": membership.role == Membership.Role.CAPTAIN,
            "members": list(own.memberships.select_related("user").order_by("joined_at")),
            "form": TeamForm(instance=own),
            "invite_form": InviteForm(),
            "link": request.session.pop(LINK_KEY, ""),
            "invitations": selector.open_invitations(own),
            "merge_requests": selector.open_merge_requests(own),
            "has_submitted": selector.has_submitted(own),
            "others": Team.objects.filter(
                challenge=challenge, merged_into__isnull=True, is_platform=False
            ).exclude(pk=own.pk),
        },
    )


@require_POST
@login_required
@refusals_as_pages
def act(request: HttpRequest, slug: str, act: str) -> HttpResponse:
    """Do one of the desk's acts and go back to it; a refusal is told there."""
    user: Any = request.user
    challenge = pages.challenge_by_slug(slug, user=user)
    membership = people.membership_of(user, challenge)
    if membership is None or act not in ACTS:
        raise refuse("not-found")
    try:
        said = ACTS[act](request, membership)
    except Refusal as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, said)
    return redirect("web:team-desk", slug)


@never_cache
@require_http_methods(["GET", "POST"])
@login_required
@refusals_as_pages
def invitation(request: HttpRequest, token: str) -> HttpResponse:
    """Show an invitation; join its team once it is accepted."""
    user: Any = request.user
    found = team_merges.find_invitation(token=token)
    challenge = found.team.challenge
    if request.method == "POST":
        try:
            joined = team_merges.accept(token=token, user=user)
        except Refusal as refusal:
            messages.error(request, str(refusal))
            if refusal.code == "not-registered":
                return redirect("web:join", challenge.slug)
        else:
            messages.success(
                request, gettext("You are in the team %(name)s now.") % {"name": joined.name}
            )
            return redirect("web:team-desk", challenge.slug)
    return render(
        request,
        "web/invitation.html",
        {
            "invitation": found,
            "challenge": challenge,
            "registered": people.is_registered(user, challenge),
        },
    )


def _rename(request: HttpRequest, membership: Membership) -> str:
    user: Any = request.user
    service.rename(
        team=membership.team,
        actor=user,
        name=request.POST.get("name", ""),
        affiliation=request.POST.get("affiliation", ""),
    )
    return gettext("Saved.")


def _invite(request: HttpRequest, membership: Membership) -> str:
    user: Any = request.user
    form = InviteForm(request.POST)
    form.is_valid()
    email = str(form.data.get("email", "")).strip()
    _made, token = team_merges.invite(team=membership.team, actor=user, email=email)
    link = request.build_absolute_uri(reverse("web:invitation", args=[token]))
    if not email:
        request.session[LINK_KEY] = link
        return gettext("Here is the link; it is shown this once.")
    _send(email, link=link, team=membership.team, inviter=user)
    return gettext("An invitation was sent to %(email)s.") % {"email": email}


def _send(email: str, *, link: str, team: Team, inviter: User) -> None:
    challenge: Challenge = team.challenge
    title = str(challenge.title.get("en", challenge.slug))
    send_mail(
        gettext("Join the team %(team)s in %(challenge)s")
        % {"team": team.name, "challenge": title},
        gettext(
            "%(inviter)s invites you to the team %(team)s in the challenge %(challenge)s.\n\n"
            "To accept, open this address and sign in:\n%(link)s\n"
        )
        % {
            "inviter": inviter.username,
            "team": team.name,
            "challenge": title,
            "link": link,
        },
        settings.DEFAULT_FROM_EMAIL,
        [email],
    )


def _revoke(request: HttpRequest, membership: Membership) -> str:
    user: Any = request.user
    found = Invitation.objects.filter(
        pk=_number(request, "invitation"), team=membership.team
    ).first()
    if found is None:
        raise refuse("not-found")
    team_merges.revoke(invitation=found, actor=user)
    return gettext("The invitation is withdrawn.")


def _leave(request: HttpRequest, membership: Membership) -> str:
    user: Any = request.user
    service.leave(team=membership.team, actor=user)
    return gettext("You left the team and are a team of one again.")


def _remove(request: HttpRequest, membership: Membership) -> str:
    user: Any = request.user
    service.remove_member(team=membership.team, actor=user, user=_mate(request, membership))
    return gettext("Removed from the team.")


def _captain(request: HttpRequest, membership: Membership) -> str:
    user: Any = request.user
    service.transfer_captain(team=membership.team, actor=user, to=_mate(request, membership))
    return gettext("The captain's role is handed over.")


def _merge(request: HttpRequest, membership: Membership) -> str:
    user: Any = request.user
    other = selector.get(_number(request, "team"), challenge=membership.team.challenge)
    team_merges.ask(from_team=membership.team, to_team=other, actor=user)
    return gettext("Asked. The captain of %(team)s decides.") % {"team": other.name}


def _answer(request: HttpRequest, membership: Membership) -> str:
    user: Any = request.user
    asked = MergeRequest.objects.filter(
        pk=_number(request, "request"), to_team=membership.team, answered_at__isnull=True
    ).first()
    if asked is None:
        raise refuse("not-found")
    accepted = request.POST.get("accept") == "1"
    team_merges.answer(request=asked, actor=user, accepted=accepted)
    return gettext("The teams are one now.") if accepted else gettext("Declined.")


def _mate(request: HttpRequest, membership: Membership) -> User:
    found = membership.team.memberships.filter(user=_number(request, "user")).first()
    if found is None:
        raise refuse("not-a-member")
    mate: User = found.user
    return mate


def _number(request: HttpRequest, name: str) -> int:
    text = request.POST.get(name, "")
    if not text.isdecimal() or len(text) > 18:
        raise refuse("not-found")
    return int(text)


ACTS: dict[str, Callable[[HttpRequest, Membership], str]] = {
    "rename": _rename,
    "invite": _invite,
    "revoke": _revoke,
    "leave": _leave,
    "remove": _remove,
    "captain": _captain,
    "merge": _merge,
    "answer": _answer,
}
