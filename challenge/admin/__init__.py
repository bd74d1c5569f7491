"""The site operator's admin: everything is shown, nothing here assigns a state.

Organisers have the desk of their challenge; no role in a challenge opens these pages.
"""

from typing import Any
from urllib.parse import urlencode

from allauth.account.utils import get_next_redirect_url
from allauth.socialaccount import admin as provider_admin
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from challenge.admin import challenges, people, submissions
from challenge.selectors import roles

__all__ = ["challenges", "people", "submissions"]

# The groups of the first page, by the names of models; what is in none comes last.
GROUPS = (
    (_("Challenges"), ("Challenge", "Phase", "TaskSpec", "GroundTruth", "Page", "Announcement",
                       "PublishedResult")),
    (_("Submissions"), ("Submission", "Evaluation", "Score", "Upload")),
    (_("Training"), ("TrainingRun",)),
    (_("Participation"), ("Registration", "Team")),
    (_("Accounts"), ("User", "EmailAddress", "EmailConfirmation", "Authenticator",
                     "SocialAccount", "Group", "ApiToken")),
    (_("Operation"), ("AuditEvent", "WebhookDelivery")),
)  # fmt: skip


def has_permission(request: HttpRequest) -> bool:
    """Say who may enter: the site's operators alone.

    Django's flag of staff opens nothing, nor does a role in a challenge: its desk is there for it.
    """
    return roles.is_operator(request.user)


def login(request: HttpRequest) -> HttpResponse:
    """Send to the site's one log-in; organisers who are logged in to their challenges' desks.

    The admin's own form would know neither the limit of failed log-ins nor the second factor.
    Raises PermissionDenied for everybody else who may not enter.
    """
    if not request.user.is_authenticated:
        wanted = get_next_redirect_url(request) or request.get_full_path()
        return redirect(f"{reverse('account_login')}?{urlencode({'next': wanted})}")
    if has_permission(request):
        return redirect("admin:index")
    if roles.organises_any(request.user):
        return redirect("web:organise")
    raise PermissionDenied


def get_app_list(request: HttpRequest, app_label: str | None = None) -> list[dict[str, Any]]:
    """Return the models by what they are about (`GROUPS`); those of one app as Django does."""
    apps: list[dict[str, Any]] = _apps(request, app_label)
    if app_label is not None:
        return apps
    rest = {model["object_name"]: model for app in apps for model in app["models"]}
    grouped = []
    for number, (name, names) in enumerate((*GROUPS, (_("Other"), tuple(rest)))):
        models = [rest.pop(model) for model in names if model in rest]
        if models:
            grouped.append(
                {
                    "name": name,
                    "app_label": models[0]["model"]._meta.app_label,
                    "app_url": f"{reverse('admin:index')}#{number}",
                    "has_module_perms": True,
                    "models": models,
                }
            )
    return grouped


_apps = admin.site.get_app_list
# The provider is named by settings alone, and none of its tokens is kept.
for _model in (provider_admin.SocialApp, provider_admin.SocialToken):
    admin.site.unregister(_model)
admin.site.get_app_list = get_app_list  # type: ignore[method-assign]
admin.site.has_permission = has_permission  # type: ignore[method-assign]
admin.site.login = login  # type: ignore[method-assign, assignment]
admin.site.site_header = _("Operation of this site")
admin.site.site_title = _("Operation of this site")
admin.site.index_title = _("Everything is read here; challenges are changed on their desks")
