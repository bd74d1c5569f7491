"""One's own account: profile, access tokens, one's data."""

from __future__ import annotations

from datetime import timedelta

from allauth.account.decorators import reauthentication_required
from django.contrib import messages
from django.contrib.auth import logout
from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext

from challenge.errors import Refusal, refuse
from challenge.models import ApiToken
from challenge.selectors import roles
from challenge.selectors import teams as team_selector
from challenge.services.accounts import accounts
from challenge.services.accounts import tokens as service
from challenge.web.forms import DeleteForm, ProfileForm, TokenForm
from challenge.web.middleware import THEME_COOKIE
from challenge.web.requests import SignedInRequest, page_view


@page_view("GET", "POST", sign_in=True)
def profile(request: SignedInRequest) -> HttpResponse:
    """Show and change what a person says of themselves."""
    user = request.user
    form = ProfileForm(request.POST if request.method == "POST" else None, instance=user)
    if request.method == "POST" and form.is_valid():
        form.save()
        messages.success(request, gettext("Saved."))
        response = redirect("web:profile")
        # what the account says now holds on this device too
        response.delete_cookie("django_language")
        response.delete_cookie(THEME_COOKIE)
        return response
    return render(
        request,
        "web/profile.html",
        {
            "form": form,
            "memberships": team_selector.of_user(user),
            "organises": roles.organises_any(user) or roles.may_create(user),
        },
        status=422 if form.errors else 200,
    )


@page_view("GET", "POST", sign_in=True, cache=False)
@reauthentication_required(allow_get=True, app="allauth.account")  # type: ignore[untyped-decorator]
def tokens(request: SignedInRequest) -> HttpResponse:
    """List access tokens; make one, whose text is shown this once."""
    user = request.user
    organises = roles.organises_any(user)
    form = TokenForm(request.POST if request.method == "POST" else None, organises=organises)
    plain = ""
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        days = data["days"]
        try:
            _token, plain = service.create(
                user=user,
                name=data["name"],
                scopes=data["scopes"],
                expires_at=timezone.now() + timedelta(days=days) if days else None,
            )
            form = TokenForm(organises=organises)
        except Refusal as refusal:
            form.add_error(None, str(refusal))
    return render(
        request,
        "web/tokens.html",
        {
            "form": form,
            "plain": plain,
            "tokens": user.api_tokens.filter(revoked_at__isnull=True),
            "now": timezone.now(),
        },
        status=422 if form.errors else 200,
    )


@page_view("POST", sign_in=True)
def revoke_token(request: SignedInRequest, pk: int) -> HttpResponse:
    """End a token."""
    user = request.user
    token = ApiToken.objects.filter(pk=pk, user=user).first()
    if token is None:
        raise refuse("not-found")
    service.revoke(token=token, actor=user)
    messages.success(request, gettext("The token is revoked."))
    return redirect("web:tokens")


@page_view("GET", sign_in=True)
def data(request: SignedInRequest) -> HttpResponse:
    """Offer the export and the deletion of one's data."""
    return render(request, "web/data.html", {"form": DeleteForm()})


@page_view("GET", sign_in=True)
def export(request: SignedInRequest) -> HttpResponse:
    """Answer all that is kept about a person, as a file."""
    user = request.user
    response = JsonResponse(
        accounts.export(user=user), json_dumps_params={"indent": 1, "ensure_ascii": False}
    )
    response["Content-Disposition"] = 'attachment; filename="flair-my-data.json"'
    return response


@page_view("POST", sign_in=True)
def delete(request: SignedInRequest) -> HttpResponse:
    """Delete the account for good, once the password was given."""
    user = request.user
    form = DeleteForm(request.POST)
    if form.is_valid():
        if not user.check_password(form.cleaned_data["password"]):
            form.add_error("password", gettext("This is not your password."))
        else:
            try:
                accounts.delete(user=user, actor=user)
            except Refusal as refusal:
                form.add_error(None, str(refusal))
            else:
                logout(request)
                messages.success(request, gettext("Your account is deleted. Farewell."))
                return redirect("web:home")
    return render(request, "web/data.html", {"form": form}, status=422)
