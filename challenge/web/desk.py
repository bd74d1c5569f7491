"""The desk of a challenge: its people and their roles, and invitations to a role."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext

from challenge.errors import Refusal, refuse
from challenge.models import Challenge, Invitation, User
from challenge.rules.roles import Act, Role
from challenge.selectors import pages
from challenge.selectors import roles as selector
from challenge.services.challenges import roles as service
from challenge.web.people_forms import RoleForm, RoleInvitationForm
from challenge.web.requests import SignedInRequest, page_view
from challenge.web.views import challenge_context


@page_view("GET", sign_in=True, cache=False)
def organised(request: SignedInRequest) -> HttpResponse:
    """Answer the challenges that a person organises, and the ways to a new one."""
    context = {
        "organised": selector.organised_by(request.user),
        "may_create": selector.may_create(request.user),
        "is_operator": selector.is_operator(request.user),
    }
    return render(request, "web/organise.html", context)


@page_view("GET", sign_in=True, cache=False)
def people(request: SignedInRequest, slug: str) -> HttpResponse:
    """Answer who organises the challenge and as what; owners invite, change and revoke there."""
    return _people_page(request, challenge_of(request, slug), RoleInvitationForm())


@page_view("POST", sign_in=True)
def act(request: SignedInRequest, slug: str, act: str) -> HttpResponse:
    """Do one of the acts of the page of roles and go back to it; a refusal is told there."""
    challenge = challenge_of(request, slug)
    if act == "invite":
        return _invite(request, challenge)
    if act not in ACTS:
        raise refuse("not-found")
    try:
        confirmation = ACTS[act](request, challenge)
    except Refusal as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, confirmation)
    if not selector.may(request.user, Act.READ, challenge):
        return redirect("web:home")  # who has given up a role may not see the page any more
    return redirect("web:desk-people", slug)


def invitation(request: HttpRequest, invited: Invitation, *, token: str) -> HttpResponse:
    """Show an invitation to a role to whoever has its link; who signed in takes it by accepting."""
    challenge = invited.challenge
    assert challenge is not None
    user = request.user if isinstance(request.user, User) else None
    if request.method == "POST":
        if user is None:
            return redirect_to_login(request.path)
        try:
            given = service.accept(token=token, user=user)
        except Refusal as refusal:
            messages.error(request, str(refusal))
        else:
            role = selector.LABELS[given.role]
            messages.success(request, gettext("You have the role %(role)s now.") % {"role": role})
            return redirect("web:desk-people", challenge.slug)
    return render(
        request,
        "web/role_invitation.html",
        {
            "invitation": invited,
            "challenge": challenge,
            "role": invited.role,
            "takes_part": user is not None
            and selector.phases_of(user, challenge=challenge).exists(),
            "lacks_second_factor": user is not None
            and selector.lacks_second_factor(user, Role(invited.role)),
        },
    )


def challenge_of(request: HttpRequest, slug: str) -> Challenge:
    """Return a challenge to whoever has a role in it. Raises NotFound, NotAllowed."""
    challenge = pages.challenge_by_slug(slug, user=request.user)
    selector.require(request.user, Act.READ, challenge)
    return challenge


def _people_page(
    request: SignedInRequest, challenge: Challenge, form: RoleInvitationForm
) -> HttpResponse:
    user = request.user
    mine = selector.role_of(user, challenge)
    may_change = selector.may(user, Act.ROLES, challenge)
    rows = selector.of_challenge(challenge)
    context = challenge_context(request, challenge, current="desk-people") | {
        "rows": [{"held": row, "form": RoleForm.of(row)} for row in rows],
        "is_listed": any(row.user_id == user.pk for row in rows),
        "may_change": may_change,
        "form": form,
        "invitations": list(selector.open_invitations(challenge)) if may_change else [],
        "lacks_second_factor": selector.lacks_second_factor(user, mine),
    }
    status = 422 if form.errors else 200
    return render(request, "web/desk_people.html", context, status=status)


def _invite(request: SignedInRequest, challenge: Challenge) -> HttpResponse:
    selector.require(request.user, Act.ROLES, challenge)
    form = RoleInvitationForm(request.POST)
    if form.is_valid():
        email = form.cleaned_data["email"]
        try:
            service.invite(
                challenge=challenge,
                actor=request.user,
                email=email,
                role=Role(form.cleaned_data["role"]),
                expires_at=form.cleaned_data["expires_at"],
            )
        except Refusal as refusal:
            form.add_error(None, str(refusal))
        else:
            done = gettext("An invitation was sent to %(email)s.") % {"email": email}
            messages.success(request, done)
            return redirect("web:desk-people", challenge.slug)
    return _people_page(request, challenge, form)


def _change(request: SignedInRequest, challenge: Challenge) -> str:
    form = RoleForm(request.POST)
    if not form.is_valid():
        if "role" in form.errors:
            allowed = ", ".join(role.value for role in Role)
            raise refuse("role-unknown", role=request.POST.get("role", "")[:40], allowed=allowed)
        raise refuse("role-expiry-invalid")
    service.set_role(
        challenge=challenge,
        user=_person(request, challenge),
        role=Role(form.cleaned_data["role"]),
        expires_at=form.cleaned_data["expires_at"],
        actor=request.user,
    )
    return gettext("Saved.")


def _revoke(request: SignedInRequest, challenge: Challenge) -> str:
    service.revoke(challenge=challenge, user=_person(request, challenge), actor=request.user)
    return gettext("The role is revoked.")


def _leave(request: SignedInRequest, challenge: Challenge) -> str:
    service.revoke(challenge=challenge, user=request.user, actor=request.user)
    return gettext("You gave your role up.")


def _withdraw(request: SignedInRequest, challenge: Challenge) -> str:
    open_invitation = selector.open_invitations(challenge).filter(pk=_number(request, "invitation"))
    found = open_invitation.select_related("challenge").first()
    if found is None:
        raise refuse("not-found")
    service.withdraw(invitation=found, actor=request.user)
    return gettext("The invitation is withdrawn.")


def _person(request: SignedInRequest, challenge: Challenge) -> User:
    wanted = _number(request, "user")
    for row in selector.of_challenge(challenge):
        if row.user_id == wanted:
            return row.user
    raise refuse("not-found")


def _number(request: SignedInRequest, name: str) -> int:
    text = request.POST.get(name, "")
    if not text.isdecimal() or len(text) > 18:
        raise refuse("not-found")
    return int(text)


ACTS: dict[str, Callable[[SignedInRequest, Challenge], str]] = {
    "change": _change,
    "revoke": _revoke,
    "leave": _leave,
    "withdraw": _withdraw,
}
