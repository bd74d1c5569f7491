"""The organisers' admin. Nothing here assigns a state: actions call the services."""

from urllib.parse import urlencode

from allauth.account.utils import get_next_redirect_url
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from challenge.admin import challenges, people, submissions
from challenge.selectors import roles

__all__ = ["challenges", "people", "submissions"]


def has_permission(request: HttpRequest) -> bool:
    """Say who may enter: the site's operators, and whoever has a role in a challenge.

    Django's flag of staff opens nothing: what somebody may do here is what the role allows.
    """
    return roles.organises_any(request.user)


def login(request: HttpRequest) -> HttpResponse:
    """Send to the site's one log-in; who is logged in and may not enter is refused.

    The admin's own form would know neither the limit of failed log-ins nor the second factor.
    """
    if not request.user.is_authenticated:
        wanted = get_next_redirect_url(request) or request.get_full_path()
        return redirect(f"{reverse('account_login')}?{urlencode({'next': wanted})}")
    if not has_permission(request):
        raise PermissionDenied
    return redirect("admin:index")


admin.site.has_permission = has_permission  # type: ignore[method-assign]
admin.site.login = login  # type: ignore[method-assign, assignment]
